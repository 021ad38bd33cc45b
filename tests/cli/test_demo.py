"""`warehouse demo` loads its catalogue once, whatever interrupts it."""

import re
import signal
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from tests.cli.running import READY_SECONDS, Running, running
from tests.cli.test_serving import is_ready
from tests.process import free_port
from tests.servers import HOST
from warehouse.demo import DEMO_FILES
from warehouse.exchange.importing import ImportKind

PRODUCTS, MOVEMENTS = (
    next(file.rows for file in DEMO_FILES if file.kind is kind) for kind in (ImportKind.PRODUCTS, ImportKind.MOVEMENTS)
)


def count(folder: Path, table: str) -> int:
    try:
        with closing(sqlite3.connect(f"file:{folder / 'var/warehouse.db'}?mode=ro", uri=True)) as database:
            [(number,)] = database.execute(f"SELECT count(*) FROM {table}")
    except sqlite3.OperationalError:
        return 0
    return int(number)


def has_more(folder: Path, products: int) -> bool:
    return count(folder, "products") > products


def key(demo: Running) -> str:
    [found] = re.findall(r"wh_\S+", demo.out)
    return str(found)


@pytest.fixture(scope="module")
def broken_off(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a first load that was broken off twice."""
    folder = tmp_path_factory.mktemp("demo")
    for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        before = count(folder, "products")
        with running(folder, "demo", f"--port={free_port()}") as demo:
            demo.wait_until(partial(has_more, folder, before))
            assert demo.ends_clean(number) == status
            assert "wh_" not in demo.out
    return folder


@pytest.fixture(scope="module")
def loaded(broken_off: Path) -> Path:
    """The same folder after a start that nothing interrupted."""
    port = free_port()
    with running(broken_off, "demo", f"--port={port}") as demo:
        assert 0 < count(broken_off, "products") < PRODUCTS
        demo.wait_until(lambda: is_ready(port))
        assert key(demo)
        assert f"http://{HOST}:{port}/docs" in demo.out
        assert demo.ends_clean(signal.SIGINT) == 0
    return broken_off


def test_a_load_that_was_broken_off_is_completed_by_the_next_start(loaded: Path) -> None:
    assert count(loaded, "products") == PRODUCTS
    assert count(loaded, "movements") == MOVEMENTS
    with running(loaded, "check") as check:
        assert check.process.wait(READY_SECONDS) == 0
        assert f"{MOVEMENTS} movements, 0 drifts." in check.out


def test_later_starts_load_nothing_and_print_another_key(loaded: Path) -> None:
    port = free_port()
    keys = set()
    for _ in range(2):
        with running(loaded, "demo", f"--port={port}") as demo:
            demo.wait_until(lambda: is_ready(port))
            keys.add(key(demo))
            assert "grocery demo" not in demo.err
            assert demo.ends_clean(signal.SIGTERM) == 0
    assert len(keys) == 2
    assert count(loaded, "movements") == MOVEMENTS
