"""`warehouse demo` loads its catalogue once, whatever interrupts it."""

import re
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.running import Running, running
from tests.cli.test_serving import is_ready
from tests.process import free_port
from warehouse.demo import DEMO_FILES
from warehouse.exchange.importing import ImportKind

PRODUCTS, MOVEMENTS = (
    next(file.rows for file in DEMO_FILES if file.kind is kind) for kind in (ImportKind.PRODUCTS, ImportKind.MOVEMENTS)
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


def count(folder: Path, table: str) -> int:
    try:
        with closing(sqlite3.connect(f"file:{folder / 'var/warehouse.db'}?mode=ro", uri=True)) as database:
            [(number,)] = database.execute(f"SELECT count(*) FROM {table}")
    except sqlite3.OperationalError:
        return 0
    return int(number)


def key(demo: Running) -> str:
    [found] = re.findall(r"wh_\S+", demo.out)
    return str(found)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_first_load_can_be_broken_off(number: signal.Signals, status: int, folder: Path) -> None:
    before = count(folder, "products")
    with running(folder, "demo", f"--port={free_port()}") as demo:
        demo.wait_until(lambda: count(folder, "products") > before)
        assert demo.ends_clean(number) == status
        assert "wh_" not in demo.out
    assert before < count(folder, "products") < PRODUCTS


def test_the_next_start_completes_the_load(folder: Path) -> None:
    assert 0 < count(folder, "products") < PRODUCTS
    port = free_port()
    with running(folder, "demo", f"--port={port}") as demo:
        demo.wait_until(lambda: is_ready(port))
        assert key(demo)
        assert f"http://127.0.0.1:{port}/docs" in demo.out
        assert demo.ends_clean(signal.SIGINT) == 0
    assert count(folder, "products") == PRODUCTS
    assert count(folder, "movements") == MOVEMENTS


def test_later_starts_load_nothing_and_print_another_key(folder: Path) -> None:
    port = free_port()
    keys = set()
    for _ in range(2):
        with running(folder, "demo", f"--port={port}") as demo:
            demo.wait_until(lambda: is_ready(port))
            keys.add(key(demo))
            assert "grocery demo" not in demo.err
            assert demo.ends_clean(signal.SIGTERM) == 0
    assert len(keys) == 2
    assert count(folder, "movements") == MOVEMENTS


def test_what_was_loaded_in_pieces_is_consistent(folder: Path) -> None:
    with running(folder, "check") as check:
        assert check.process.wait(60) == 0
        assert f"{MOVEMENTS} movements, 0 drifts." in check.out
