"""Every form of a Redis URL that the settings take makes clients that can connect."""

from pathlib import Path

import pytest

from warehouse.container import Container
from warehouse.settings import DatabaseSettings, RedisSettings, Settings


@pytest.mark.parametrize(
    "url", ["redis://localhost:6379/0", "rediss://localhost:6379/0", "unix:///run/valkey.sock?db=1"]
)
async def test_a_connection_can_be_made(url: str, tmp_path: Path) -> None:
    database = DatabaseSettings(url=f"sqlite+aiosqlite:///{tmp_path}/warehouse.db")
    container = Container(Settings(database=database, redis=RedisSettings(url=url), data_dir=tmp_path))
    try:
        assert container.redis is not None
        made = container.redis.connection_pool.make_connection()  # type: ignore[no-untyped-call]  # annotated in part
        assert made is not None
    finally:
        await container.close()
