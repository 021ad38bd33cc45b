"""Whoever is cancelled leaves no thread behind that reads what is closed."""

import asyncio
import io
import os
import tempfile
import threading
from collections.abc import Callable
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any

import pytest

from tests.unit.exchange.workbooks import number, row, strings, text, workbook
from warehouse.exchange.batches import Batches, ImportFile
from warehouse.exchange.importing import Importer, ImportKind
from warehouse.exchange.rows import ProductRows
from warehouse.exchange.tables import ReadingLimits
from warehouse.exchange.threads import in_thread
from warehouse.unit_of_work import UnitOfWork

CONTENT = b"sku,name\n" + b"A,Bread\n" * 200_000
BATCH = 30_000
"""Rows: the first such batch is in what the third read gives, the next one is not."""


class SlowStream(io.BytesIO):
    """From the read of this number on it waits until it may go on."""

    def __init__(self, first_slow: int, content: bytes = CONTENT) -> None:
        super().__init__(content)
        self.reads = 0
        self._first_slow = first_slow
        self.reached = threading.Event()
        self.may_go_on = threading.Event()
        self.is_read = False

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        self.is_read = True
        try:
            if self.reads > self._first_slow:
                self.reached.set()
                assert self.may_go_on.wait(30)
            return super().read(size)
        finally:
            self.is_read = False


def no_database(*, read_only: bool = False) -> UnitOfWork:
    raise RuntimeError("no database is needed here")


async def cancelled_while_it_waits(work: "asyncio.Task[Any]", stream: SlowStream, times: int) -> None:
    """Cancel the work; it must not end before the stream is let go of."""
    assert await asyncio.to_thread(stream.reached.wait, 30)
    for _ in range(times):
        work.cancel()
        done, _ = await asyncio.wait([work], timeout=0.02)
        assert not done
        assert stream.is_read
    stream.may_go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert not stream.is_read
    stream.close()


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("first_slow", [0, 1, 2, 3, 5, 7])
async def test_a_cancelled_import_ends_when_its_file_is_no_longer_read(first_slow: int, times: int) -> None:
    stream = SlowStream(first_slow)
    run = Importer(no_database).run(ImportKind.PRODUCTS, stream, "file.csv", progress=lambda *_: None)
    await cancelled_while_it_waits(asyncio.create_task(run), stream, times)


def workbook_of_movements() -> bytes:
    columns = ("timestamp", "type", "sku", "location", "qty")
    shared = strings(*(f"<t>{name}</t>" for name in columns), *(f"<t>SKU-{index}</t>" for index in range(20_000)))
    names = [f'<c t="s"><v>{index}</v></c>' for index in range(5)]
    cells = number(46_000, 1), text("receipt"), '<c t="s"><v>9</v></c>', text("A"), number(5)
    return workbook(row(*names), *[row(*cells)] * 20_000, shared=shared)


def open_files(folder: Path) -> set[str]:
    """Those of this process in the folder, which may have lost their names."""
    descriptors = Path("/proc/self/fd")
    links = [os.readlink(descriptor) for descriptor in descriptors.iterdir() if descriptor.is_symlink()]
    return {link for link in links if link.startswith(f"{folder}/")}


@pytest.mark.parametrize("slow", range(1, 10))
async def test_a_cancelled_import_leaves_no_temporary_file(
    slow: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    counting = SlowStream(10_000, content := workbook_of_movements())
    with pytest.raises(RuntimeError, match="no database"):
        await Importer(no_database).run(ImportKind.MOVEMENTS, counting, "file.xlsx")
    assert open_files(tmp_path) == set()
    stream = SlowStream(counting.reads * slow // 10, content)
    run = Importer(no_database).run(ImportKind.MOVEMENTS, stream, "file.xlsx")
    await cancelled_while_it_waits(asyncio.create_task(run), stream, 1)
    assert open_files(tmp_path) == set()


async def test_whoever_fails_on_a_batch_waits_for_the_thread_that_reads_the_next() -> None:
    stream = SlowStream(3)
    file = ImportFile(stream, "file.csv", 0, ReadingLimits(), {}, None)

    async def fail() -> None:
        with closing(Batches(file, ProductRows, BATCH)) as batches:
            async with aclosing(batches.ahead()) as ahead:
                async for _ in ahead:
                    assert await asyncio.to_thread(stream.reached.wait, 30)
                    raise LookupError

    failing = asyncio.create_task(fail())
    assert await asyncio.to_thread(stream.reached.wait, 30)
    done, _ = await asyncio.wait([failing], timeout=0.02)
    assert not done
    stream.may_go_on.set()
    with pytest.raises(LookupError):
        await failing
    assert not stream.is_read


async def test_a_result_that_comes_too_late_is_discarded() -> None:
    started, may_end = threading.Event(), threading.Event()
    discarded: list[str] = []

    def work() -> str:
        started.set()
        assert may_end.wait(30)
        return "late"

    task = asyncio.create_task(in_thread(work, discarded.append))
    await asyncio.to_thread(started.wait, 30)
    task.cancel()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert discarded == ["late"]


async def test_a_thread_that_fails_after_a_cancellation_is_not_heard() -> None:
    started, may_end = threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        assert may_end.wait(30)
        raise LookupError

    task = asyncio.create_task(in_thread(work, _never))
    await asyncio.to_thread(started.wait, 30)
    task.cancel()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task


def _never(result: Callable[[], None] | None) -> None:
    raise AssertionError(result)
