import io
import logging
import re
from collections.abc import Iterator

import pytest

from tests.unit.http.asgi import application, client
from warehouse.http.logging import LineFormatter, configure_logging
from warehouse.http.request_id import RequestIdMiddleware

log = logging.getLogger("warehouse.test")


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter())
    log.addHandler(handler)
    yield stream
    log.removeHandler(handler)


def test_a_line_has_time_level_and_event(written: io.StringIO) -> None:
    log.warning("stock.reserve.refused sku=%s", "CJ-1")

    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING stock\.reserve\.refused sku=CJ-1\n", written.getvalue()
    )


def test_nobody_can_write_lines_of_their_own(written: io.StringIO) -> None:
    log.warning("http.request caller=%s", "x\n2026-11-23T00:00:00.000Z INFO forged\r\x1b[31m\u2028")

    assert written.getvalue().count("\n") == 1
    assert "\x1b" not in written.getvalue()


def test_a_traceback_is_written_as_it_is(written: io.StringIO) -> None:
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        log.exception("http.failed")

    assert "\nTraceback (most recent call last):\n" in written.getvalue()


async def test_every_line_of_a_request_names_it(written: io.StringIO) -> None:
    app = application()

    @app.get("/products")
    async def list_products() -> None:
        log.warning("deep.inside")

    app.add_middleware(RequestIdMiddleware)
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    async with client(app) as http:
        await http.get("/products", headers={"X-Request-Id": "r1", "traceparent": f"00-{trace}-00f067aa0ba902b7-01"})

    assert f"deep.inside request_id=r1 trace_id={trace}\n" in written.getvalue()


def test_one_call_configures_everything() -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        configure_logging("warning")
        configure_logging("error")
        assert (len(root.handlers), root.level) == (1, logging.ERROR)
        assert logging.getLogger("uvicorn.access").disabled
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.getLogger("uvicorn.access").disabled = False
