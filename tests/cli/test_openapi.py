"""`warehouse openapi` prints the document alone, and needs no database for it."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Warehouse
from tests.conftest import ROOT


@pytest.mark.parametrize("url", ["", "postgresql+asyncpg://nobody:pass@127.0.0.1:1/none"])
def test_it_prints_the_servers_document(
    url: str, warehouse: Warehouse, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE_DATABASE_URL", url)
    run = warehouse("openapi")
    assert (run.status, run.err) == (0, "")
    assert json.loads(run.out) == json.loads((ROOT / "tests/api/openapi.json").read_text())
    assert not list(folder.iterdir())
