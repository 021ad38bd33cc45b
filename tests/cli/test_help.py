"""Every command explains itself, with an example that it would take."""

import re
from collections.abc import Iterator

import pytest
import typer

from tests.cli.conftest import Warehouse
from warehouse.cli import app

COMMANDS = {
    ("serve",),
    ("demo",),
    ("worker",),
    ("migrate",),
    ("import",),
    ("openapi",),
    ("check",),
    ("keys",),
    ("keys", "create"),
    ("keys", "list"),
    ("keys", "revoke"),
}


def commands(group: typer.Typer, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for command in group.registered_commands:
        yield (*path, command.name or str(getattr(command.callback, "__name__", "")))
    for nested in group.registered_groups:
        assert nested.name
        assert nested.typer_instance
        yield (*path, nested.name)
        yield from commands(nested.typer_instance, (*path, nested.name))


def words(text: str) -> str:
    """Without colours, frames and line ends."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m|[│╭╮╰╯─]", " ", text).split())


def test_the_cases_here_are_all_the_commands() -> None:
    assert set(commands(app)) == COMMANDS


@pytest.mark.parametrize("command", sorted(COMMANDS), ids=" ".join)
def test_every_command_has_help_with_an_example(command: tuple[str, ...], warehouse: Warehouse) -> None:
    run = warehouse(*command, "--help")
    assert (run.status, run.err) == (0, "")
    example = words(run.out).partition("Example: ")[2]
    assert "warehouse " + " ".join(command) in example


def test_without_a_command_it_lists_them_with_an_example(warehouse: Warehouse) -> None:
    run = warehouse()
    assert run.status == 2
    listed = words(run.out + run.err)
    assert all(command in listed for command, *_ in COMMANDS)
    assert "Example: warehouse demo" in listed


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["sreve"], "sreve"),
        (["serve", "--port", "0"], "--port"),
        (["serve", "--port", "65536"], "--port"),
        (["serve", "--workers", "0"], "--workers"),
        (["serve", "--prot", "8000"], "--prot"),
        (["import", "sheep", "file.csv"], "sheep"),
        (["import", "products"], "file"),
        (["keys", "create", "--role", "king", "--name", "x"], "king"),
        (["keys", "create", "--role", "admin"], "--name"),
    ],
)
def test_an_argument_that_cannot_be_is_named(arguments: list[str], named: str, warehouse: Warehouse) -> None:
    run = warehouse(*arguments)
    assert (run.status, run.out) == (2, "")
    assert named in words(run.err)
    assert "Traceback" not in run.err
