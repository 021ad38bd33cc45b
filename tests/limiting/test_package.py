"""The package stands alone but for resilience."""

import tomllib

from tests.conftest import ROOT

SOURCE = ROOT / "src/warehouse"


def test_the_contract_names_everything_else_of_the_service() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [contract] = [each for each in contracts if each.get("source_modules") == ["warehouse.limiting"]]
    others = {path.stem for path in SOURCE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    others -= {"__init__", "__main__", "limiting", "resilience"}
    assert set(contract["forbidden_modules"]) == {f"warehouse.{name}" for name in others} | {
        "fastapi",
        "slowapi",
        "starlette",
    }
