"""Dockerfile and compose.yaml, checked without a container engine: their form, and the very commands that they name."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import redis
import yaml

from tests.conftest import ROOT, FreshDatabase
from tests.process import free_port
from tests.servers import Valkey
from warehouse.tasks.worker import DRAIN_SECONDS

SCRIPTS = Path(sys.executable).parent
READY_SECONDS = 30
STOP_SECONDS = 20
OURS = ("migrate", "api", "worker")


def stages(dockerfile: str) -> list[list[tuple[str, str]]]:
    """The (instruction, arguments) of each stage; a stage begins with its FROM."""
    lines = re.sub(r"^\s*#.*\n", "", dockerfile, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    found: list[list[tuple[str, str]]] = []
    for line in filter(str.strip, lines):
        instruction, _, arguments = line.strip().partition(" ")
        if instruction == "FROM":
            found.append([])
        found[-1].append((instruction, re.sub(r"\s+", " ", arguments).strip()))
    return found


STAGES = stages((ROOT / "Dockerfile").read_text())
FINAL = dict(STAGES[-1])
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]


def test_the_image_leaves_its_build_tools_behind() -> None:
    build, _ = STAGES
    name = build[0][1].rpartition(" AS ")[2]
    assert FINAL["COPY"].startswith(f"--from={name} ")
    assert "pip" not in FINAL["RUN"]


def test_the_image_installs_hashed_packages_and_fetches_no_urls() -> None:
    instructions = [instruction for stage in STAGES for instruction in stage]
    assert all(not re.search(r"https?:", arguments) for name, arguments in instructions if name in ("ADD", "RUN"))
    installs = [arguments for name, arguments in instructions if name == "RUN" and ".lock" in arguments]
    assert installs
    assert all("--require-hashes" in arguments for arguments in installs)


def test_the_image_runs_as_nobody_special() -> None:
    user, _, group = FINAL["USER"].partition(":")
    assert int(user) >= 10000
    assert int(group) >= 10000
    assert FINAL["VOLUME"] == "/var/lib/warehouse"


def test_compose_yaml_follows_the_compose_specification() -> None:
    check = subprocess.run(
        [SCRIPTS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert check.returncode == 0, check.stdout + check.stderr


def test_services_wait_for_healthy_servers_and_a_finished_migration() -> None:
    servers = {"mysql": {"condition": "service_healthy"}, "valkey": {"condition": "service_healthy"}}
    migration = {"migrate": {"condition": "service_completed_successfully"}}
    assert all("test" in SERVICES[name]["healthcheck"] for name in servers)
    assert SERVICES["migrate"]["depends_on"] == {"mysql": servers["mysql"]}
    assert SERVICES["api"]["depends_on"] == SERVICES["worker"]["depends_on"] == servers | migration


def test_the_api_and_the_worker_see_the_same_blobs() -> None:
    assert SERVICES["api"]["volumes"] == SERVICES["worker"]["volumes"] == ["files:/var/lib/warehouse"]
    assert "WAREHOUSE_DATA_DIR=/var/lib/warehouse" in FINAL["ENV"]


def test_a_worker_is_not_killed_while_it_drains() -> None:
    assert int(SERVICES["worker"]["stop_grace_period"].rstrip("s")) > DRAIN_SECONDS


def test_the_api_can_be_scaled() -> None:
    assert "container_name" not in SERVICES["api"]
    assert all(re.search(r"\d+-\d+:8000$", ports) for ports in SERVICES["api"]["ports"])


@pytest.fixture
def private_valkey() -> Iterator[Valkey]:
    with Valkey() as server:
        yield server


@pytest.fixture
def settings(private_valkey: Valkey, fresh_database: FreshDatabase) -> dict[str, str]:
    """The settings of compose.yaml, with the addresses of test servers."""
    settings = {
        "WAREHOUSE_DATABASE_URL": fresh_database("mariadb"),
        "WAREHOUSE_REDIS_URL": private_valkey.url(),
        "WAREHOUSE_LOG_LEVEL": "info",
    }
    assert all(SERVICES[name]["environment"].keys() == settings.keys() for name in OURS)
    return settings


@pytest.fixture
def migrated(settings: dict[str, str], tmp_path: Path) -> dict[str, str]:
    with container("migrate", settings, tmp_path) as process:
        assert process.wait(READY_SECONDS) == 0
    return settings


def test_migrate_may_run_again(migrated: dict[str, str], tmp_path: Path) -> None:
    with container("migrate", migrated, tmp_path) as process:
        assert process.wait(READY_SECONDS) == 0


def test_the_api_becomes_healthy_and_stops_when_told(migrated: dict[str, str], tmp_path: Path) -> None:
    port = str(free_port())
    health_check = FINAL["HEALTHCHECK"].partition("CMD ")[2].replace("8000", port)
    python, *arguments = json.loads(health_check)
    assert python == "python"
    here = {"8000": port, "0.0.0.0": "127.0.0.1"}  # noqa: S104 - what the test replaces
    with container("api", migrated, tmp_path, here) as process:
        wait_until(process, lambda: succeeds(arguments))
        process.terminate()
        # uvicorn raises the signal again when it has shut down.
        assert process.wait(STOP_SECONDS) in (0, -signal.SIGTERM)


def test_the_worker_becomes_healthy_and_stops_when_told(
    migrated: dict[str, str], private_valkey: Valkey, tmp_path: Path
) -> None:
    port = str(free_port())
    kind, python, *check = SERVICES["worker"]["healthcheck"]["test"]
    assert (kind, python) == ("CMD", "python")
    here = {"8001": port, "0.0.0.0": "127.0.0.1"}  # noqa: S104 - what the test replaces
    with (
        redis.Redis.from_url(private_valkey.url()) as client,
        container("worker", migrated, tmp_path, here) as process,
    ):
        wait_until(process, lambda: succeeds([each.replace("8001", port) for each in check]))
        wait_until(process, lambda: len(client.client_list()) > 1)
        process.terminate()
        assert process.wait(STOP_SECONDS) == 0


def succeeds(arguments: Sequence[str]) -> bool:
    return subprocess.run([sys.executable, *arguments], capture_output=True, check=False).returncode == 0


@contextmanager
def container(
    service: str, settings: dict[str, str], folder: Path, replaced: Mapping[str, str] = MappingProxyType({})
) -> Iterator[subprocess.Popen[bytes]]:
    """What the service's container would run, outside of one; `replaced` are words of its command."""
    command = json.loads(FINAL["ENTRYPOINT"]) + (SERVICES[service].get("command") or json.loads(FINAL["CMD"]))
    program, *arguments = [replaced.get(word, word) for word in command]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WAREHOUSE_")}
    process = subprocess.Popen(
        [SCRIPTS / program, *arguments],
        cwd=folder,
        env=inherited | settings | {"WAREHOUSE_DATA_DIR": str(folder)},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_until(process: subprocess.Popen[bytes], condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not ready after {READY_SECONDS} s"
        with suppress(subprocess.TimeoutExpired):
            pytest.fail(f"ended with {process.wait(0.1)}")
