"""what the cache stands on: the fence, the tags of commands, the segments of the catalogue"""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import uuid4

import sqlalchemy as sa
from alembic import op

from warehouse.storage import types

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

DIGITS = "'0123456789ABCDEF'"
LAST_BYTE = {
    "mysql": "ORD(SUBSTR(id, 16, 1))",
    "mariadb": "ORD(SUBSTR(id, 16, 1))",
    "postgresql": "get_byte(uuid_send(id), 15)",
    "sqlite": f"16 * instr({DIGITS}, substr(hex(id), 31, 1)) + instr({DIGITS}, substr(hex(id), 32, 1)) - 17",
}


def upgrade() -> None:
    control = op.create_table(
        "cache_control",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("installation", types.Id(), nullable=False),
        sa.Column("usable", sa.Boolean(create_constraint=False), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cache_control")),
    )
    row = {"id": 1, "installation": uuid4(), "usable": False, "epoch": 1, "changed_at": datetime.now(UTC)}
    op.bulk_insert(control, [row])
    op.add_column("commands", sa.Column("tags", types.JsonText(), nullable=True))
    op.add_column("products", sa.Column("segment", sa.SmallInteger(), server_default="0", nullable=False))
    op.execute(f"UPDATE products SET segment = {LAST_BYTE[op.get_bind().dialect.name]}")  # noqa: S608
    op.create_index("ix_products_segment", "products", ["segment", "id"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_products_segment", table_name="products")
    op.drop_column("products", "segment")
    op.drop_column("commands", "tags")
    op.drop_table("cache_control")
