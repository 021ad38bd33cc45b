"""The stock command without HTTP, beside the very statements it runs, sent by aiomysql alone."""

import asyncio
import hashlib
import os
import random
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import aiomysql
import uvloop
from sqlalchemy import Connection, event
from sqlalchemy.engine import Engine, make_url

from bench.database import Database
from bench.harness import NotMeasuredError, Sample
from warehouse.app import create_app
from warehouse.commands.model import Answer as CommandAnswer
from warehouse.commands.model import Command
from warehouse.http.json import encode
from warehouse.ids import new_id
from warehouse.settings import DatabaseSettings, RedisSettings, Settings
from warehouse.stock.model import CommandHeader, ProductRef, StockLine

CONCURRENT = 32
PRODUCTS = 200
"""To ship from, at random."""

Statement = tuple[str, Any, bool]
"""SQL, its parameters, and whether they are many rows of them."""
WRITTEN_ID = re.compile("x'([0-9a-f]{32})'")
"""As it stands in a statement with the rows in it; a movement's own comes first."""


@dataclass(frozen=True, slots=True)
class Place:
    product_id: UUID
    location_id: UUID


def places(database: Database) -> list[Place]:
    rows = database.rows(f"SELECT product_id, location_id FROM balances ORDER BY product_id LIMIT {PRODUCTS}")
    return [Place(UUID(bytes=product_id), UUID(bytes=location_id)) for product_id, location_id in rows]


class Service:
    """Ours: `ship` of one unit under a fresh idempotency key, in an application that runs as it is shipped."""

    def __init__(self, database_url: str, redis_url: str) -> None:
        self._settings = Settings(
            database=DatabaseSettings(url=database_url, pool_size=CONCURRENT), redis=RedisSettings(url=redis_url)
        )
        self._caller = new_id()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Callable[[Place], Awaitable[None]]]:
        app = create_app(self._settings)
        async with app.router.lifespan_context(app):
            moving = app.state.moving

            async def ship(place: Place) -> None:
                line = StockLine(ProductRef(place.product_id, None), 1, location_id=place.location_id)
                outcome = await moving.ship(self._command(), CommandHeader(), [line])
                assert not outcome.replayed

            yield ship

    def _command(self) -> Command:
        key = str(new_id())
        digest = hashlib.sha256(key.encode()).digest()
        return Command(self._caller, "bench", key, digest, lambda result: CommandAnswer(201, encode(result)), _refusal)


def _refusal(error: Exception) -> CommandAnswer:
    raise error


@contextmanager
def recorded_transactions() -> Iterator[list[list[Statement]]]:
    """The statements of every transaction that SQLAlchemy commits meanwhile."""
    open_ones: dict[int, list[Statement]] = {}
    committed: list[list[Statement]] = []

    def executed(
        connection: Connection, cursor: object, statement: str, parameters: Any, context: object, executemany: bool
    ) -> None:
        open_ones.setdefault(id(connection.connection.dbapi_connection), []).append(
            (statement, parameters, executemany)
        )

    def ended(connection: Connection) -> None:
        committed.append(open_ones.pop(id(connection.connection.dbapi_connection), []))

    event.listen(Engine, "before_cursor_execute", executed)
    event.listen(Engine, "commit", ended)
    try:
        yield committed
    finally:
        event.remove(Engine, "before_cursor_execute", executed)
        event.remove(Engine, "commit", ended)


class Raw:
    """Sends what was recorded of one command for each place, with the ids and the key of a new command."""

    def __init__(self, database_url: str, transactions: dict[Place, Sequence[Statement]]) -> None:
        self._url = make_url(database_url)
        self._transactions = transactions

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Callable[[Place], Awaitable[None]]]:
        pool = await aiomysql.create_pool(
            minsize=CONCURRENT,
            maxsize=CONCURRENT,
            host=self._url.host,
            port=self._url.port,
            user=self._url.username,
            password=self._url.password,
            db=self._url.database,
            charset="utf8mb4",
            autocommit=False,
            init_command="SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        )

        async def ship(place: Place) -> None:
            async with pool.acquire() as connection, connection.cursor() as cursor:
                for statement, parameters, many in renewed(self._transactions[place]):
                    await (cursor.executemany if many else cursor.execute)(statement, parameters)
                await connection.commit()

        try:
            yield ship
        finally:
            pool.close()
            await pool.wait_closed()


def renewed(transaction: Sequence[Statement]) -> list[Statement]:
    """With new values for what may be there but once: the command's id, its key, and the movement's id."""
    fresh: dict[object, bytes] = {}
    for statement, parameters, many in transaction:
        if statement.startswith("INSERT INTO commands"):
            row = parameters[0] if many else parameters
            fresh |= {row[0]: new_id().bytes, row[2]: os.urandom(32)}
        elif statement.startswith("INSERT INTO movements"):
            fresh[bytes.fromhex(WRITTEN_ID.findall(statement)[0])] = new_id().bytes
    return [
        (WRITTEN_ID.sub(lambda found: _rewritten(found, fresh), statement), _replaced(parameters, fresh), many)
        for statement, parameters, many in transaction
    ]


def _rewritten(found: re.Match[str], fresh: Mapping[object, bytes]) -> str:
    value = fresh.get(bytes.fromhex(found[1]))
    return f"x'{value.hex()}'" if value is not None else found[0]


def _replaced(parameters: Any, fresh: Mapping[object, bytes]) -> Any:
    if isinstance(parameters, list):
        return [_replaced(row, fresh) for row in parameters]
    return tuple(fresh.get(value, value) for value in parameters)


async def recorded_commands(service: Service, at: Sequence[Place]) -> dict[Place, Sequence[Statement]]:
    """The statements of one command for each place."""
    transactions: dict[Place, Sequence[Statement]] = {}
    async with service.running() as ship:
        for place in at:
            with recorded_transactions() as committed:
                await ship(place)
            mine = [each for each in committed if any(text.startswith("INSERT INTO commands") for text, _, _ in each)]
            assert len(mine) == 1, f"{len(mine)} transactions for one command"
            transactions[place] = mine[0]
    return transactions


@dataclass(slots=True)
class CommandRate:
    """Commands a second, with 32 under way."""

    name: str
    running: Callable[[], Any]
    places: Sequence[Place]
    seconds: int
    counted: Callable[[], int]
    """Movements in the database: each command has to have made one."""
    _runner: asyncio.Runner = field(default_factory=lambda: asyncio.Runner(loop_factory=uvloop.new_event_loop))
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _ship: Callable[[Place], Awaitable[None]] | None = None

    def check(self) -> None:
        """`measure` does it all."""

    def warm_up(self) -> None:
        self._ship = self._runner.run(self._stack.enter_async_context(self.running()))
        self._runner.run(self._burst(1.0))

    def measure(self) -> Sample:
        before = self.counted()
        cpu, begun = time.process_time(), time.perf_counter()
        done = self._runner.run(self._burst(self.seconds))
        seconds = time.perf_counter() - begun
        if (made := self.counted() - before) != done:
            raise NotMeasuredError(f"{done} commands made {made} movements")
        return Sample(done / seconds, (time.process_time() - cpu) / seconds)

    def close(self) -> None:
        self._runner.run(self._stack.aclose())
        self._runner.close()

    async def _burst(self, seconds: float) -> int:
        """How many were done."""
        deadline = time.monotonic() + seconds
        assert self._ship is not None
        counts = await asyncio.gather(*(self._client(self._ship, deadline) for _ in range(CONCURRENT)))
        return sum(counts)

    async def _client(self, ship: Callable[[Place], Awaitable[None]], deadline: float) -> int:
        done = 0
        while time.monotonic() < deadline:
            await ship(random.choice(self.places))  # noqa: S311 (a benchmark's)
            done += 1
        return done
