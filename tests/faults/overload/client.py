"""A client that costs a few microseconds for each request, for it shares the machine with what it overloads."""

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple, cast

from tests.servers import HOST
from warehouse.errors import Code

HEAD_END = b"\r\n\r\n"
LENGTH = b"\r\ncontent-length: "
RETRY_AFTER = b"\r\nretry-after: "
OVERLOADED = b'"' + Code.OVERLOADED.encode() + b'"'
CLOSE = b"\r\nconnection: close"
TICK_SECONDS = 0.001
DEADLINE_SECONDS = 15.0
IDLE_SECONDS = 3.0
"""The server closes a connection that has been idle for 5, and that may cross with a request."""
LOST = 0
"""The status of what was not answered."""


class Request(NamedTuple):
    kind: str
    message: bytes


class Answer(NamedTuple):
    """`kind` is the request's. Times are those of the loop's clock; `due` is when the request should have been sent,
    whenever it was."""

    kind: str
    due: float
    sent: float
    ended: float
    status: int
    is_refusal: bool
    """The server says that more is asked than it can do."""
    tells_when: bool
    """It has a Retry-After."""

    @property
    def seconds(self) -> float:
        return self.ended - self.due

    @property
    def is_good(self) -> bool:
        """Done, or refused for a reason of the business, and in time."""
        return (200 <= self.status < 300 or self.status == 409) and self.seconds <= DEADLINE_SECONDS


class Step(NamedTuple):
    """So many requests a second for so long."""

    rate: float
    seconds: float


class Exchange(asyncio.Protocol):
    """One connection, with one request at a time. `done` is called at the end of each, `lost` at its own."""

    def __init__(self, done: "Callable[[Exchange, Answer], None]", lost: "Callable[[Exchange], None]") -> None:
        self._done = done
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport | None = None
        self.used = 0.0
        self._request = Request("", b"")
        self._due = self._sent = 0.0
        self._is_waiting = False
        self._head = b""
        self._left = 0
        self._status = LOST
        self._is_refusal = self._tells_when = self._closes = False

    def connect(self, port: int) -> None:
        """Once; until then what is sent waits."""
        self._connecting = self._loop.create_task(self._connect(port))

    async def _connect(self, port: int) -> None:
        try:
            await self._loop.create_connection(lambda: self, HOST, port)
        except (OSError, asyncio.CancelledError):
            self.connection_lost(None)

    def send(self, request: Request, due: float) -> None:
        """Now, or as soon as it is connected."""
        self._request, self._due, self._is_waiting = request, due, True
        if self.transport is not None:
            self._write()

    def _write(self) -> None:
        assert self.transport is not None
        self._sent = self._loop.time()
        self.transport.write(self._request.message)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        if self._is_waiting:
            self._write()

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        self._lost(self)
        self.give_up()

    def give_up(self) -> None:
        """What has not been answered is not going to be."""
        if self._is_waiting:
            self._status, self._is_refusal, self._tells_when, self._closes = LOST, False, False, True
            self._end()

    def abort(self) -> None:
        self._connecting.cancel()
        if self.transport is not None:
            self.transport.abort()
            self.transport = None

    def data_received(self, data: bytes) -> None:
        if not self._is_waiting:
            return
        if self._left:
            self._left -= len(data)
        else:
            data = self._head + data
            start = data.find(HEAD_END) + len(HEAD_END)
            if start < len(HEAD_END):
                self._head = data
                return
            self._read(data[:start])
            self._is_refusal = self._status == 503 and OVERLOADED in data
            self._left -= len(data) - start
        if self._left == 0:
            self._end()

    def _read(self, head: bytes) -> None:
        self._head = b""
        self._status = int(head[9:12])
        start = head.find(LENGTH)
        self._left = int(head[start + len(LENGTH) : head.index(b"\r\n", start + 2)]) if start >= 0 else 0
        self._tells_when = RETRY_AFTER in head
        self._closes = CLOSE in head

    def _end(self) -> None:
        self._is_waiting, self._head, self._left = False, b"", 0
        self.used = self._loop.time()
        if self._closes:
            self.abort()
        self._done(
            self,
            Answer(
                self._request.kind, self._due, self._sent, self.used, self._status, self._is_refusal, self._tells_when
            ),
        )


class Client:
    """Keeps its connections to the server at `port`, which may be several processes: one after the other is used.
    `requests` do not end."""

    def __init__(self, port: int, requests: Iterator[Request]) -> None:
        self.answers: list[Answer] = []
        self._port = port
        self._requests = requests
        self._loop = asyncio.get_running_loop()
        self._all: set[Exchange] = set()
        self._idle: deque[Exchange] = deque()
        self._busy = 0
        self._goes_on = False

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        while self._all:
            for exchange in self._all:
                exchange.abort()
            await asyncio.sleep(TICK_SECONDS)

    async def connect(self, count: int) -> None:
        """Keep so many connections from now on, each used once, so that what follows need not wait for one."""
        for _ in range(count):
            self._launch(self._loop.time())
        await self._settled()
        self._taken()

    async def closed_loop(self, clients: int, seconds: float) -> list[Answer]:
        """What so many clients are answered that send their next request as soon as the last is answered."""
        self._goes_on = True
        for _ in range(clients):
            self._launch(self._loop.time())
        await asyncio.sleep(seconds)
        self._goes_on = False
        await self._settled()
        return self._taken()

    async def open_loop(self, *steps: Step) -> list[list[Answer]]:
        """What is answered in each step, one right after the other: requests are sent when they are due, whatever has
        become of those before."""
        starts = [begun := self._loop.time()]
        for step in steps:
            await self._offer(begun, step)
            starts.append(begun := begun + step.seconds)
        await self._settled()
        answers = self._taken()
        return [
            [answer for answer in answers if start <= answer.due < end] for start, end in itertools.pairwise(starts)
        ]

    async def _offer(self, begun: float, step: Step) -> None:
        sent = 0
        while (now := self._loop.time()) < begun + step.seconds:
            due = int((now - begun) * step.rate) + 1
            for number in range(sent, due):
                self._launch(begun + number / step.rate)
            sent = due
            await asyncio.sleep(TICK_SECONDS)

    async def _settled(self) -> None:
        """Until all is answered, or has no time left for it."""
        ends = self._loop.time() + DEADLINE_SECONDS
        while self._busy and self._loop.time() < ends:  # noqa: ASYNC110 (it is counted wherever an answer comes)
            await asyncio.sleep(TICK_SECONDS)
        for exchange in list(self._all):
            exchange.give_up()

    def _taken(self) -> list[Answer]:
        taken, self.answers = self.answers, []
        return taken

    def _launch(self, due: float) -> None:
        self._busy += 1
        self._exchange().send(next(self._requests), due)

    def _exchange(self) -> Exchange:
        oldest = self._loop.time() - IDLE_SECONDS
        while self._idle:
            exchange = self._idle.popleft()
            if exchange.transport is not None and exchange.used >= oldest:
                return exchange
            exchange.abort()
        exchange = Exchange(self._ended, self._all.discard)
        self._all.add(exchange)
        exchange.connect(self._port)
        return exchange

    def _ended(self, exchange: Exchange, answer: Answer) -> None:
        self._busy -= 1
        self.answers.append(answer)
        if exchange.transport is not None:
            self._idle.append(exchange)
        if self._goes_on:
            self._launch(answer.ended)
