"""The end of an application whose parts do not let go."""

import asyncio
from pathlib import Path

import pytest

from warehouse import app as application
from warehouse.app import create_app
from warehouse.container import Container
from warehouse.settings import DatabaseSettings, Settings


async def test_whoever_does_not_close_does_not_keep_the_server_from_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    closing = []

    async def close(parts: Container) -> None:
        closing.append(parts)
        await asyncio.Event().wait()

    monkeypatch.setattr(Container, "close", close)
    monkeypatch.setattr(application, "CLOSING_SECONDS", 0.05)
    app = create_app(Settings(database=DatabaseSettings(url=f"sqlite+aiosqlite:///{tmp_path}/warehouse.db")))
    async with app.router.lifespan_context(app):
        assert not closing
    assert len(closing) == 1
    assert "server.closing_given_up" in caplog.text
