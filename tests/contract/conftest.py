import pytest

from tests.contract.ledger import Ledger
from warehouse.unit_of_work import UnitOfWorkFactory


@pytest.fixture(scope="session")
def ledger(uow_factory: UnitOfWorkFactory) -> Ledger:
    return Ledger.over(uow_factory)
