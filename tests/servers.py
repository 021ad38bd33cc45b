"""Real servers for the tests: databases and a cache, thrown away afterwards.

`python -m tests.servers ensure` makes sure that the programs for `WAREHOUSE_TEST_BACKENDS` are here, and installs
Debian's packages where it may. A server that is missing is a failure: no test is skipped for it.
"""

import asyncio
import os
import pwd
import secrets
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Literal, Self, get_args

import asyncpg
import pymysql
import redis
from sqlalchemy.engine import URL, make_url

from tests.process import Process, memory
from tests.programs import (
    MissingProgramError,
    can_install,
    install,
    mariadb_programs,
    mysql_tree,
    postgresql_folder,
    valkey_program,
)

Backend = Literal["sqlite", "mariadb", "postgresql", "mysql"]

HOST = "127.0.0.1"
USER = "warehouse"


def backends() -> list[Backend]:
    """The databases that the suites run on."""
    asked = os.environ.get("WAREHOUSE_TEST_BACKENDS", "sqlite,mariadb,postgresql").split(",")
    known: dict[str, Backend] = {name: name for name in get_args(Backend)}
    if unknown := [name for name in asked if name not in known]:
        raise ValueError(f"WAREHOUSE_TEST_BACKENDS names {', '.join(unknown)}; known are {', '.join(known)}")
    return [known[name] for name in asked]


class DatabaseServer(ABC):
    """A server on which `address`'s account may create and drop databases."""

    driver: ClassVar[str]

    def __init__(self, address: URL) -> None:
        self.address = address

    def url(self, database: str) -> str:
        """The SQLAlchemy URL of one database."""
        return self.address.set(drivername=self.driver, database=database).render_as_string(hide_password=False)

    @abstractmethod
    def create_database(self, name: str) -> None: ...

    @abstractmethod
    def drop_database(self, name: str) -> None: ...


class MySqlServer(DatabaseServer):
    """MySQL or MariaDB."""

    driver = "mysql+aiomysql"

    def create_database(self, name: str) -> None:
        self.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")

    def drop_database(self, name: str) -> None:
        self.execute(f"DROP DATABASE `{name}`")

    def execute(self, statement: str) -> None:
        with pymysql.connect(
            host=self.address.host or HOST,
            port=self.address.port or 3306,
            user=self.address.username,
            password=self.address.password or "",
            connect_timeout=5,
        ) as connection:
            connection.cursor().execute(statement)


class PostgreSqlServer(DatabaseServer):
    driver = "postgresql+asyncpg"

    def create_database(self, name: str) -> None:
        self.execute(f'CREATE DATABASE "{name}"')

    def drop_database(self, name: str) -> None:
        self.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def execute(self, statement: str) -> None:
        # In a thread of its own, for the caller may be inside an event loop.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, self._execute(statement)).result()

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(
            host=self.address.host or HOST,
            port=self.address.port or 5432,
            user=self.address.username,
            password=self.address.password,
            database=self.address.database or "postgres",
            timeout=5,
        )
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


class DatabaseProcess(Process, DatabaseServer):
    """With `durable` off a commit does not wait for the disk, and where there is room nothing is kept on one: faster,
    and safe while only the tests may be killed."""

    not_ready = (OSError, pymysql.MySQLError, asyncpg.PostgresError)

    def __init__(self, *, durable: bool = True) -> None:
        super().__init__(URL.create(self.driver, USER, secrets.token_hex(16), HOST))
        self.durable = durable
        self.parent = None if durable else memory()

    @abstractmethod
    def execute(self, statement: str) -> None: ...

    def ping(self) -> None:
        self.address = self.address.set(port=self.port)
        self.execute("SELECT 1")


class _MySqlProcess(MySqlServer, DatabaseProcess):
    def command(self) -> Sequence[str]:
        account = self.folder / "account.sql"
        account.write_text(
            f"CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{self.address.password}';\n"
            f"GRANT ALL ON *.* TO '{USER}'@'%' WITH GRANT OPTION;\n"
        )
        return [
            *self.server(),
            f"--init-file={account}",
            f"--port={self.port}",
            f"--bind-address={HOST}",
            f"--socket={self.folder / 'socket'}",
            f"--pid-file={self.folder / 'pid'}",
            "--character-set-server=utf8mb4",
            "--skip-name-resolve",
            "--skip-log-bin",
            "--max-connections=300",
            "--innodb-buffer-pool-size=128M",
            f"--innodb-flush-log-at-trx-commit={int(self.durable)}",
        ]

    @abstractmethod
    def server(self) -> Sequence[str]:
        """The program with what its data folder is made with too."""

    @property
    def data_options(self) -> list[str]:
        # Of its own: MariaDB, when it starts, removes from it what it takes for its own temporary tables.
        folders = [f"--datadir={self.folder / 'data'}", f"--tmpdir={self.folder}"]
        return [*folders, *(["--user=root"] if os.geteuid() == 0 else [])]


class MariaDb(_MySqlProcess):
    name = "mariadb"

    def initialise(self) -> None:
        _, installer = mariadb_programs()
        self.run(
            installer, "--no-defaults", *self.data_options, "--auth-root-authentication-method=normal", "--skip-test-db"
        )

    def server(self) -> Sequence[str]:
        program, _ = mariadb_programs()
        return [str(program), "--no-defaults", *self.data_options]


class MySql(_MySqlProcess):
    """The real MySQL that scripts/real-mysql.sh unpacked into `WAREHOUSE_TEST_MYSQL_DIR`."""

    name = "mysql"

    def initialise(self) -> None:
        self.run(*self.server(), "--initialize-insecure")

    def command(self) -> Sequence[str]:
        return [*super().command(), "--mysqlx=OFF"]

    def server(self) -> Sequence[str]:
        tree = mysql_tree()
        # Its own C library, which is newer than this system's.
        loader = next(tree.glob("usr/lib*/ld-linux-*.so.*"))
        libraries = next(tree.glob("usr/lib/*-linux-gnu"))
        return [
            str(loader),
            "--library-path",
            str(libraries),
            str(tree / "usr/sbin/mysqld"),
            "--no-defaults",
            *self.data_options,
            f"--basedir={tree / 'usr'}",
            f"--lc-messages-dir={tree / 'usr/share/mysql'}",
            "--secure-file-priv=NULL",
        ]


class PostgreSql(PostgreSqlServer, DatabaseProcess):
    name = "postgresql"
    stop_signal = signal.SIGINT  # disconnects clients instead of waiting for them
    orphan_signal = signal.SIGQUIT  # the postmaster takes its children along

    def __init__(self, *, durable: bool = True) -> None:
        super().__init__(durable=durable)
        self.account = _unprivileged_account() if os.geteuid() == 0 else None

    def initialise(self) -> None:
        password = self.folder / "password"
        password.write_text(self.address.password or "")
        self.run(
            postgresql_folder() / "initdb",
            f"--pgdata={self.folder / 'data'}",
            f"--username={USER}",
            f"--pwfile={password}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            f"--locale={'C.UTF-8' if sys.platform == 'linux' else 'en_US.UTF-8'}",
            "--no-sync",
        )

    def command(self) -> Sequence[str]:
        settings = {
            "listen_addresses": HOST,
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 300,
            "shared_buffers": "128MB",
        }
        if not self.durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
            settings |= {"wal_level": "minimal", "max_wal_senders": 0, "max_wal_size": "256MB"}
        return [
            str(postgresql_folder() / "postgres"),
            "-D",
            str(self.folder / "data"),
            *(f"--{name}={value}" for name, value in settings.items()),
        ]


class Valkey(Process):
    """Keeps nothing on disk."""

    name = "valkey"
    not_ready = (OSError, redis.RedisError)

    def url(self, database: int = 0) -> str:
        return f"redis://{HOST}:{self.port}/{database}"

    def initialise(self) -> None:
        """It needs nothing."""

    def command(self) -> Sequence[str]:
        options = {"port": self.port, "bind": HOST, "dir": self.folder, "save": "", "appendonly": "no"}
        return [str(valkey_program()), *(part for name, value in options.items() for part in (f"--{name}", str(value)))]

    def ping(self) -> None:
        with redis.Redis.from_url(self.url(), socket_timeout=5) as client:
            client.ping()


class Servers:
    """Starts each server when it is first asked for, and leaves nothing behind at its exit.

    `WAREHOUSE_TEST_MYSQL_URL` and `WAREHOUSE_TEST_POSTGRESQL_URL` name servers to use instead.
    """

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self._folder = folder
        self._durable = durable
        self._exits = ExitStack()
        self._databases: dict[Backend, DatabaseServer] = {}

    def database_server(self, backend: Backend) -> DatabaseServer:
        if backend not in self._databases:
            self._databases[backend] = _existing(backend) or self._exits.enter_context(self._process(backend))
        return self._databases[backend]

    def fresh_database(self, backend: Backend) -> str:
        """The SQLAlchemy URL of a new, empty database."""
        name = f"warehouse_{secrets.token_hex(6)}"
        if backend == "sqlite":
            return f"sqlite+aiosqlite:///{self._folder / name}.db"
        server = self.database_server(backend)
        server.create_database(name)
        if not isinstance(server, Process):
            self._exits.callback(server.drop_database, name)
        return server.url(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    def _process(self, backend: Backend) -> DatabaseProcess:
        match backend:
            case "mariadb":
                return MariaDb(durable=self._durable)
            case "mysql":
                return MySql(durable=self._durable)
            case "postgresql":
                return PostgreSql(durable=self._durable)
            case "sqlite":
                raise ValueError("SQLite has no server")


def _existing(backend: Backend) -> DatabaseServer | None:
    if backend == "postgresql":
        url = os.environ.get("WAREHOUSE_TEST_POSTGRESQL_URL")
        return PostgreSqlServer(make_url(url)) if url else None
    url = os.environ.get("WAREHOUSE_TEST_MYSQL_URL")
    return MySqlServer(make_url(url)) if url else None


def _unprivileged_account() -> pwd.struct_passwd:
    """PostgreSQL refuses to run as root."""
    accounts = {account.pw_name: account for account in pwd.getpwall()}
    return accounts.get("postgres") or accounts["nobody"]


def missing_programs() -> list[MissingProgramError]:
    """What the asked backends need and this machine has not."""
    wanted = {"mariadb": mariadb_programs, "mysql": mysql_tree, "postgresql": postgresql_folder}
    searches = [valkey_program] + [wanted[name] for name in backends() if name in wanted and not _existing(name)]
    missing = []
    for search in searches:
        try:
            search()
        except MissingProgramError as error:
            missing.append(error)
    return missing


def main() -> None:
    if sys.argv[1:] != ["ensure"]:
        sys.exit("usage: python -m tests.servers ensure")
    packages = [package for error in missing_programs() for package in error.packages]
    if packages and can_install():
        install(packages)
    sys.exit("\n".join(str(error) for error in missing_programs()) or None)


if __name__ == "__main__":
    main()
