"""What the figures were measured with. Names no host and no path."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import redis

from bench.programs import wrk_program
from bench.servers import PEERS_PYTHON
from bench.stage import Stage

OURS = (
    "fastapi",
    "starlette",
    "uvicorn",
    "uvloop",
    "httptools",
    "pydantic",
    "sqlalchemy",
    "aiomysql",
    "redis",
    "hiredis",
)
OURS_TOO = ("orjson", "zstandard")
PEERS = ("flask", "flask-sqlalchemy", "flask-caching", "gunicorn", "pymysql", "cashews", "aiocache", "fastapi-cache2")
PEERS_TOO = ("starlette-compress",)
_LIST = (
    "import json, sys; from importlib.metadata import version; print(json.dumps({n: version(n) for n in sys.argv[1:]}))"
)


def facts(stage: Stage) -> Sequence[str]:
    ((mariadb,),) = stage.database.rows("SELECT VERSION()")
    return [
        f"{len(os.sched_getaffinity(0))} cores ({_processor()}), {_memory()} of memory, {_system()}",
        f"CPython {platform.python_version()}, MariaDB {mariadb.split('-')[0]}, {_valkey(stage)}, {_wrk()}",
        f"Ours and FastAPI's peers: {_list({name: version(name) for name in (*OURS, *OURS_TOO)})}",
        f"Peers: {_list(_peers())}",
    ]


def _processor() -> str:
    lines = (line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines())
    return next((value.strip() for name, _, value in lines if name.strip() == "model name"), platform.machine())


def _memory() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"


def _system() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())


def _valkey(stage: Stage) -> str:
    with redis.Redis.from_url(stage.valkey.url()) as client:
        about = client.info("server")
    if "valkey_version" in about:
        return f"Valkey {about['valkey_version']}"
    return f"Redis {about['redis_version']}"


def _wrk() -> str:
    said = subprocess.run([str(wrk_program()), "-v"], capture_output=True, text=True, check=False)
    return " ".join((said.stdout + said.stderr).split()[:2])


def _peers() -> dict[str, str]:
    if not PEERS_PYTHON.exists():
        return {}
    command = [str(PEERS_PYTHON), "-c", _LIST, *PEERS, *PEERS_TOO]
    found: dict[str, str] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return found


def _list(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in versions.items()) or "not installed"
