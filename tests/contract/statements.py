"""What is sent to a database."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

Statement = tuple[str, Any]
"""With its parameters."""


@contextmanager
def recorded() -> Iterator[list[Statement]]:
    """The statements that this task sends meanwhile; in the background others may send some."""
    statements: list[Statement] = []
    task = asyncio.current_task()

    def record(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        if asyncio.current_task() is task:
            statements.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", record)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", record)
