"""The architecture's rules that the import contracts rest on: nothing of a slice may stand outside of them."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "src/warehouse"
CONTRACTS: list[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
    "contracts"
]
USE_CASES = [
    path
    for path in PACKAGE.glob("*/*.py")
    if "warehouse.unit_of_work import" in path.read_text()
    # Like routers, jobs know how things are written; the layers keep everything else from them.
    and path.stem != "jobs"
]
SLICES = {path.parent.name for path in USE_CASES}


def contract(start: str) -> dict[str, Any]:
    [found] = [each for each in CONTRACTS if each["name"].startswith(start)]
    return found


def test_every_slice_is_layered() -> None:
    assert {"catalogue", "locations", "stock", "exchange", "auth", "commands", "tasks"} <= SLICES
    assert {f"warehouse.{name}" for name in SLICES} == set(contract("Within a slice")["containers"])


def test_every_slice_that_others_stand_on_has_its_place_among_them() -> None:
    placed = {name.strip() for layer in contract("Between slices")["layers"] for name in layer.split("|")}
    # Who is asking is told to the slices; they do not ask for it.
    assert placed == SLICES - {"auth"}


@pytest.mark.parametrize("path", USE_CASES, ids=lambda path: f"{path.parent.name}.{path.stem}")
def test_every_module_with_a_use_case_has_its_layer_and_is_kept_from_frameworks(path: Path) -> None:
    layers = contract("Within a slice")["layers"]
    kept = contract("Models, repositories and services")["source_modules"]
    assert path.stem in {module.strip(" ()") for layer in layers for module in layer.split("|")}
    assert {f"warehouse.{path.parent.name}.{path.stem}", f"warehouse.*.{path.stem}"} & set(kept)


def test_only_the_entry_points_read_settings_and_nobody_keeps_them_in_a_global() -> None:
    readers = set()
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        called = {
            node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        if called & {"Settings", "load_settings"}:
            readers.add(path.relative_to(PACKAGE).as_posix())
        assert not set(calls_at_import(tree)) & {"Settings", "load_settings", "Container", "create_app"}, path
    assert readers == {"app.py", "cli.py", "settings.py"}


def calls_at_import(tree: ast.Module) -> Iterator[str]:
    """The names of what is called when the module is imported."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id
        waiting += ast.iter_child_nodes(node)


def test_the_environment_is_read_by_the_settings_alone() -> None:
    readers = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if any(text in path.read_text() for text in ("os.environ", "getenv"))
    }
    # serving.py tells the server's processes where the private Valkey and the folder of metrics are, and the library of
    # metrics.py takes that from nowhere else. isolating.py hands on what is there but for that folder.
    assert readers == {"settings.py", "serving.py", "metrics.py", "tasks/isolating.py"}
