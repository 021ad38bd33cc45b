"""Everything that can be set, read once at the start from the environment and `.env`, and passed in from there."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableGroup
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from warehouse.http.client_address import parse_networks
from warehouse.limiting import parse_quota
from warehouse.policies import Overrides, parse_overrides

PREFIX = "WAREHOUSE_"
TEST_PREFIX = "WAREHOUSE_TEST_"
KUBERNETES_LINK = re.compile(r"WAREHOUSE_(SERVICE_(HOST|PORT).*|PORT(_.*)?)")
"""What Kubernetes sets in every container beside a service that is called warehouse."""

ENV_FILE = ".env"
DATABASES = ("sqlite+aiosqlite", "mysql+aiomysql", "mysql+asyncmy", "mariadb+aiomysql", "postgresql+asyncpg")
S3_PLACE = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9_-][A-Za-z0-9._-]*){0,8}/?")
REGION = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
REDIS_SCHEMES = ("redis", "rediss", "unix")

Secret = TypeVar("Secret", str, SecretStr)


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
    def _usable(cls, url: str) -> str:
        if not url:
            return url
        scheme = _scheme(url, DATABASES)
        try:
            database = make_url(url).database
        except (ArgumentError, ValueError):
            raise ValueError(f"must have the form {scheme}://user:password@host:port/database") from None
        if scheme.startswith("sqlite") and database in (None, "", ":memory:"):
            raise ValueError("must name a file")
        driver = scheme.partition("+")[2]
        if find_spec(driver) is None:
            raise ValueError(f"needs the Python package {driver}, which is not installed")
        return url


class RedisSettings(Group):
    url: str = ""
    """Empty: a private Valkey, started and stopped with the server."""

    @field_validator("url")
    @classmethod
    def _usable(cls, url: str) -> str:
        return _redis_address(url)


def _redis_address(url: str) -> str:
    if not url:
        return url
    scheme = _scheme(url, REDIS_SCHEMES)
    form = "/path?db=0" if scheme == "unix" else "host:port/0"
    if not _is_redis_address(url):
        raise ValueError(f"must have the form {scheme}://user:password@{form}, special characters %-encoded")
    return url


def _scheme(url: str, known: Sequence[str]) -> str:
    """Like all that is said about a URL, the message repeats nothing of it: there is a password in it."""
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in known:
        raise ValueError(f"must begin with one of {', '.join(name + '://' for name in known)}")
    return scheme


def _is_redis_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, database = parts.hostname, parts.path.strip("/")
        if parts.scheme == "unix":
            return bool(database)
        return host is not None and parts.port != 0 and (not database or database.isdecimal())
    except ValueError:
        return False


class CacheSettings(Group):
    """How many seconds each kind of answer is kept at most; writes end it at once."""

    enabled: bool = True
    redis_url: str = ""
    """Empty: that of `redis.url`."""
    timeout: float = Field(default=0.5, gt=0, le=60)
    """Seconds after which Redis counts as not answering."""
    stale_seconds: float = Field(default=60, ge=0, le=86400)
    """For so long what is cached is shown while the database does not answer, to whoever does not refuse that."""
    product_seconds: float = Field(default=600, ge=0, le=86400)
    products_seconds: float = Field(default=60, ge=0, le=86400)
    snapshot_seconds: float = Field(default=3600, ge=0, le=86400)
    places_seconds: float = Field(default=600, ge=0, le=86400)
    stock_seconds: float = Field(default=60, ge=0, le=86400)

    @field_validator("redis_url")
    @classmethod
    def _usable(cls, url: str) -> str:
        return _redis_address(url)

    def seconds(self, kind: str) -> float:
        found: float = getattr(self, f"{kind}_seconds")
        return found


class RateLimitSettings(Group):
    """Quotas are written as in "600/minute" or "100 per 10 seconds". They hold for all processes together."""

    enabled: bool = True
    default: str = "30000/minute"
    """What one key may read."""
    writes: str = "6000/minute"
    """What it may send besides that changes something."""
    heavy: str = "600/minute"
    """Requests of whole tables: the catalogue, a batch, the integrity of the ledger."""
    strangers: str = "600/minute"
    """What one address may ask without a key, or with one that is not known."""
    trusted_proxies: str = ""
    """Networks, as in "10.0.0.0/8, ::1", whose X-Forwarded-For tells where a request comes from."""

    @field_validator("default", "writes", "heavy", "strangers")
    @classmethod
    def _countable(cls, text: str) -> str:
        parse_quota(text)
        return text

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, text: str) -> str:
        parse_networks(text)
        return text


class JobSettings(Group):
    in_process: bool = False
    """Run the worker inside the server. With the private Valkey that is so anyway."""
    concurrency: int = Field(default=4, ge=1, le=1000)
    """Tasks of each queue that one worker has at once."""
    queued: int = Field(default=10_000, ge=1, le=1_000_000)
    """Tasks of each queue that may wait; who comes then is told to come again."""
    kept_days: float = Field(default=7, gt=0, le=3650)
    """For so long a task that has ended is kept, with its result."""


class BlobSettings(Group):
    """Where uploads and results rest. Without keys the library takes those of the environment or the machine."""

    url: str = ""
    """Empty: a folder in the data directory. Else `s3://bucket/prefix`."""
    endpoint: str = ""
    """Empty: Amazon's."""
    region: str = ""
    access_key: str = Field(default="", repr=False)
    secret_key: SecretStr = Field(default=SecretStr(""), validate_default=True)

    @field_validator("url")
    @classmethod
    def _usable(cls, url: str) -> str:
        if not url:
            return url
        _scheme(url, ("s3",))
        if not S3_PLACE.fullmatch(url):
            raise ValueError("must have the form s3://bucket/prefix")
        if find_spec("aiobotocore") is None:
            raise ValueError("needs the Python package aiobotocore, which is not installed")
        return url

    @field_validator("endpoint")
    @classmethod
    def _an_address(cls, endpoint: str) -> str:
        if endpoint and not _is_web_address(endpoint):
            raise ValueError("must have the form https://host:port")
        return endpoint

    @field_validator("region")
    @classmethod
    def _a_name(cls, region: str) -> str:
        if region and not REGION.fullmatch(region):
            raise ValueError("must be a name like eu-central-1")
        return region

    @field_validator("access_key", "secret_key")
    @classmethod
    def _in_one_piece(cls, key: Secret) -> Secret:
        text = key.get_secret_value() if isinstance(key, SecretStr) else key
        if text.split() not in ([], [text]):
            raise ValueError("must not hold white space")
        return key

    @field_validator("endpoint", "region", "access_key")
    @classmethod
    def _of_a_bucket(cls, text: str, info: ValidationInfo) -> str:
        if text and info.data.get("url") == "":
            raise ValueError(f"means nothing without {PREFIX}BLOBS_URL")
        return text

    @field_validator("secret_key")
    @classmethod
    def _of_an_access_key(cls, secret: SecretStr, info: ValidationInfo) -> SecretStr:
        if "access_key" in info.data and bool(info.data["access_key"]) != bool(secret.get_secret_value()):
            raise ValueError(f"must be set together with {PREFIX}BLOBS_ACCESS_KEY")
        return secret

    @property
    def place(self) -> tuple[str, str]:
        """The bucket, and what stands before every key in it."""
        bucket, _, prefix = self.url.removeprefix("s3://").partition("/")
        return bucket, prefix.rstrip("/")


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return False
    plain = not (parts.username or parts.password or parts.path.strip("/") or parts.query or parts.fragment)
    return parts.scheme in ("http", "https") and bool(host) and port != 0 and plain


class LimitSettings(Group):
    body_bytes: int = Field(default=8 * 1024 * 1024, ge=1024)
    """The largest request body."""
    upload_bytes: int = Field(default=1024 * 1024 * 1024, ge=1024)
    """The largest file sent, as it comes and when it is decompressed."""
    upload_seconds: float = Field(default=3600.0, gt=0, le=86_400)
    """Within which a file has been sent."""
    streams: int = Field(default=500, ge=0, le=1_000_000)
    """Of events, of one process, at one time."""
    connections: int = Field(default=2000, ge=1, le=1_000_000)
    """Of one process, at one time."""
    in_flight: int = Field(default=10, ge=1, le=10_000)
    """So many reads, and as many writes, are worked at at once, by each process; cached answers are not counted."""
    queued: int = Field(default=256, ge=0, le=100_000)
    """So many more wait for their turn; who comes then is told to come again."""


class PolicyGroup(Group):
    """What is to be other than `warehouse.policies` has it, as JSON: `{"timeout": 2.5, "fail_max": 10}`."""

    database_reads: str = ""
    database_writes: str = ""
    database_heavy: str = ""
    database_watch: str = ""
    cache: str = ""
    cache_releases: str = ""
    queue: str = ""
    rate_limit: str = ""
    blobs: str = ""

    @field_validator("*")
    @classmethod
    def _sensible(cls, text: str, info: ValidationInfo) -> str:
        parse_overrides(str(info.field_name), text)
        return text


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
    blobs: BlobSettings = BlobSettings()
    limits: LimitSettings = LimitSettings()
    policies: PolicyGroup = PolicyGroup()
    data_dir: Path = Path("var")
    request_timeout: float = Field(default=15.0, gt=0, le=300)
    """Seconds within which every request is answered."""
    drain_seconds: float = Field(default=1.0, ge=0, le=300)
    """Between the signal to end and the closing of the address: load balancers learn of it from /readyz."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("log_level", mode="before")
    @classmethod
    def _any_case(cls, level: object) -> object:
        return level.lower() if isinstance(level, str) else level

    def with_database_timeout(self, seconds: float) -> "Settings":
        """These settings, with more or less patience for the database."""
        return self.model_copy(update={"database": self.database.model_copy(update={"timeout": seconds})})

    @property
    def policy_overrides(self) -> Mapping[str, Overrides]:
        """Those that there are, by the name of the policy."""
        return {name: parse_overrides(name, text) for name, text in self.policies if text}

    @property
    def database_url(self) -> str:
        return self.database.url or f"sqlite+aiosqlite:///{(self.data_dir / 'warehouse.db').absolute()}"


class SettingsError(ValueError):
    """Names every setting that is wrong, and why; one a line."""


def load_settings() -> Settings:
    """Raises `SettingsError`, for a name that begins with WAREHOUSE_ and means nothing as well."""
    faults = dict.fromkeys(sorted(_given_names() - set(setting_names())), "there is no such setting")
    try:
        settings = Settings()
        faults.update(_hasty(settings))
    except ValidationError as error:
        for each in error.errors():
            name = f"{PREFIX}{'_'.join(map(str, each['loc']))}".upper()
            faults.setdefault(name, each["msg"].removeprefix("Value error, "))
    except UnreadableGroup:
        pass  # the name of a whole group, which is among the faults already
    if faults:
        raise SettingsError("\n".join(f"{name}: {fault}" for name, fault in faults.items()))
    return settings


def _hasty(settings: Settings) -> Iterator[tuple[str, str]]:
    """A time-out that was set on purpose and could never be reached."""
    for name, overrides in settings.policy_overrides.items():
        if overrides.get("timeout", 0) > settings.request_timeout:
            yield f"{PREFIX}POLICIES_{name}".upper(), "timeout must not be above WAREHOUSE_REQUEST_TIMEOUT"


def setting_names() -> Iterator[str]:
    """The names of all settings, as they stand in the environment."""
    for name, field in Settings.model_fields.items():
        group = field.annotation
        if isinstance(group, type) and issubclass(group, Group):
            yield from (f"{PREFIX}{name}_{each}".upper() for each in group.model_fields)
        else:
            yield f"{PREFIX}{name}".upper()


def _given_names() -> set[str]:
    try:
        filed = dotenv_values(ENV_FILE)
    except UnicodeDecodeError:
        raise SettingsError(f"{ENV_FILE}: is not UTF-8") from None
    names = {name.upper() for name in (*os.environ, *filed)}
    ours = {name for name in names if name.startswith(PREFIX) and not name.startswith(TEST_PREFIX)}
    return {name for name in ours if not KUBERNETES_LINK.fullmatch(name)}
