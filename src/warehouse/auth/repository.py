from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from warehouse.auth.model import ApiKey, Role, Secret


class ApiKeyRepository(Protocol):
    """API keys; of a secret only its prefix and its digest are stored."""

    async def add(
        self, key_id: UUID, name: str, role: Role, secret: Secret, at: datetime, expires_at: datetime | None
    ) -> ApiKey: ...

    async def get(self, key_id: UUID) -> ApiKey | None: ...

    async def by_prefix(self, prefix: str) -> tuple[ApiKey, bytes] | None:
        """The key and the digest of its secret."""
        ...

    async def renew(self, key_id: UUID, secret: Secret) -> ApiKey | None:
        """Put another secret in the place of the old one; None where the key is unknown or revoked."""
        ...

    async def revoke(self, key_id: UUID, at: datetime) -> bool:
        """Whether there is such a key. One that is revoked already keeps its time."""
        ...

    async def touch(self, key_id: UUID, at: datetime) -> None:
        """Note the time of its last use."""
        ...

    async def page(self, after: Sequence[Any] | None, limit: int) -> list[ApiKey]:
        """In the order of their ids, which is that of their making; `after` holds the last id seen."""
        ...
