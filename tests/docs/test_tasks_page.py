"""docs/tasks.md is true to the letter: its commands are run in order, and print what it shows."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, FreshDatabase
from tests.serving import WarehouseServer
from warehouse.auth.model import Role
from warehouse.exchange.report_model import ReportKind
from warehouse.settings import setting_names

PAGE = (ROOT / "docs/tasks.md").read_text()
FLOW = PAGE.split("## What is promised")[0]
BLOCK = re.compile(r"```sh\n(.*?)```\n(?:\n```\n(.*?)```\n)?", re.DOTALL)
SECONDS = 120
END = "--- the end of a block ---"

CHANGING = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"), "ID"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z"), "TIME"),
    (re.compile(r"^[0-9a-f]{32}$"), "REQUEST"),
)


@dataclass
class Step:
    command: str
    shown: str
    printed: str = ""

    @property
    def title(self) -> str:
        return self.command.strip().splitlines()[-1]


STEPS = [Step(*found) for found in BLOCK.findall(FLOW)]


@pytest.fixture(scope="module")
def server(fresh_database: FreshDatabase) -> Iterator[WarehouseServer]:
    with WarehouseServer(fresh_database("sqlite"), workers=1) as server:
        yield server


@pytest.fixture(scope="module")
def steps(server: WarehouseServer, tmp_path_factory: pytest.TempPathFactory) -> list[Step]:
    """All but the first, which says where the server is, with what they print."""
    first, *rest = STEPS
    assert "WAREHOUSE=" in first.command
    assert "KEY=" in first.command
    script = "\n".join(["set -euo pipefail", *(f"{step.command}\necho\necho '{END}'" for step in rest)])
    run = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path_factory.mktemp("page"),
        env={**os.environ, "WAREHOUSE": server.url, "KEY": server.key(Role.MANAGER), "no_proxy": "*"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    for step, printed in zip(rest, run.stdout.split(END), strict=False):
        step.printed = printed
    return rest


def test_every_command_prints_what_the_page_shows(steps: list[Step]) -> None:
    assert sum(bool(step.shown) for step in steps) >= 10
    for step in steps:
        if "event: " in step.shown:
            seen, shown = _events(step.printed), _events(step.shown)
            assert seen[-1] == shown[-1], step.title
            # How many come before the end depends on who is faster.
            assert {_shape(event) for event in seen} <= {_shape(event) for event in shown}, step.title
        else:
            assert _parts(step.printed) == _parts(step.shown), step.title


def _parts(text: str) -> list[Any]:
    """JSON documents and lines, without what is another one each time."""
    parts: list[Any] = []
    while text := text.strip():
        if text.startswith("{"):
            document, end = json.JSONDecoder().raw_decode(text)
            parts.append(_lasting(document))
        else:
            end = (text + "\n").index("\n")
            parts.append(text[:end])
        text = text[end:]
    return parts


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: "RATE" if name == "rate" and each else _lasting(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_lasting(each) for each in value]
    if isinstance(value, str):
        for pattern, word in CHANGING:
            value = pattern.sub(word, value)
    return value


def _events(text: str) -> list[tuple[str, Any]]:
    found = re.findall(r"^id: \d+\nevent: (\w+)\ndata: (.*)$", text, re.MULTILINE)
    return [(name, _lasting(json.loads(data))) for name, data in found]


def _shape(event: tuple[str, Any]) -> tuple[str, ...]:
    name, data = event
    return (name, *data, *data["progress"])


def test_every_report_is_named() -> None:
    assert all(f"`{kind}`" in PAGE for kind in ReportKind)


def test_settings_are_called_as_they_are() -> None:
    told = set(re.findall(r"`(WAREHOUSE_[A-Z_]+)`", PAGE))
    assert told <= set(setting_names())
    assert {name for name in setting_names() if name.startswith("WAREHOUSE_JOBS_")} <= told


def test_every_link_leads_somewhere() -> None:
    for link in re.findall(r"\]\(([^)]+)\)", PAGE):
        assert (ROOT / "docs" / link).exists(), link


def test_the_readme_leads_here() -> None:
    assert "docs/tasks.md" in (ROOT / "README.md").read_text()


def test_the_page_leaves_nothing_behind(steps: list[Step], server: WarehouseServer) -> None:
    """Of uploads and results nothing but what tasks have."""
    partial = Path(server.folder) / "var" / "blobs" / "+partial"
    assert steps
    assert not list(partial.iterdir())
