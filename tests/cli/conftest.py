import io
import logging
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from warehouse import cli
from warehouse.settings import PREFIX


@dataclass(frozen=True)
class Run:
    """What became of a command."""

    status: int
    out: str
    err: str

    @property
    def message(self) -> str:
        """What it said where it was refused: one line, and nothing else."""
        assert (self.status, self.out) == (2, "")
        assert self.err.count("\n") == 1
        return self.err.strip()


Warehouse = Callable[..., Run]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with no settings but the defaults."""
    for name in os.environ:
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def _logging_as_it_was() -> Iterator[None]:
    """Commands log to the standard error that they find, which ends with their test."""
    root, access = logging.getLogger(), logging.getLogger("uvicorn.access")
    handlers, level, disabled = root.handlers[:], root.level, access.disabled
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    access.disabled = disabled


@pytest.fixture
def warehouse(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], _logging_as_it_was: None
) -> Warehouse:
    """Runs a command in this process; by default on the embedded database of the current folder."""
    assert Path.cwd() == folder

    def warehouse(*arguments: str, stdin: bytes = b"") -> Run:
        monkeypatch.setattr(sys, "argv", ["warehouse", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return Run(int(ended.value.code or 0), said.out, said.err)

    return warehouse
