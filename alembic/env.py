"""Runs migrations on a connection that is handed in, or else on the database of the settings."""

import asyncio
from typing import Any, Literal

from alembic import context
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from warehouse.settings import Settings
from warehouse.storage.tables import metadata

SEARCH_OBJECTS = ("product_search", "product_documents", "ix_products_search")
"""Full-text search is each database's own, so a migration makes it and the tables do not name it."""


def include_object(_: Any, name: str | None, kind: str, reflected: bool, __: Any) -> bool:
    return not (reflected and name is not None and name.startswith(SEARCH_OBJECTS))


def render_item(kind: str, item: Any, _: Any) -> str | Literal[False]:
    if kind == "type" and type(item).__module__ == "warehouse.storage.types":
        length = getattr(item.impl_instance, "length", None) if "Text" in type(item).__name__ else None
        return f"types.{type(item).__name__}({length or ''})"
    return False


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        include_object=include_object,
        render_item=render_item,
        compare_type=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def connect_and_run() -> None:
    engine = create_async_engine(Settings().database_url)
    async with engine.connect() as connection:
        await connection.run_sync(run)
        await connection.commit()
    await engine.dispose()


given: Connection | None = context.config.attributes.get("connection")
if given is None:
    asyncio.run(connect_and_run())
else:
    run(given)
