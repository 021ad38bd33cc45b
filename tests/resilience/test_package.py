"""The package stands alone."""

import ast
import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.conftest import ROOT
from warehouse.resilience import CircuitBreakerListener, CircuitBreakerState

SOURCE = ROOT / "src/warehouse"
MODULES = sorted((SOURCE / "resilience").glob("*.py"))


def imported(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    whole = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    return whole | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}


def test_the_contract_names_everything_else_of_the_service() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [contract] = [each for each in contracts if each.get("source_modules") == ["warehouse.resilience"]]
    others = {path.stem for path in SOURCE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    others -= {"__init__", "__main__", "resilience"}
    assert set(contract["forbidden_modules"]) == {f"warehouse.{name}" for name in others}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_imports_nothing_but_what_it_may(path: Path) -> None:
    """And aiobreaker and tenacity in one place each."""
    theirs = {name.split(".")[0] for name in imported(path)} - set(sys.stdlib_module_names) - {"warehouse"}
    assert theirs <= {{"names": "aiobreaker", "retrying": "tenacity"}.get(path.stem)}
    assert all(name.startswith("warehouse.resilience") for name in imported(path) if name.startswith("warehouse"))


def test_it_can_be_imported_alone() -> None:
    """With none of the service's other dependencies but redis, which aiobreaker imports where it is installed."""
    program = "import sys, warehouse.resilience; print(*{name.split('.')[0] for name in sys.modules})"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert {"aiobreaker", "tenacity"} <= set(run.stdout.split())
    assert not {"fastapi", "sqlalchemy", "prometheus_client", "pydantic"} & set(run.stdout.split())


def test_aiobreaker_has_what_our_types_say_it_has() -> None:
    assert CircuitBreakerState.__module__.startswith("aiobreaker")
    assert {state.name for state in CircuitBreakerState} == {"CLOSED", "OPEN", "HALF_OPEN"}
    functions = inspect.getmembers(CircuitBreakerListener, inspect.isfunction)
    hooks = {name: list(inspect.signature(hook).parameters) for name, hook in functions}
    assert hooks == {
        "before_call": ["self", "breaker", "func", "args", "kwargs"],
        "success": ["self", "breaker"],
        "failure": ["self", "breaker", "exception"],
        "state_change": ["self", "breaker", "old", "new"],
    }
