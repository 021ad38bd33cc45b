import hashlib
from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import Table, bindparam, delete, insert, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from warehouse.commands.model import Answer, Command, CommandRecord
from warehouse.errors import Code, Conflict
from warehouse.storage.connection import Connection
from warehouse.storage.failures import is_lock_timeout
from warehouse.storage.tables import commands, reversals

# Made once and kept: SQLAlchemy needs more time to build a statement than the database does to answer it.
_FIND = select(commands).where(
    commands.c.caller_id == bindparam("caller"),
    commands.c.key_digest == bindparam("digest"),
    commands.c.status.is_not(None),
)
_RECORD = (
    update(commands)
    .where(commands.c.id == bindparam("command_id"))
    .values({name: bindparam(name) for name in ("status", "headers", "body", "tags")})
)
_INSERT = {table: insert(table) for table in (commands, reversals)}


class SqlCommandRepository:
    """Keys are kept as their SHA-256, for they may be secrets of the caller's. `tags` are those of what the transaction
    has written so far; they are kept too, as a replay releases them again."""

    def __init__(self, connection: Connection, tags: Collection[str]) -> None:
        self._connection = connection
        self._tags = tags

    async def find(self, caller_id: UUID, key: str) -> CommandRecord | None:
        values = {"caller": caller_id, "digest": _digest(key)}
        row = (await self._connection.execute(_FIND, values)).one_or_none()
        if row is None:
            return None
        answer = Answer(row.status, row.body, row.headers)
        return CommandRecord(row.id, row.request_hash, answer, row.recorded_at, frozenset(row.tags or ()))

    async def claim(self, command: Command, at: datetime) -> bool:
        values = {
            "id": command.id,
            "caller_id": command.caller_id,
            "key_digest": _digest(command.key or ""),
            "request_hash": command.request_hash,
            "recorded_at": at,
        }
        try:
            return await self._insert(commands, values)
        except DBAPIError as error:
            if is_lock_timeout(error):
                detail = "The first request with this key is still running."
                raise Conflict(detail, code=Code.IDEMPOTENCY_IN_PROGRESS) from error
            raise

    async def record(self, command: Command, answer: Answer) -> None:
        values = {
            "command_id": command.id,
            "status": answer.status,
            "headers": dict(answer.headers),
            "body": answer.body,
            "tags": sorted(self._tags),
        }
        await self._connection.execute(_RECORD, values)

    async def mark_reversed(self, command_id: UUID, reversal_id: UUID, at: datetime) -> bool:
        return await self._insert(reversals, {"command_id": command_id, "reversal_id": reversal_id, "recorded_at": at})

    async def remove_before(self, moment: datetime, limit: int) -> int:
        old = select(commands.c.id).where(commands.c.recorded_at < moment).order_by(commands.c.recorded_at)
        ids = (await self._connection.execute(old.limit(limit))).scalars().all()
        if ids:
            await self._connection.execute(delete(commands).where(commands.c.id.in_(ids)))
        return len(ids)

    async def _insert(self, table: Table, values: dict[str, object]) -> bool:
        try:
            await self._connection.execute(_INSERT[table], values)
        except IntegrityError:
            return False
        return True


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
