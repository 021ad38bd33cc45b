"""The tables. What they promise, the database keeps: every rule of the ledger that SQL can say is said here."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    UniqueConstraint,
)

from warehouse.quantities import MAX_ON_HAND
from warehouse.storage.types import Digest, ExactText, HumanText, Id, JsonText, LongBytes, LongText, UtcDateTime

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

SKU_KEY_LENGTH = 192
"""A casefolded character can be three."""

cache_control = Table(
    "cache_control",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("installation", Id, nullable=False),
    Column("usable", Boolean(create_constraint=False), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
)
"""One row, made by the migration: see `warehouse.cache.fence`."""

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", HumanText(100), nullable=False),
    Column("role", String(16), nullable=False),
    Column("prefix", ExactText(16), nullable=False, unique=True),
    Column("digest", Digest(), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("last_used_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
)

commands = Table(
    "commands",
    metadata,
    Column("id", Id, primary_key=True),
    Column("caller_id", Id, nullable=False),
    Column("key_digest", Digest(), nullable=False),
    Column("request_hash", Digest(), nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False, index=True),
    Column("status", SmallInteger),
    Column("headers", JsonText()),
    Column("body", LongBytes()),
    Column("tags", JsonText()),
    UniqueConstraint("caller_id", "key_digest"),
)

reversals = Table(
    "reversals",
    metadata,
    Column("command_id", Id, primary_key=True),
    Column("reversal_id", Id, nullable=False, unique=True),
    Column("recorded_at", UtcDateTime, nullable=False),
)

products = Table(
    "products",
    metadata,
    Column("id", Id, primary_key=True),
    Column("sku", ExactText(64), nullable=False),
    Column("sku_key", ExactText(SKU_KEY_LENGTH), nullable=False, unique=True),
    Column("name", HumanText(255), nullable=False),
    Column("description", LongText()),
    Column("category", ExactText(128)),
    Column("unit", ExactText(16), nullable=False),
    Column("barcodes", JsonText(), nullable=False),
    Column("reorder_point", BigInteger),
    Column("tracking", String(16), nullable=False),
    Column("negative_stock", String(16), nullable=False),
    Column("attributes", JsonText(), nullable=False),
    Column("status", String(16), nullable=False),
    Column("search_text", LongText(), nullable=False),
    Column("segment", SmallInteger, nullable=False, server_default="0"),
    Column("version", BigInteger, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Index("ix_products_name", "name", "id"),
    Index("ix_products_created_at", "created_at", "id"),
    Index("ix_products_updated_at", "updated_at", "id"),
    Index("ix_products_category", "category", "sku_key"),
    Index("ix_products_status", "status", "sku_key"),
    Index("ix_products_tracking", "tracking", "sku_key"),
    Index("ix_products_reorder_point", "reorder_point", "id"),
    Index("ix_products_segment", "segment", "id"),
)

warehouses = Table(
    "warehouses",
    metadata,
    Column("id", Id, primary_key=True),
    Column("code", ExactText(64), nullable=False),
    Column("code_key", ExactText(SKU_KEY_LENGTH), nullable=False, unique=True),
    Column("name", HumanText(255), nullable=False),
    Column("address", HumanText(512)),
    Column("status", String(16), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Index("ix_warehouses_status", "status", "code_key"),
)

locations = Table(
    "locations",
    metadata,
    Column("id", Id, primary_key=True),
    Column("warehouse_id", Id, ForeignKey("warehouses.id"), nullable=False),
    Column("parent_id", Id, ForeignKey("locations.id"), index=True),
    Column("code", ExactText(64), nullable=False),
    Column("code_key", ExactText(SKU_KEY_LENGTH), nullable=False),
    Column("name", HumanText(255)),
    Column("kind", String(16), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    UniqueConstraint("warehouse_id", "code_key"),
    Index("ix_locations_warehouse_id_kind", "warehouse_id", "kind", "code_key"),
    Index("ix_locations_code_key", "code_key"),
)

lots = Table(
    "lots",
    metadata,
    Column("product_id", Id, ForeignKey("products.id"), primary_key=True),
    Column("lot", ExactText(64), primary_key=True),
    Column("expires_on", Date),
)

balances = Table(
    "balances",
    metadata,
    Column("product_id", Id, ForeignKey("products.id"), primary_key=True),
    Column("location_id", Id, ForeignKey("locations.id"), primary_key=True),
    Column("lot", ExactText(64), primary_key=True),
    Column("warehouse_id", Id, nullable=False),
    Column("on_hand", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False),
    Column("below_zero_allowed", Boolean(create_constraint=False), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    CheckConstraint("reserved >= 0", name="reserved_not_negative"),
    CheckConstraint("below_zero_allowed OR on_hand >= 0", name="on_hand_not_negative"),
    CheckConstraint("below_zero_allowed OR reserved <= on_hand", name="reserved_within_on_hand"),
    CheckConstraint(f"on_hand >= -{MAX_ON_HAND} AND on_hand <= {MAX_ON_HAND}", name="on_hand_range"),
    Index("ix_balances_location_id", "location_id", "product_id", "lot"),
    Index("ix_balances_warehouse_id", "warehouse_id", "product_id", "location_id", "lot"),
    Index("ix_balances_lot", "lot", "product_id", "location_id"),
)

movements = Table(
    "movements",
    metadata,
    Column("id", Id, primary_key=True),
    Column("command_id", Id, nullable=False),
    Column("line", Integer, nullable=False),
    Column("product_id", Id, nullable=False),
    Column("location_id", Id, nullable=False),
    Column("lot", ExactText(64), nullable=False),
    Column("warehouse_id", Id, nullable=False),
    Column("delta", BigInteger, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("reason", ExactText(64)),
    Column("reference", ExactText(128)),
    Column("actor", ExactText(100), nullable=False),
    Column("occurred_at", UtcDateTime, nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False),
    UniqueConstraint("command_id", "line"),
    ForeignKeyConstraint(
        ["product_id", "location_id", "lot"], ["balances.product_id", "balances.location_id", "balances.lot"]
    ),
    Index("ix_movements_balance", "product_id", "location_id", "lot"),
    Index("ix_movements_product_id", "product_id", "id"),
    Index("ix_movements_location_id", "location_id", "id"),
    Index("ix_movements_warehouse_id", "warehouse_id", "id"),
    Index("ix_movements_reference", "reference", "id"),
    Index("ix_movements_occurred_at", "occurred_at", "id"),
)

reservations = Table(
    "reservations",
    metadata,
    Column("id", Id, primary_key=True),
    Column("status", String(16), nullable=False),
    Column("reference", ExactText(128)),
    Column("reason", ExactText(64)),
    Column("actor", ExactText(100), nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Index("ix_reservations_status", "status", "expires_at", "id"),
    Index("ix_reservations_status_id", "status", "id"),
    Index("ix_reservations_reference", "reference", "id"),
)

reservation_lines = Table(
    "reservation_lines",
    metadata,
    Column("reservation_id", Id, ForeignKey("reservations.id"), primary_key=True),
    Column("line", Integer, primary_key=True, autoincrement=False),
    Column("product_id", Id, nullable=False),
    Column("location_id", Id, nullable=False),
    Column("lot", ExactText(64), nullable=False),
    Column("warehouse_id", Id, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    CheckConstraint("quantity > 0", name="quantity_positive"),
    ForeignKeyConstraint(
        ["product_id", "location_id", "lot"], ["balances.product_id", "balances.location_id", "balances.lot"]
    ),
    Index("ix_reservation_lines_balance", "product_id", "location_id", "lot"),
)

tasks = Table(
    "tasks",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kind", ExactText(32), nullable=False),
    Column("queue", String(8), nullable=False),
    Column("status", String(16), nullable=False),
    Column("caller_id", Id, nullable=False),
    Column("actor", ExactText(100), nullable=False),
    Column("parameters", JsonText(), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("most_attempts", Integer, nullable=False),
    Column("beat", BigInteger, nullable=False),
    Column("cancelling", Boolean(create_constraint=False), nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("total", BigInteger),
    Column("unit", String(16), nullable=False),
    Column("error", JsonText()),
    Column("result", JsonText()),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Index("ix_tasks_status", "status", "queue", "id"),
    Index("ix_tasks_caller_id", "caller_id", "id"),
    Index("ix_tasks_kind", "kind", "id"),
    Index("ix_tasks_finished_at", "finished_at", "id"),
)

task_batches = Table(
    "task_batches",
    metadata,
    Column("task_id", Id, ForeignKey("tasks.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("outcome", JsonText(), nullable=False),
)
"""What a task has done in part: a row here and what it did were committed together."""
