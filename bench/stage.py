"""What the groups share: the databases with the catalogue in them, the caches, a key, and recorded answers."""

import pickle
import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import UUID

import redis
from sqlalchemy.engine import make_url

from bench.catalogue import PRODUCTS
from bench.database import Counters, Database, copy_catalogue, fill_balances, fill_peers, load_catalogue
from bench.harness import Plan, say
from bench.load import Wrk
from bench.servers import Ours, RoomyMariaDb, warehouse
from bench.wire import Answer, Request, asked, is_from_cache
from tests.servers import Valkey

BALANCES = 10_000
SETTLING_SECONDS = 5.0
"""A server does not trust its cache before it knows that it may."""


class Stage:
    """Made as it is asked for, and gone at the end."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    @cached_property
    def folder(self) -> Path:
        return Path(self._exits.enter_context(tempfile.TemporaryDirectory(prefix="warehouse-bench-")))

    @cached_property
    def wrk(self) -> Wrk:
        return Wrk(self.folder)

    @cached_property
    def mariadb(self) -> RoomyMariaDb:
        return self._exits.enter_context(RoomyMariaDb())

    @cached_property
    def valkey(self) -> Valkey:
        """Ours alone."""
        return self._exits.enter_context(Valkey())

    @cached_property
    def peers_valkey(self) -> Valkey:
        return self._exits.enter_context(Valkey())

    @cached_property
    def database(self) -> Database:
        """Ours: the catalogue, and a balance of each of 10,000 products."""
        say(f"loading {PRODUCTS:,} products")
        database = Database(self.mariadb, "warehouse")
        load_catalogue(database, self.valkey.url(), PRODUCTS)
        fill_balances(database, BALANCES, locations=1)
        return database

    @cached_property
    def peers_database(self) -> Database:
        database = Database(self.mariadb, "peers")
        fill_peers(self.database, database)
        return database

    @cached_property
    def counters(self) -> Counters:
        return Counters(self.database)

    @cached_property
    def key(self) -> str:
        """May do everything."""
        arguments = ("keys", "create", "--role=admin", "--name=bench")
        return warehouse(self.database.url, self.valkey.url(), *arguments, folder=self.folder)

    @property
    def authorized(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    @cached_property
    def product_ids(self) -> Sequence[UUID]:
        """A hundred of the catalogue, from all over it."""
        rows = self.database.rows("SELECT id FROM products ORDER BY sku_key")
        return [UUID(bytes=row[0]) for row in rows[:: len(rows) // 100]][:100]

    def copy(self, name: str) -> Database:
        """Another database of ours with the same catalogue and key, and no balances."""
        _ = self.key
        database = Database(self.mariadb, name)
        copy_catalogue(self.database, database)
        return database

    @contextmanager
    def ours(
        self, *, cache: bool = True, workers: int = 1, database: Database | None = None, limits: bool = True
    ) -> Iterator[Ours]:
        """A server; with a cache, one that has begun to use it."""
        _ = self.key
        url = (database or self.database).url
        with Ours(url, self.valkey.url(), cache=cache, workers=workers, limits=limits) as server:
            deadline = time.monotonic() + SETTLING_SECONDS
            while cache and time.monotonic() < deadline and not self._answers_from_cache(server):
                time.sleep(0.1)
            yield server

    def _answers_from_cache(self, server: Ours) -> bool:
        request = Request(f"/v1/products/{self.product_ids[0]}", self.authorized)
        # Each of its processes may be asked.
        return all(is_from_cache(asked(server.port, request)) for _ in range(5 * server.workers))

    def empty_cache(self) -> None:
        with redis.Redis.from_url(self.valkey.url()) as client:
            client.flushall()

    def peers_settings(self, driver: str) -> dict[str, str]:
        """Where the peers find their database, by this driver, and their Redis."""
        url = make_url(self.peers_database.url).set(drivername=driver)
        return {
            "BENCH_DATABASE_URL": url.render_as_string(hide_password=False),
            "BENCH_REDIS_URL": self.peers_valkey.url(),
        }

    def recorded(self, answers: Sequence[tuple[Request, Answer]], *, encoded: bool = True) -> dict[str, str]:
        """Settings for a bare application that answers the requests so: the same bytes, with no header but those that
        say what they are. Without `encoded` they are sent as they were before they were compressed."""
        file = self.folder / f"answers-{secrets.token_hex(4)}"
        file.write_bytes(pickle.dumps({_target(each): _plain(answer, encoded) for each, answer in answers}))
        return {"BENCH_ANSWERS": str(file)}


def _target(request: Request) -> tuple[str, bytes]:
    path, _, query = request.path.partition("?")
    return path, query.encode()


def _plain(answer: Answer, encoded: bool) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    body = answer.body if encoded else answer.decoded()
    headers = {"content-type": answer.headers.get("content-type", ""), "content-length": str(len(body))}
    if encoded and "content-encoding" in answer.headers:
        headers["content-encoding"] = answer.headers["content-encoding"]
    return answer.status, [(name.encode(), value.encode()) for name, value in headers.items()], body
