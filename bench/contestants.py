"""What takes part in a contest over HTTP. Each makes sure that it measures what it says."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.database import Counters
from bench.harness import NotMeasuredError, Sample
from bench.load import Load, Wrk
from bench.servers import Absent
from bench.wire import Answer, Connection, Request, asked, is_from_cache
from tests.process import Process

Expectation = Callable[[Answer], None]
Reads = tuple[float, float]

BROWSER = {"Accept-Encoding": "gzip, deflate, br, zstd"}
NO_CACHE = {"Cache-Control": "no-cache"}
FROM_CACHE: Reads = (0.0, 0.05)
"""SELECTs a request, where only keys and settings may be looked up now and then."""
FROM_DATABASE: Reads = (0.9, float("inf"))
SIZE_TOLERANCE = 0.05
SHOWN = 160
"""Bytes of a wrong answer."""
LARGE = 1_000_000
"""Bytes, from which on the answer that wrk's end cuts off weighs too much to compare sizes."""


def answered(answer: Answer, status: int = 200) -> None:
    if answer.status != status:
        said = " ".join(answer.decoded()[:SHOWN].decode(errors="replace").split())
        raise NotMeasuredError(f"answers {answer.status}, not {status}: {said}")


def is_hit(answer: Answer) -> None:
    if not is_from_cache(answer):
        said = answer.headers.get("cache-status", "absent")
        raise NotMeasuredError(f"is to be answered from the cache, but Cache-Status is {said}")


def is_no_hit(answer: Answer) -> None:
    if is_from_cache(answer):
        raise NotMeasuredError("is not to be answered from the cache, but Cache-Status says hit")


def is_encoded(answer: Answer, encoding: str) -> None:
    if (said := answer.headers.get("content-encoding", "identity")) != encoding:
        raise NotMeasuredError(f"is to be sent as {encoding}, but Content-Encoding is {said}")


def all_of(*expectations: Expectation) -> Expectation:
    def check(answer: Answer) -> None:
        for expects in expectations:
            expects(answer)

    return check


def running(server: Process | Absent) -> Process:
    if isinstance(server, Absent):
        raise NotMeasuredError(server.reason)
    return server


@dataclass(slots=True)
class Throughput:
    """Requests a second under wrk. The first request is the probe: `expects` looks at its answer before and after."""

    name: str
    server: Process | Absent
    load: Load
    expects: Expectation
    seconds: int
    wrk: Wrk
    counters: Counters | None = None
    reads: Reads = (0.0, float("inf"))
    """The SELECTs a request that are right for it."""
    probes: bool = True
    """Off where the requests can be sent but once."""
    _size: int = 0

    def check(self) -> None:
        server = running(self.server)
        if self.probes:
            answer = asked(server.port, self.load.requests[0])
            self.expects(answer)
            self._size = answer.size

    def warm_up(self) -> None:
        """Each request once, then load."""
        server = running(self.server)
        if self.probes:
            with Connection(server.port) as connection:
                for request in self.load.requests:
                    answered(connection.ask(request))
        self.wrk.run(server, self.load, 1)

    def measure(self) -> Sample:
        server = running(self.server)
        before = self.counters.selects() if self.counters else 0
        result = self.wrk.run(server, self.load, self.seconds)
        reads = (self.counters.selects() - before) / result.requests if self.counters else None
        if reads is not None and not self.reads[0] <= reads <= self.reads[1]:
            raise NotMeasuredError(f"{reads:.2f} SELECTs a request")
        self._check_size(result.bytes / result.requests)
        return Sample(result.rate, result.server_cpu, result.generator_cpu, reads)

    def _check_size(self, size: float) -> None:
        if 0 < self._size < LARGE and abs(size - self._size) > SIZE_TOLERANCE * self._size:
            raise NotMeasuredError(f"{size:.0f} bytes an answer under load, {self._size} when asked once")


@dataclass(slots=True)
class Latency:
    """Seconds until wrk has an answer: the median over one connection."""

    name: str
    server: Process | Absent
    request: Request
    expects: Expectation
    seconds: int
    wrk: Wrk

    def check(self) -> None:
        self.expects(asked(running(self.server).port, self.request))

    def warm_up(self) -> None:
        self.wrk.run(running(self.server), Load([self.request], connections=1), 1)

    def measure(self) -> Sample:
        result = self.wrk.run(running(self.server), Load([self.request], connections=1), self.seconds)
        return Sample(result.median_seconds, result.server_cpu, result.generator_cpu)


@dataclass(slots=True)
class Duration:
    """Seconds from the sending of one request to the last byte of its answer: the median of `repeats`."""

    name: str
    server: Process | Absent
    request: Request
    expects: Expectation
    repeats: int = 1
    before: Callable[[Process], None] | None = None
    """Done before each, untimed."""
    warms: bool = True
    sizes: list[int] = field(default_factory=list)
    """Bytes of each answer's body."""

    def check(self) -> None:
        running(self.server)

    def warm_up(self) -> None:
        if self.warms:
            with Connection(running(self.server).port) as connection:
                for _ in range(2):
                    connection.ask(self.request)

    def measure(self) -> Sample:
        answers = self._answers(running(self.server))
        for answer in answers:
            self.expects(answer)
            self.sizes.append(len(answer.body))
        return Sample(statistics.median(answer.seconds for answer in answers))

    def _answers(self, server: Process) -> Sequence[Answer]:
        answers = []
        with Connection(server.port) as connection:
            if self.warms:
                connection.ask(self.request)
            for _ in range(self.repeats):
                if self.before:
                    self.before(server)
                answers.append(connection.ask(self.request))
        return answers
