"""Settings come from the environment and `.env`; a wrong one is named, and no secret is repeated."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from warehouse.settings import ENV_FILE, PREFIX, Settings, SettingsError, load_settings, setting_names

LEAK = "hunter2"

GIVEN: dict[str, tuple[str, Callable[[Settings], object], object]] = {
    "WAREHOUSE_DATABASE_URL": (
        "postgresql+asyncpg://me:pass@db/stock",
        lambda settings: settings.database_url,
        "postgresql+asyncpg://me:pass@db/stock",
    ),
    "WAREHOUSE_DATABASE_POOL_SIZE": ("7", lambda settings: settings.database.pool_size, 7),
    "WAREHOUSE_DATABASE_TIMEOUT": ("2.5", lambda settings: settings.database.timeout, 2.5),
    "WAREHOUSE_REDIS_URL": ("redis://cache:6380/3", lambda settings: settings.redis.url, "redis://cache:6380/3"),
    "WAREHOUSE_CACHE_ENABLED": ("false", lambda settings: settings.cache.enabled, False),
    "WAREHOUSE_CACHE_REDIS_URL": ("redis://other", lambda settings: settings.cache.redis_url, "redis://other"),
    "WAREHOUSE_CACHE_TIMEOUT": ("0.2", lambda settings: settings.cache.timeout, 0.2),
    "WAREHOUSE_CACHE_PRODUCT_SECONDS": ("1", lambda settings: settings.cache.seconds("product"), 1.0),
    "WAREHOUSE_CACHE_PRODUCTS_SECONDS": ("2", lambda settings: settings.cache.seconds("products"), 2.0),
    "WAREHOUSE_CACHE_SNAPSHOT_SECONDS": ("3", lambda settings: settings.cache.seconds("snapshot"), 3.0),
    "WAREHOUSE_CACHE_PLACES_SECONDS": ("4", lambda settings: settings.cache.seconds("places"), 4.0),
    "WAREHOUSE_CACHE_STOCK_SECONDS": ("5", lambda settings: settings.cache.seconds("stock"), 5.0),
    "WAREHOUSE_CACHE_STALE_SECONDS": ("6", lambda settings: settings.cache.stale_seconds, 6.0),
    "WAREHOUSE_RATE_LIMIT_ENABLED": ("0", lambda settings: settings.rate_limit.enabled, False),
    "WAREHOUSE_RATE_LIMIT_DEFAULT": ("1/second", lambda settings: settings.rate_limit.default, "1/second"),
    "WAREHOUSE_RATE_LIMIT_WRITES": ("2/second", lambda settings: settings.rate_limit.writes, "2/second"),
    "WAREHOUSE_RATE_LIMIT_HEAVY": ("3/second", lambda settings: settings.rate_limit.heavy, "3/second"),
    "WAREHOUSE_RATE_LIMIT_STRANGERS": ("4/second", lambda settings: settings.rate_limit.strangers, "4/second"),
    "WAREHOUSE_RATE_LIMIT_TRUSTED_PROXIES": (
        "10.0.0.0/8, ::1",
        lambda settings: settings.rate_limit.trusted_proxies,
        "10.0.0.0/8, ::1",
    ),
    "WAREHOUSE_LIMITS_IN_FLIGHT": ("8", lambda settings: settings.limits.in_flight, 8),
    "WAREHOUSE_LIMITS_QUEUED": ("0", lambda settings: settings.limits.queued, 0),
    "WAREHOUSE_POLICIES_DATABASE_READS": (
        '{"timeout": 0.1}',
        lambda settings: settings.policy_overrides.get("database_reads"),
        {"timeout": 0.1},
    ),
    "WAREHOUSE_POLICIES_DATABASE_WRITES": (
        '{"timeout": 0.1}',
        lambda settings: settings.policy_overrides.get("database_writes"),
        {"timeout": 0.1},
    ),
    "WAREHOUSE_POLICIES_DATABASE_HEAVY": (
        '{"timeout": 0.1}',
        lambda settings: settings.policy_overrides.get("database_heavy"),
        {"timeout": 0.1},
    ),
    "WAREHOUSE_POLICIES_DATABASE_WATCH": (
        '{"timeout": 0.1}',
        lambda settings: settings.policy_overrides.get("database_watch"),
        {"timeout": 0.1},
    ),
    "WAREHOUSE_POLICIES_CACHE": (
        '{"timeout": 0.1}',
        lambda settings: settings.policy_overrides.get("cache"),
        {"timeout": 0.1},
    ),
    "WAREHOUSE_POLICIES_CACHE_RELEASES": (
        '{"timeout": 0.1}',
        lambda settings: settings.policy_overrides.get("cache_releases"),
        {"timeout": 0.1},
    ),
    "WAREHOUSE_POLICIES_QUEUE": (
        '{"timeout": 0.1}',
        lambda settings: settings.policy_overrides.get("queue"),
        {"timeout": 0.1},
    ),
    "WAREHOUSE_POLICIES_RATE_LIMIT": (
        '{"timeout": 0.1}',
        lambda settings: settings.policy_overrides.get("rate_limit"),
        {"timeout": 0.1},
    ),
    "WAREHOUSE_POLICIES_BLOBS": (
        '{"timeout": 0.1}',
        lambda settings: settings.policy_overrides.get("blobs"),
        {"timeout": 0.1},
    ),
    "WAREHOUSE_BLOBS_URL": (
        "s3://bucket/some/prefix/",
        lambda settings: settings.blobs.place,
        ("bucket", "some/prefix"),
    ),
    "WAREHOUSE_BLOBS_ENDPOINT": (
        "https://s3.example.com:9000",
        lambda settings: settings.blobs.endpoint,
        "https://s3.example.com:9000",
    ),
    "WAREHOUSE_BLOBS_REGION": ("eu-central-1", lambda settings: settings.blobs.region, "eu-central-1"),
    "WAREHOUSE_BLOBS_ACCESS_KEY": ("AKIA", lambda settings: settings.blobs.access_key, "AKIA"),
    "WAREHOUSE_BLOBS_SECRET_KEY": (LEAK, lambda settings: settings.blobs.secret_key.get_secret_value(), LEAK),
    "WAREHOUSE_JOBS_IN_PROCESS": ("true", lambda settings: settings.jobs.in_process, True),
    "WAREHOUSE_JOBS_CONCURRENCY": ("2", lambda settings: settings.jobs.concurrency, 2),
    "WAREHOUSE_JOBS_QUEUED": ("50", lambda settings: settings.jobs.queued, 50),
    "WAREHOUSE_JOBS_KEPT_DAYS": ("0.5", lambda settings: settings.jobs.kept_days, 0.5),
    "WAREHOUSE_LIMITS_BODY_BYTES": ("2048", lambda settings: settings.limits.body_bytes, 2048),
    "WAREHOUSE_LIMITS_UPLOAD_BYTES": ("4096", lambda settings: settings.limits.upload_bytes, 4096),
    "WAREHOUSE_LIMITS_UPLOAD_SECONDS": ("60", lambda settings: settings.limits.upload_seconds, 60.0),
    "WAREHOUSE_LIMITS_STREAMS": ("0", lambda settings: settings.limits.streams, 0),
    "WAREHOUSE_LIMITS_CONNECTIONS": ("20", lambda settings: settings.limits.connections, 20),
    "WAREHOUSE_DATA_DIR": ("elsewhere", lambda settings: settings.data_dir, Path("elsewhere")),
    "WAREHOUSE_REQUEST_TIMEOUT": ("3", lambda settings: settings.request_timeout, 3.0),
    "WAREHOUSE_DRAIN_SECONDS": ("0", lambda settings: settings.drain_seconds, 0.0),
    "WAREHOUSE_LOG_LEVEL": ("debug", lambda settings: settings.log_level, "debug"),
}

NEEDED = {
    "WAREHOUSE_BLOBS_ENDPOINT": {"WAREHOUSE_BLOBS_URL": "s3://bucket"},
    "WAREHOUSE_BLOBS_REGION": {"WAREHOUSE_BLOBS_URL": "s3://bucket"},
    "WAREHOUSE_BLOBS_ACCESS_KEY": {"WAREHOUSE_BLOBS_URL": "s3://bucket", "WAREHOUSE_BLOBS_SECRET_KEY": LEAK},
    "WAREHOUSE_BLOBS_SECRET_KEY": {"WAREHOUSE_BLOBS_URL": "s3://bucket", "WAREHOUSE_BLOBS_ACCESS_KEY": "AKIA"},
}
"""What has to be set as well."""

WRONG = {
    "WAREHOUSE_DATABASE_URL": f"mysql://me:{LEAK}@db/stock",
    "WAREHOUSE_DATABASE_POOL_SIZE": "0",
    "WAREHOUSE_DATABASE_TIMEOUT": "nan",
    "WAREHOUSE_REDIS_URL": f"http://:{LEAK}@cache",
    "WAREHOUSE_CACHE_ENABLED": "perhaps",
    "WAREHOUSE_CACHE_REDIS_URL": f"http://:{LEAK}@cache",
    "WAREHOUSE_CACHE_TIMEOUT": "0",
    "WAREHOUSE_CACHE_PRODUCT_SECONDS": "-1",
    "WAREHOUSE_CACHE_PRODUCTS_SECONDS": "long",
    "WAREHOUSE_CACHE_SNAPSHOT_SECONDS": "nan",
    "WAREHOUSE_CACHE_PLACES_SECONDS": "inf",
    "WAREHOUSE_CACHE_STOCK_SECONDS": "1e9",
    "WAREHOUSE_CACHE_STALE_SECONDS": "-1",
    "WAREHOUSE_RATE_LIMIT_ENABLED": "perhaps",
    "WAREHOUSE_RATE_LIMIT_DEFAULT": "much",
    "WAREHOUSE_RATE_LIMIT_WRITES": "0/minute",
    "WAREHOUSE_RATE_LIMIT_HEAVY": "10/fortnight",
    "WAREHOUSE_RATE_LIMIT_STRANGERS": "-1/minute",
    "WAREHOUSE_RATE_LIMIT_TRUSTED_PROXIES": "everybody",
    "WAREHOUSE_LIMITS_IN_FLIGHT": "0",
    "WAREHOUSE_LIMITS_QUEUED": "-1",
    "WAREHOUSE_POLICIES_DATABASE_READS": '{"attempts": 0}',
    "WAREHOUSE_POLICIES_DATABASE_WRITES": '{"minimum_calls": 101}',
    "WAREHOUSE_POLICIES_DATABASE_HEAVY": '{"fail_max": 0}',
    "WAREHOUSE_POLICIES_DATABASE_WATCH": '{"fail_max": 0}',
    "WAREHOUSE_POLICIES_CACHE": '{"patience": 1}',
    "WAREHOUSE_POLICIES_CACHE_RELEASES": "quick",
    "WAREHOUSE_POLICIES_QUEUE": '{"failure_rate": 2}',
    "WAREHOUSE_POLICIES_RATE_LIMIT": '{"open_seconds": "long"}',
    "WAREHOUSE_POLICIES_BLOBS": '{"timeout": -1}',
    "WAREHOUSE_BLOBS_URL": f"https://me:{LEAK}@bucket",
    "WAREHOUSE_BLOBS_ENDPOINT": f"https://me:{LEAK}@s3.example.com",
    "WAREHOUSE_BLOBS_REGION": f"eu central {LEAK}",
    "WAREHOUSE_BLOBS_ACCESS_KEY": f"AKIA {LEAK}",
    "WAREHOUSE_BLOBS_SECRET_KEY": f"{LEAK} ",
    "WAREHOUSE_JOBS_IN_PROCESS": "perhaps",
    "WAREHOUSE_JOBS_CONCURRENCY": "0",
    "WAREHOUSE_JOBS_QUEUED": "many",
    "WAREHOUSE_JOBS_KEPT_DAYS": "0",
    "WAREHOUSE_LIMITS_BODY_BYTES": "1",
    "WAREHOUSE_LIMITS_UPLOAD_BYTES": "1",
    "WAREHOUSE_LIMITS_UPLOAD_SECONDS": "inf",
    "WAREHOUSE_LIMITS_STREAMS": "-1",
    "WAREHOUSE_LIMITS_CONNECTIONS": "0",
    "WAREHOUSE_REQUEST_TIMEOUT": "soon",
    "WAREHOUSE_DRAIN_SECONDS": "-1",
    "WAREHOUSE_LOG_LEVEL": "loud",
}


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.upper().startswith(PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def refusal() -> str:
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert refused.value.__cause__ is None
    return str(refused.value)


def test_the_cases_here_are_all_the_settings() -> None:
    assert set(GIVEN) == set(setting_names())
    assert set(WRONG) == set(setting_names()) - {"WAREHOUSE_DATA_DIR"}  # any path will do


def test_without_any_everything_is_embedded_and_lies_in_var(tmp_path: Path) -> None:
    settings = load_settings()
    assert settings == Settings()
    assert settings.database_url == f"sqlite+aiosqlite:///{tmp_path / 'var' / 'warehouse.db'}"
    assert settings.redis.url == ""
    assert (settings.database.pool_size, settings.database.timeout, settings.request_timeout) == (10, 5.0, 15.0)
    assert (settings.limits.body_bytes, settings.log_level, settings.jobs.in_process) == (8_388_608, "info", False)


@pytest.mark.parametrize("name", GIVEN)
def test_each_is_read_from_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    value, read, expected = GIVEN[name]
    assert read(Settings()) != expected
    for each, text in {**NEEDED.get(name, {}), name: value}.items():
        monkeypatch.setenv(each, text)
    assert read(load_settings()) == expected


@pytest.mark.parametrize("name", GIVEN)
def test_each_is_read_from_the_env_file(name: str) -> None:
    value, read, expected = GIVEN[name]
    lines = [f"{each}={text}" for each, text in {**NEEDED.get(name, {}), name: value}.items()]
    Path(ENV_FILE).write_text("\n".join(["# a comment", f"MYSQL_PASSWORD={LEAK}", *lines]))
    assert read(load_settings()) == expected


def test_the_environment_wins_over_the_env_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(ENV_FILE).write_text("WAREHOUSE_LOG_LEVEL=debug\nWAREHOUSE_DATA_DIR=filed\n")
    monkeypatch.setenv("WAREHOUSE_LOG_LEVEL", "error")
    settings = load_settings()
    assert (settings.log_level, settings.data_dir) == ("error", Path("filed"))


@pytest.mark.parametrize("name", GIVEN)
def test_an_empty_one_counts_as_not_set(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "")
    assert load_settings() == Settings()


def test_a_timeout_that_no_request_would_live_to_see_stops_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE_POLICIES_DATABASE_WRITES", '{"timeout": 3.5}')
    load_settings()
    monkeypatch.setenv("WAREHOUSE_REQUEST_TIMEOUT", "3")
    assert refusal() == "WAREHOUSE_POLICIES_DATABASE_WRITES: timeout must not be above WAREHOUSE_REQUEST_TIMEOUT"


@pytest.mark.parametrize("level", ["debug", "DEBUG", "Debug"])
def test_the_log_level_may_be_written_in_any_case(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE_LOG_LEVEL", level)
    assert load_settings().log_level == "debug"


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_stops_with_its_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, WRONG[name])
    message = refusal()
    assert message.startswith(f"{name}: ")
    assert "\n" not in message
    assert LEAK not in message


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_in_the_env_file_stops_with_its_name(name: str) -> None:
    Path(ENV_FILE).write_text(f"{name}={WRONG[name]}\n")
    assert refusal().startswith(f"{name}: ")


@pytest.mark.parametrize(
    "name",
    [
        "WAREHOUSE_DATABSE_URL",
        "warehouse_nonsense",
        "WAREHOUSE_DATABASE",
        "WAREHOUSE_DATABASE_URL_",
        "WAREHOUSE_DATABASE__URL",
        "WAREHOUSE_JOBS",
        "WAREHOUSE_",
    ],
)
@pytest.mark.parametrize("value", [LEAK, f'{{"url": "{LEAK}"}}', f"{{{LEAK}"])
def test_an_unknown_name_stops_with_it(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    message = refusal()
    assert f"{name.upper()}: there is no such setting" in message.splitlines()
    assert LEAK not in message


def test_an_unknown_name_in_the_env_file_stops_with_it() -> None:
    Path(ENV_FILE).write_text(f"WAREHOUSE_DATABASE_ULR={LEAK}\nWAREHOUSE_NONSENSE={LEAK}\n")
    assert refusal().splitlines() == [
        "WAREHOUSE_DATABASE_ULR: there is no such setting",
        "WAREHOUSE_NONSENSE: there is no such setting",
    ]


def test_all_that_is_wrong_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in WRONG.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WAREHOUSE_NONSENSE", "1")
    told = {line.partition(": ")[0] for line in refusal().splitlines()}
    assert told == {*WRONG, "WAREHOUSE_NONSENSE"}


@pytest.mark.parametrize(
    "name",
    [
        "WAREHOUSE_SERVICE_HOST",
        "WAREHOUSE_SERVICE_PORT_HTTP",
        "WAREHOUSE_PORT",
        "WAREHOUSE_PORT_8000_TCP_ADDR",
        "WAREHOUSE_TEST_BACKENDS",
    ],
)
def test_variables_of_kubernetes_and_of_the_tests_are_nobodys_settings(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "tcp://10.0.0.1:8000")
    assert load_settings() == Settings()


def test_an_env_file_that_is_not_utf_8_is_named() -> None:
    Path(ENV_FILE).write_bytes(b"WAREHOUSE_LOG_LEVEL=\xff\n")
    assert refusal() == ".env: is not UTF-8"


@pytest.mark.parametrize(
    "url",
    [
        f"oracle://me:{LEAK}@db/stock",
        f"mysql+aiomysql:me:{LEAK}@db/stock",
        f"MYSQL+aiomysql://me:{LEAK}@db/stock",
        f"mysql+aiomysql://me:{LEAK}@db:port/stock",
        f"{LEAK}",
        "sqlite+aiosqlite://",
        "sqlite+aiosqlite:///:memory:",
    ],
)
def test_a_database_url_that_leads_nowhere_stops_the_start(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE_DATABASE_URL", url)
    message = refusal()
    assert message.startswith("WAREHOUSE_DATABASE_URL: must ")
    assert LEAK not in message


def test_a_driver_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("warehouse.settings.find_spec", lambda name: None)
    monkeypatch.setenv("WAREHOUSE_DATABASE_URL", f"mysql+asyncmy://me:{LEAK}@db/stock")
    message = refusal()
    assert message == "WAREHOUSE_DATABASE_URL: needs the Python package asyncmy, which is not installed"


@pytest.mark.parametrize("password", ["a[b", "a]b", "per%25cent", "col:on", "\N{ACCOUNT OF}", "a/b", "a#b?c"])
def test_a_database_password_may_hold_what_its_url_may(password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE_DATABASE_URL", f"mysql+aiomysql://me:{password}@db:3306/stock")
    assert password in load_settings().database_url


@pytest.mark.parametrize(
    "url",
    [
        f"rabbit://:{LEAK}@cache",
        f"redis:{LEAK}",
        f"redis://:{LEAK}@cache:port/0",
        f"redis://:{LEAK}@cache:99999/0",
        f"redis://:{LEAK}@cache/first",
        f"redis://:{LEAK}/x@cache/0",
        f"redis://:{LEAK}#@cache/0",
        f"redis://:{LEAK}\N{ACCOUNT OF}@cache/0",
        f"redis://:{LEAK}@[cache/0",
        "redis://",
        "unix://",
    ],
)
def test_a_redis_url_that_leads_nowhere_stops_the_start(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE_REDIS_URL", url)
    message = refusal()
    assert message.startswith("WAREHOUSE_REDIS_URL: must ")
    assert LEAK not in message


@pytest.mark.parametrize(
    "url",
    [
        "redis://cache",
        "redis://cache/",
        "redis://cache:6379/15",
        "redis://me:p%40ss%2Fword@cache/0",
        "rediss://[::1]:6380/0",
        "redis://cache?db=2",
        "unix:///run/valkey.sock?db=1",
    ],
)
def test_every_form_of_redis_url_is_taken(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE_REDIS_URL", url)
    assert load_settings().redis.url == url


@pytest.mark.parametrize(
    "url",
    [
        f"s3://me:{LEAK}@bucket",
        f"s3://bucket?secret={LEAK}",
        f"s3://bucket/a#{LEAK}",
        f"https://{LEAK}.s3.amazonaws.com/",
        f"file:///srv/{LEAK}",
        f"/srv/{LEAK}",
        "s3://",
        "s3:///prefix",
        "s3://b",
        "s3://Bucket",
        "s3://bucket_1",
        "s3://bucket-",
        "s3://bucket//prefix",
        "s3://bucket/../prefix",
        "s3://bucket/pre fix",
        "s3://" + "b" * 64,
    ],
)
def test_an_s3_url_that_names_no_bucket_stops_the_start(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE_BLOBS_URL", url)
    message = refusal()
    assert message.startswith("WAREHOUSE_BLOBS_URL: must ")
    assert LEAK not in message


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("s3://bucket", ("bucket", "")),
        ("s3://bucket/", ("bucket", "")),
        ("s3://my.bucket-2/Warehouse_1/blobs.d", ("my.bucket-2", "Warehouse_1/blobs.d")),
    ],
)
def test_every_form_of_s3_url_is_taken(url: str, place: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE_BLOBS_URL", url)
    assert load_settings().blobs.place == place


@pytest.mark.parametrize(
    "endpoint",
    [
        f"https://me:{LEAK}@host",
        f"https://host/{LEAK}",
        f"https://host?{LEAK}",
        f"ftp://{LEAK}",
        LEAK,
        f"https://{LEAK}:port",
        "https://[host",
        "https://",
        "https://host:0",
    ],
)
def test_an_endpoint_that_is_no_address_stops_the_start(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE_BLOBS_URL", "s3://bucket")
    monkeypatch.setenv("WAREHOUSE_BLOBS_ENDPOINT", endpoint)
    assert refusal() == "WAREHOUSE_BLOBS_ENDPOINT: must have the form https://host:port"


@pytest.mark.parametrize("name", ["ENDPOINT", "REGION", "ACCESS_KEY"])
def test_what_is_said_of_a_bucket_needs_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or all would go to the folder, and nobody would know."""
    monkeypatch.setenv(f"WAREHOUSE_BLOBS_{name}", GIVEN[f"WAREHOUSE_BLOBS_{name}"][0])
    assert refusal() == f"WAREHOUSE_BLOBS_{name}: means nothing without WAREHOUSE_BLOBS_URL"


@pytest.mark.parametrize("name", ["ACCESS_KEY", "SECRET_KEY"])
def test_half_of_the_credentials_is_none(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE_BLOBS_URL", "s3://bucket")
    monkeypatch.setenv(f"WAREHOUSE_BLOBS_{name}", LEAK)
    message = refusal()
    assert message == "WAREHOUSE_BLOBS_SECRET_KEY: must be set together with WAREHOUSE_BLOBS_ACCESS_KEY"


def test_credentials_are_in_no_text_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE_BLOBS_URL", "s3://bucket")
    monkeypatch.setenv("WAREHOUSE_BLOBS_ACCESS_KEY", LEAK)
    monkeypatch.setenv("WAREHOUSE_BLOBS_SECRET_KEY", LEAK)
    settings = load_settings()
    assert LEAK not in repr(settings)
    assert LEAK not in str(settings)


def test_s3_without_its_package_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("warehouse.settings.find_spec", lambda _: None)
    monkeypatch.setenv("WAREHOUSE_BLOBS_URL", f"s3://bucket/{LEAK}")
    assert refusal() == "WAREHOUSE_BLOBS_URL: needs the Python package aiobotocore, which is not installed"


def test_settings_cannot_be_changed_but_for_a_copys_patience() -> None:
    settings = load_settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.log_level = "debug"
    patient = settings.with_database_timeout(99)
    assert (patient.database.timeout, settings.database.timeout) == (99, 5.0)
    assert patient.with_database_timeout(5.0) == settings
