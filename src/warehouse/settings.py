"""Everything that can be set, read once at the start from the environment and `.env`, and passed in from there."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "WAREHOUSE_"
TEST_PREFIX = "WAREHOUSE_TEST_"
KUBERNETES_LINK = re.compile(r"WAREHOUSE_(SERVICE_(HOST|PORT).*|PORT(_.*)?)")
"""What Kubernetes sets in every container beside a service that is called warehouse."""

ENV_FILE = ".env"
DATABASES = ("sqlite+aiosqlite", "mysql+aiomysql", "mysql+asyncmy", "mariadb+aiomysql", "postgresql+asyncpg")
REDIS_SCHEMES = ("redis", "rediss", "unix")


class Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DatabaseSettings(Group):
    url: str = ""
    """Empty: a SQLite file in the data directory."""
    pool_size: int = Field(default=10, ge=1, le=1000)
    timeout: float = Field(default=5.0, gt=0, le=3600)
    """Seconds to wait for the server to connect, for a lock, and for one statement."""

    @field_validator("url")
    @classmethod
    def _known_driver(cls, url: str) -> str:
        if url and urlsplit(url).scheme not in DATABASES:
            raise ValueError(f"must begin with one of {', '.join(name + '://' for name in DATABASES)}")
        return url


class RedisSettings(Group):
    url: str = ""
    """Empty: a private Valkey, started and stopped with the server."""

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, url: str) -> str:
        if url and urlsplit(url).scheme not in REDIS_SCHEMES:
            raise ValueError(f"must begin with one of {', '.join(name + '://' for name in REDIS_SCHEMES)}")
        return url


class CacheSettings(Group):
    enabled: bool = True


class RateLimitSettings(Group):
    enabled: bool = True


class JobSettings(Group):
    in_process: bool = False
    """Run the worker inside the server. With the private Valkey that is so anyway."""


class LimitSettings(Group):
    body_bytes: int = Field(default=8 * 1024 * 1024, ge=1024)
    """The largest request body."""


class Settings(BaseSettings):
    """`WAREHOUSE_DATABASE_URL` sets `database.url`, and so on."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="_",
        env_nested_max_split=1,
        env_file=ENV_FILE,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
    )

    database: DatabaseSettings = DatabaseSettings()
    redis: RedisSettings = RedisSettings()
    cache: CacheSettings = CacheSettings()
    rate_limit: RateLimitSettings = RateLimitSettings()
    jobs: JobSettings = JobSettings()
    limits: LimitSettings = LimitSettings()
    data_dir: Path = Path("var")
    request_timeout: float = Field(default=15.0, gt=0, le=300)
    """Seconds within which every request is answered."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("log_level", mode="before")
    @classmethod
    def _any_case(cls, level: object) -> object:
        return level.lower() if isinstance(level, str) else level

    def with_database_timeout(self, seconds: float) -> "Settings":
        """These settings, with more or less patience for the database."""
        return self.model_copy(update={"database": self.database.model_copy(update={"timeout": seconds})})

    @property
    def database_url(self) -> str:
        return self.database.url or f"sqlite+aiosqlite:///{(self.data_dir / 'warehouse.db').absolute()}"


class SettingsError(ValueError):
    """Names every setting that is wrong, and why; one a line."""


def load_settings() -> Settings:
    """Raises `SettingsError`, for a name that begins with WAREHOUSE_ and means nothing as well."""
    faults = [f"{name}: there is no such setting" for name in sorted(_given_names() - set(setting_names()))]
    try:
        settings = Settings()
    except ValidationError as error:
        faults += [
            f"{PREFIX}{'_'.join(map(str, each['loc'])).upper()}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors()
        ]
    if faults:
        raise SettingsError("\n".join(faults))
    return settings


def setting_names() -> Iterator[str]:
    """The names of all settings, as they stand in the environment."""
    for name, field in Settings.model_fields.items():
        group = field.annotation
        if isinstance(group, type) and issubclass(group, Group):
            yield from (f"{PREFIX}{name}_{each}".upper() for each in group.model_fields)
        else:
            yield f"{PREFIX}{name}".upper()


def _given_names() -> set[str]:
    names = {name.upper() for name in (*os.environ, *dotenv_values(ENV_FILE))}
    ours = {name for name in names if name.startswith(PREFIX) and not name.startswith(TEST_PREFIX)}
    return {name for name in ours if not KUBERNETES_LINK.fullmatch(name)}
