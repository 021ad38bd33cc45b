"""Column types that mean the same on every database."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import LargeBinary, String, Text
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.types import JSON, DateTime, TypeDecorator, TypeEngine


class Id(TypeDecorator[UUID]):
    """A UUID in 16 bytes: BINARY(16) on MySQL, BLOB on SQLite, uuid on PostgreSQL."""

    impl = LargeBinary(16)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.UUID(as_uuid=True))
        if dialect.name == "sqlite":
            return dialect.type_descriptor(LargeBinary(16))
        return dialect.type_descriptor(mysql.BINARY(16))

    def bind_processor(self, dialect: Dialect) -> Callable[[UUID | None], Any] | None:
        if dialect.name == "postgresql":
            return None
        return lambda value: None if value is None else value.bytes

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], UUID | None] | None:
        if dialect.name == "postgresql":
            # asyncpg's is a subclass that JSON encoders do not know.
            return lambda value: None if value is None else UUID(int=value.int)
        return lambda value: None if value is None else UUID(bytes=value)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime with microseconds, in UTC."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.TIMESTAMP(timezone=True, precision=6))
        if dialect.name == "sqlite":
            return dialect.type_descriptor(DateTime())
        return dialect.type_descriptor(mysql.DATETIME(fsp=6))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        utc = value.astimezone(UTC)
        return utc if dialect.name == "postgresql" else utc.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


class _Variants(TypeDecorator[Any]):
    """A type that each database spells in its own way."""

    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        name = "mysql" if dialect.name == "mariadb" else dialect.name
        return dialect.type_descriptor(self._spelled(name))

    def _spelled(self, dialect: str) -> TypeEngine[Any]:
        raise NotImplementedError(dialect)


class ExactText(_Variants):
    """Text that compares by code point, so that a unique key means the same everywhere."""

    impl = String
    cache_ok = True

    def _spelled(self, dialect: str) -> TypeEngine[Any]:
        length: int = getattr(self.impl_instance, "length", 0)
        if dialect == "mysql":
            return mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
        return postgresql.VARCHAR(length, collation="C") if dialect == "postgresql" else String(length)


class HumanText(_Variants):
    """Text that sorts as people read it, as far as the database knows how."""

    impl = String
    cache_ok = True

    def _spelled(self, dialect: str) -> TypeEngine[Any]:
        length: int = getattr(self.impl_instance, "length", 0)
        if dialect == "mysql":
            return mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_unicode_ci")
        return sqlite.VARCHAR(length, collation="NOCASE") if dialect == "sqlite" else String(length)


class LongText(_Variants):
    impl = Text
    cache_ok = True

    def _spelled(self, dialect: str) -> TypeEngine[Any]:
        return mysql.MEDIUMTEXT(charset="utf8mb4", collation="utf8mb4_bin") if dialect == "mysql" else Text()


class JsonText(_Variants):
    impl = JSON
    cache_ok = True

    def _spelled(self, dialect: str) -> TypeEngine[Any]:
        # Not JSONB, which makes integers of large fractions: 1e300 comes back with 301 digits.
        return postgresql.JSON() if dialect == "postgresql" else JSON()


class LongBytes(_Variants):
    impl = LargeBinary
    cache_ok = True

    def _spelled(self, dialect: str) -> TypeEngine[Any]:
        return mysql.LONGBLOB() if dialect == "mysql" else LargeBinary()


class Digest(_Variants):
    """32 bytes of SHA-256."""

    impl = LargeBinary
    cache_ok = True

    def __init__(self) -> None:
        super().__init__(32)

    def _spelled(self, dialect: str) -> TypeEngine[Any]:
        return mysql.BINARY(32) if dialect == "mysql" else LargeBinary(32)
