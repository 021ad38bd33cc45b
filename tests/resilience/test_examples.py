"""The examples of docs/resilience.md, run as they are printed."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import httpx
import pytest

import warehouse.resilience
from tests.conftest import ROOT
from tests.resilience.world import in_virtual_time
from warehouse.resilience import Policy, Registry, deadline

PAGE = (ROOT / "docs/resilience.md").read_text()
Answer = Callable[[httpx.Request], httpx.Response]


class Connection(Protocol):
    async def fetch(self, query: str, *values: object) -> list[str]: ...


class Queue(Protocol):
    async def put(self, message: bytes) -> None: ...


def example(title: str, **names: Any) -> Any:
    """What the section's code defines."""
    section = PAGE.split(f"## {title}\n")[1].split("\n## ")[0]
    public = {name: getattr(warehouse.resilience, name) for name in warehouse.resilience.__all__}
    defined: dict[str, Any] = {"httpx": httpx, "Connection": Connection, "Queue": Queue, **public, **names}
    for block in re.findall(r"```python\n(.*?)```", section, re.DOTALL):
        exec(block, defined)  # noqa: S102 (they are our own)
    return type("Example", (), {name: staticmethod(value) for name, value in defined.items()})


def client(answer: Answer) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url="http://rates.test", transport=httpx.MockTransport(answer))


def in_turn(*statuses: int) -> Answer:
    """The last one from then on."""
    left = list(statuses)

    def answer(request: httpx.Request) -> httpx.Response:
        status = left.pop(0) if len(left) > 1 else left[0]
        return httpx.Response(status, json={"rate": 1.25})

    return answer


@in_virtual_time
async def test_http_answers_and_what_fails_once_is_tried_again() -> None:
    http = example("HTTP")
    async with client(in_turn(503, 200)) as rates:
        assert await http.show(rates, "USD") == "1 EUR = 1.25 USD"


@in_virtual_time
async def test_http_that_is_down_gives_up_and_then_is_left_alone() -> None:
    http = example("HTTP")
    async with client(in_turn(503)) as rates:
        said = [await http.show(rates, "USD") for _ in range(6)]
    assert said[0].startswith("no answer in 3 attempts: Server error '503")
    assert said[-1] == "try again in 30 s"


@in_virtual_time
async def test_http_4xx_is_no_failure() -> None:
    http = example("HTTP")
    async with client(in_turn(*[404] * 20, 200)) as rates:
        for _ in range(20):
            with pytest.raises(httpx.HTTPStatusError):
                await http.rate(rates, "XXX")
        assert await http.rate(rates, "USD") == 1.25


class FakeConnection:
    def __init__(self, *errors: Exception, seconds: float = 0.0) -> None:
        self.queries: list[tuple[str, object]] = []
        self._errors = list(errors)
        self._seconds = seconds

    async def fetch(self, query: str, *values: object) -> list[str]:
        self.queries.append((query, *values))  # type: ignore[arg-type]
        await asyncio.sleep(self._seconds)
        if self._errors:
            raise self._errors.pop()
        return ["stock"]


@in_virtual_time
async def test_database_reconnects_and_falls_back_within_the_deadline() -> None:
    database = example("A database", registry=Registry())
    lost = FakeConnection(ConnectionResetError())
    assert await database.handle(lost, "st") == ["stock"]
    assert [values for _, values in lost.queries] == ["st%", "st%"]
    wrong = FakeConnection(ValueError("no such table"))
    assert await database.handle(wrong, "st") == []
    assert len(wrong.queries) == 1


@in_virtual_time
async def test_database_that_hangs_is_waited_for_no_longer_than_the_deadline() -> None:
    now = asyncio.get_running_loop().time
    by_this_time = {"Policy": partial(Policy, monotonic=now), "deadline": partial(deadline, monotonic=now)}
    database = example("A database", registry=Registry(), **by_this_time)
    assert await database.handle(FakeConnection(seconds=60.0), "st") == []
    assert 2 < now() <= 3 + 1e-6


class FakeQueue:
    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.is_down = False
        self.asked = 0

    async def put(self, message: bytes) -> None:
        self.asked += 1
        if self.is_down:
            raise ConnectionRefusedError
        self.taken.append(message)


@in_virtual_time
async def test_queue_is_asked_once_for_each_message_and_not_while_it_is_down() -> None:
    registry, counted, broker = Registry(), Counter[tuple[str, str]](), FakeQueue()
    outbox = example("A queue", registry=registry, counted=counted)
    assert await outbox.publish(broker, b"1")
    broker.is_down = True
    assert [await outbox.publish(broker, b"2") for _ in range(10)] == [False] * 10
    assert (broker.taken, broker.asked) == ([b"1"], 1 + 3)
    assert counted == {("outbox", "success"): 1, ("outbox", "failure"): 3, ("outbox", "open"): 1}
    [snapshot] = registry.snapshots()
    assert (snapshot.name, snapshot.state) == ("outbox", "open")


def test_every_setting_is_in_the_table() -> None:
    told = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", PAGE.split("## Settings")[1], re.MULTILINE)))
    assert sorted(told) == sorted(warehouse.resilience.PolicyOptions.__annotations__)


def test_every_default_in_the_table_is_the_one() -> None:
    defaults = warehouse.resilience.PolicySettings()
    rows = re.findall(r"^\| (`.*?) \| (.*?) \|", PAGE.split("## Settings")[1].split("\n## ")[0], re.MULTILINE)
    for names, values in rows:
        for name, value in zip(re.findall(r"`(\w+)`", names), values.split(", "), strict=True):
            default = getattr(defaults, name)
            if default in (None, (), Exception):
                assert value in {"none", "every `Exception`"}, name
            else:
                assert float(value.removesuffix(" s")) == default, name
