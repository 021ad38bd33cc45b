"""A last attempt's process that knows the kinds of tests."""

from uuid import UUID

from tests.worker.kinds import kinds
from warehouse.container import Container
from warehouse.http.logging import configure_logging
from warehouse.settings import Settings
from warehouse.tasks.running import TaskRunner, Tell


async def run_isolated(settings: Settings, task_id: UUID, attempt: int, tell: Tell) -> None:
    """As `warehouse.container.run_isolated`."""
    configure_logging(settings.log_level)
    container = Container(settings)
    try:
        await TaskRunner(container.uow, kinds(container.uow), tell).run(task_id, attempt)
    finally:
        await container.close()
