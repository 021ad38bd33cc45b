from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, insert, or_, select, update

from warehouse.auth.model import ApiKey, Role, Secret
from warehouse.storage.connection import Connection
from warehouse.storage.dialects import behind
from warehouse.storage.tables import api_keys

COLUMNS = [api_keys.c[name] for name in ApiKey.__dataclass_fields__]
WITH_DIGEST = [*COLUMNS, api_keys.c.digest]


class SqlApiKeyRepository:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(
        self, key_id: UUID, name: str, role: Role, secret: Secret, at: datetime, expires_at: datetime | None
    ) -> ApiKey:
        key = ApiKey(key_id, name, role, secret.prefix, at, expires_at, last_used_at=None, revoked_at=None)
        values = {column.name: getattr(key, column.name) for column in COLUMNS}
        await self._connection.execute(insert(api_keys), {**values, "digest": secret.digest})
        return key

    async def get(self, key_id: UUID) -> ApiKey | None:
        row = (await self._connection.execute(select(*COLUMNS).where(api_keys.c.id == key_id))).one_or_none()
        return None if row is None else _api_key(row)

    async def by_prefix(self, prefix: str) -> tuple[ApiKey, bytes] | None:
        statement = select(*WITH_DIGEST).where(api_keys.c.prefix == prefix)
        row = (await self._connection.execute(statement)).one_or_none()
        return None if row is None else (_api_key(row), row.digest)

    async def renew(self, key_id: UUID, secret: Secret) -> ApiKey | None:
        result = await self._connection.execute(
            update(api_keys).where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None)),
            {"prefix": secret.prefix, "digest": secret.digest},
        )
        return await self.get(key_id) if result.rowcount == 1 else None

    async def revoke(self, key_id: UUID, at: datetime) -> bool:
        result = await self._connection.execute(
            update(api_keys).where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None)), {"revoked_at": at}
        )
        return result.rowcount == 1 or await self.get(key_id) is not None

    async def touch(self, key_id: UUID, at: datetime) -> None:
        # Processes note uses of one key side by side: the latest stands, whoever comes last.
        later = or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at < at)
        await self._connection.execute(update(api_keys).where(api_keys.c.id == key_id, later), {"last_used_at": at})

    async def page(self, after: Sequence[Any] | None, limit: int) -> list[ApiKey]:
        statement = select(*COLUMNS).order_by(api_keys.c.id).limit(limit)
        if after is not None:
            statement = statement.where(behind((api_keys.c.id,), after, descending=False))
        return [_api_key(row) for row in await self._connection.execute(statement)]


def _api_key(row: Row[Any]) -> ApiKey:
    return ApiKey(
        row.id,
        row.name,
        Role(row.role),
        row.prefix,
        row.created_at,
        row.expires_at,
        row.last_used_at,
        row.revoked_at,
    )
