"""first tables"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from warehouse.storage import types

revision: str = "0001"
down_revision: str | None = None
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("name", types.HumanText(100), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("prefix", types.ExactText(16), nullable=False),
        sa.Column("digest", types.Digest(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("expires_at", types.UtcDateTime(), nullable=True),
        sa.Column("last_used_at", types.UtcDateTime(), nullable=True),
        sa.Column("revoked_at", types.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("prefix", name=op.f("uq_api_keys_prefix")),
    )
    op.create_table(
        "commands",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("caller_id", types.Id(), nullable=False),
        sa.Column("key_digest", types.Digest(), nullable=False),
        sa.Column("request_hash", types.Digest(), nullable=False),
        sa.Column("recorded_at", types.UtcDateTime(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=True),
        sa.Column("headers", types.JsonText(), nullable=True),
        sa.Column("body", types.LongBytes(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commands")),
        sa.UniqueConstraint("caller_id", "key_digest", name=op.f("uq_commands_caller_id_key_digest")),
    )
    op.create_index(op.f("ix_commands_recorded_at"), "commands", ["recorded_at"], unique=False)
    op.create_table(
        "products",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("sku", types.ExactText(64), nullable=False),
        sa.Column("sku_key", types.ExactText(192), nullable=False),
        sa.Column("name", types.HumanText(255), nullable=False),
        sa.Column("description", types.LongText(), nullable=True),
        sa.Column("category", types.ExactText(128), nullable=True),
        sa.Column("unit", types.ExactText(16), nullable=False),
        sa.Column("barcodes", types.JsonText(), nullable=False),
        sa.Column("reorder_point", sa.BigInteger(), nullable=True),
        sa.Column("tracking", sa.String(length=16), nullable=False),
        sa.Column("negative_stock", sa.String(length=16), nullable=False),
        sa.Column("attributes", types.JsonText(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("search_text", types.LongText(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_products")),
        sa.UniqueConstraint("sku_key", name=op.f("uq_products_sku_key")),
    )
    op.create_index("ix_products_category", "products", ["category", "sku_key"], unique=False)
    op.create_index("ix_products_created_at", "products", ["created_at", "id"], unique=False)
    op.create_index("ix_products_name", "products", ["name", "id"], unique=False)
    op.create_index("ix_products_reorder_point", "products", ["reorder_point", "id"], unique=False)
    op.create_index("ix_products_status", "products", ["status", "sku_key"], unique=False)
    op.create_index("ix_products_tracking", "products", ["tracking", "sku_key"], unique=False)
    op.create_index("ix_products_updated_at", "products", ["updated_at", "id"], unique=False)
    op.create_table(
        "reservations",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("reference", types.ExactText(128), nullable=True),
        sa.Column("reason", types.ExactText(64), nullable=True),
        sa.Column("actor", types.ExactText(100), nullable=False),
        sa.Column("expires_at", types.UtcDateTime(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reservations")),
    )
    op.create_index("ix_reservations_reference", "reservations", ["reference", "id"], unique=False)
    op.create_index("ix_reservations_status", "reservations", ["status", "expires_at", "id"], unique=False)
    op.create_index("ix_reservations_status_id", "reservations", ["status", "id"], unique=False)
    op.create_table(
        "reversals",
        sa.Column("command_id", types.Id(), nullable=False),
        sa.Column("reversal_id", types.Id(), nullable=False),
        sa.Column("recorded_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("command_id", name=op.f("pk_reversals")),
        sa.UniqueConstraint("reversal_id", name=op.f("uq_reversals_reversal_id")),
    )
    op.create_table(
        "warehouses",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("code", types.ExactText(64), nullable=False),
        sa.Column("code_key", types.ExactText(192), nullable=False),
        sa.Column("name", types.HumanText(255), nullable=False),
        sa.Column("address", types.HumanText(512), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_warehouses")),
        sa.UniqueConstraint("code_key", name=op.f("uq_warehouses_code_key")),
    )
    op.create_index("ix_warehouses_status", "warehouses", ["status", "code_key"], unique=False)
    op.create_table(
        "locations",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("warehouse_id", types.Id(), nullable=False),
        sa.Column("parent_id", types.Id(), nullable=True),
        sa.Column("code", types.ExactText(64), nullable=False),
        sa.Column("code_key", types.ExactText(192), nullable=False),
        sa.Column("name", types.HumanText(255), nullable=True),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["parent_id"], ["locations.id"], name=op.f("fk_locations_parent_id")),
        sa.ForeignKeyConstraint(["warehouse_id"], ["warehouses.id"], name=op.f("fk_locations_warehouse_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_locations")),
        sa.UniqueConstraint("warehouse_id", "code_key", name=op.f("uq_locations_warehouse_id_code_key")),
    )
    op.create_index("ix_locations_code_key", "locations", ["code_key"], unique=False)
    op.create_index(op.f("ix_locations_parent_id"), "locations", ["parent_id"], unique=False)
    op.create_index("ix_locations_warehouse_id_kind", "locations", ["warehouse_id", "kind", "code_key"], unique=False)
    op.create_table(
        "lots",
        sa.Column("product_id", types.Id(), nullable=False),
        sa.Column("lot", types.ExactText(64), nullable=False),
        sa.Column("expires_on", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(["product_id"], ["products.id"], name=op.f("fk_lots_product_id")),
        sa.PrimaryKeyConstraint("product_id", "lot", name=op.f("pk_lots")),
    )
    op.create_table(
        "balances",
        sa.Column("product_id", types.Id(), nullable=False),
        sa.Column("location_id", types.Id(), nullable=False),
        sa.Column("lot", types.ExactText(64), nullable=False),
        sa.Column("warehouse_id", types.Id(), nullable=False),
        sa.Column("on_hand", sa.BigInteger(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.Column("below_zero_allowed", sa.Boolean(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint("below_zero_allowed OR on_hand >= 0", name=op.f("ck_balances_on_hand_not_negative")),
        sa.CheckConstraint(
            "below_zero_allowed OR reserved <= on_hand", name=op.f("ck_balances_reserved_within_on_hand")
        ),
        sa.CheckConstraint(
            "on_hand >= -9007199254740991 AND on_hand <= 9007199254740991", name=op.f("ck_balances_on_hand_range")
        ),
        sa.CheckConstraint("reserved >= 0", name=op.f("ck_balances_reserved_not_negative")),
        sa.ForeignKeyConstraint(["location_id"], ["locations.id"], name=op.f("fk_balances_location_id")),
        sa.ForeignKeyConstraint(["product_id"], ["products.id"], name=op.f("fk_balances_product_id")),
        sa.PrimaryKeyConstraint("product_id", "location_id", "lot", name=op.f("pk_balances")),
    )
    op.create_index("ix_balances_location_id", "balances", ["location_id", "product_id", "lot"], unique=False)
    op.create_index("ix_balances_lot", "balances", ["lot", "product_id", "location_id"], unique=False)
    op.create_index(
        "ix_balances_warehouse_id", "balances", ["warehouse_id", "product_id", "location_id", "lot"], unique=False
    )
    op.create_table(
        "movements",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("command_id", types.Id(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("product_id", types.Id(), nullable=False),
        sa.Column("location_id", types.Id(), nullable=False),
        sa.Column("lot", types.ExactText(64), nullable=False),
        sa.Column("warehouse_id", types.Id(), nullable=False),
        sa.Column("delta", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("reason", types.ExactText(64), nullable=True),
        sa.Column("reference", types.ExactText(128), nullable=True),
        sa.Column("actor", types.ExactText(100), nullable=False),
        sa.Column("occurred_at", types.UtcDateTime(), nullable=False),
        sa.Column("recorded_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["product_id", "location_id", "lot"],
            ["balances.product_id", "balances.location_id", "balances.lot"],
            name=op.f("fk_movements_product_id_location_id_lot"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_movements")),
        sa.UniqueConstraint("command_id", "line", name=op.f("uq_movements_command_id_line")),
    )
    op.create_index("ix_movements_balance", "movements", ["product_id", "location_id", "lot"], unique=False)
    op.create_index("ix_movements_location_id", "movements", ["location_id", "id"], unique=False)
    op.create_index("ix_movements_occurred_at", "movements", ["occurred_at", "id"], unique=False)
    op.create_index("ix_movements_product_id", "movements", ["product_id", "id"], unique=False)
    op.create_index("ix_movements_reference", "movements", ["reference", "id"], unique=False)
    op.create_index("ix_movements_warehouse_id", "movements", ["warehouse_id", "id"], unique=False)
    op.create_table(
        "reservation_lines",
        sa.Column("reservation_id", types.Id(), nullable=False),
        sa.Column("line", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("product_id", types.Id(), nullable=False),
        sa.Column("location_id", types.Id(), nullable=False),
        sa.Column("lot", types.ExactText(64), nullable=False),
        sa.Column("warehouse_id", types.Id(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_reservation_lines_quantity_positive")),
        sa.ForeignKeyConstraint(
            ["product_id", "location_id", "lot"],
            ["balances.product_id", "balances.location_id", "balances.lot"],
            name=op.f("fk_reservation_lines_product_id_location_id_lot"),
        ),
        sa.ForeignKeyConstraint(
            ["reservation_id"], ["reservations.id"], name=op.f("fk_reservation_lines_reservation_id")
        ),
        sa.PrimaryKeyConstraint("reservation_id", "line", name=op.f("pk_reservation_lines")),
    )
    op.create_index(
        "ix_reservation_lines_balance", "reservation_lines", ["product_id", "location_id", "lot"], unique=False
    )
    _add_search()


def downgrade() -> None:
    _drop_search()
    op.drop_table("reservation_lines")
    op.drop_table("movements")
    op.drop_table("balances")
    op.drop_table("lots")
    op.drop_table("locations")
    op.drop_table("warehouses")
    op.drop_table("reversals")
    op.drop_table("reservations")
    op.drop_table("products")
    op.drop_table("commands")
    op.drop_table("api_keys")


def _add_search() -> None:
    dialect = op.get_bind().dialect.name
    if dialect == "postgresql":
        op.execute(
            "CREATE INDEX ix_products_search ON products "
            "USING gin (array_to_tsvector(string_to_array(search_text, ' ')))"
        )
    elif dialect == "sqlite":
        for statement in SQLITE_SEARCH:
            op.execute(statement)
    else:
        op.execute("CREATE FULLTEXT INDEX ix_products_search ON products (search_text)")


def _drop_search() -> None:
    dialect = op.get_bind().dialect.name
    if dialect == "postgresql":
        op.execute("DROP INDEX ix_products_search")
    elif dialect == "sqlite":
        for event in ("insert", "update", "delete"):
            op.execute(f"DROP TRIGGER product_search_{event}")
        op.execute("DROP TABLE product_search")
        op.execute("DROP TABLE product_documents")
    else:
        op.execute("DROP INDEX ix_products_search ON products")


# FTS5 knows a document by an integer that VACUUM must not change, so each product gets one.
SQLITE_SEARCH = (
    "CREATE TABLE product_documents (document INTEGER PRIMARY KEY, product_id BLOB NOT NULL UNIQUE)",
    "CREATE VIRTUAL TABLE product_search USING fts5(words, detail='none', tokenize='unicode61 remove_diacritics 0')",
    """CREATE TRIGGER product_search_insert AFTER INSERT ON products BEGIN
        INSERT INTO product_documents (product_id) VALUES (new.id);
        INSERT INTO product_search (rowid, words)
            SELECT document, new.search_text FROM product_documents WHERE product_id = new.id;
    END""",
    """CREATE TRIGGER product_search_update AFTER UPDATE OF search_text ON products
        WHEN old.search_text IS NOT new.search_text BEGIN
        UPDATE product_search SET words = new.search_text
            WHERE rowid = (SELECT document FROM product_documents WHERE product_id = new.id);
    END""",
    """CREATE TRIGGER product_search_delete AFTER DELETE ON products BEGIN
        DELETE FROM product_search WHERE rowid = (SELECT document FROM product_documents WHERE product_id = old.id);
        DELETE FROM product_documents WHERE product_id = old.id;
    END""",
)
