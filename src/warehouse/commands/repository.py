from datetime import datetime
from typing import Protocol
from uuid import UUID

from warehouse.commands.model import Answer, Command, CommandRecord


class CommandRepository(Protocol):
    """Idempotency records, unique on (caller, key), written in the transaction of the effect."""

    async def find(self, caller_id: UUID, key: str) -> CommandRecord | None: ...

    async def claim(self, command: Command, at: datetime) -> bool:
        """Take the key for this command; False where another command has it. While another transaction that
        took it is open this waits for its end; raises `Conflict(IDEMPOTENCY_IN_PROGRESS)` if that takes too long."""
        ...

    async def record(self, command: Command, answer: Answer) -> None:
        """Keep the answer of a claimed command."""
        ...

    async def mark_reversed(self, command_id: UUID, reversal_id: UUID, at: datetime) -> bool:
        """Note that `reversal_id` reverses `command_id`; False where another command has reversed it already."""
        ...

    async def remove_before(self, moment: datetime, limit: int) -> int:
        """Forget the answers of commands recorded before, so many at most; how many they were."""
        ...
