"""API keys and roles. A key is `wh_` + prefix + `_` + secret; only the SHA-256 of the whole is kept."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

KEY_START = "wh_"
PREFIX_LENGTH = 12
SECRET_BYTES = 32


class Role(StrEnum):
    """Each role may do all that the ones before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    MANAGER = "manager"
    ADMIN = "admin"

    def covers(self, needed: "Role") -> bool:
        return _RANKS[self] >= _RANKS[needed]


_RANKS = {role: rank for rank, role in enumerate(Role)}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking: the API key's id, name and role."""

    id: UUID
    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class ApiKey:
    """Field names and order are those of the wire. `prefix` is public; it is how a key is recognised in a list."""

    id: UUID
    name: str
    role: Role
    prefix: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None

    def usable(self, at: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or at < self.expires_at)

    def caller(self) -> Caller:
        return Caller(self.id, self.name, self.role)


@dataclass(frozen=True, slots=True)
class Secret:
    """A key in the clear, seen once."""

    text: str

    @classmethod
    def generate(cls) -> "Secret":
        alphabet = "abcdefghijklmnopqrstuvwxyz234567"
        prefix = "".join(secrets.choice(alphabet) for _ in range(PREFIX_LENGTH))
        return cls(f"{KEY_START}{prefix}_{secrets.token_urlsafe(SECRET_BYTES)}")

    @classmethod
    def parse(cls, text: str) -> "Secret | None":
        """None where it cannot be a key of ours."""
        head, _, tail = text.removeprefix(KEY_START).partition("_")
        if not text.startswith(KEY_START) or not text.isascii():
            return None
        well_formed = len(head) == PREFIX_LENGTH and head.isalnum() and 0 < len(tail) <= 64
        return cls(text) if well_formed else None

    @property
    def prefix(self) -> str:
        return self.text[len(KEY_START) :][:PREFIX_LENGTH]

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.text.encode()).digest()

    def matches(self, digest: bytes) -> bool:
        """Compares in constant time."""
        return hmac.compare_digest(self.digest, digest)

    def __repr__(self) -> str:
        return f"Secret({KEY_START}{self.prefix}_…)"
