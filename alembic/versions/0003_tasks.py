"""background tasks, and their batches that are done"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from warehouse.storage import types

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "tasks",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("kind", types.ExactText(32), nullable=False),
        sa.Column("queue", sa.String(8), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("caller_id", types.Id(), nullable=False),
        sa.Column("actor", types.ExactText(100), nullable=False),
        sa.Column("parameters", types.JsonText(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("most_attempts", sa.Integer(), nullable=False),
        sa.Column("beat", sa.BigInteger(), nullable=False),
        sa.Column("cancelling", sa.Boolean(create_constraint=False), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=True),
        sa.Column("unit", sa.String(16), nullable=False),
        sa.Column("error", types.JsonText(), nullable=True),
        sa.Column("result", types.JsonText(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("started_at", types.UtcDateTime(), nullable=True),
        sa.Column("finished_at", types.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tasks")),
    )
    op.create_index("ix_tasks_status", "tasks", ["status", "queue", "id"], unique=False)
    op.create_index("ix_tasks_caller_id", "tasks", ["caller_id", "id"], unique=False)
    op.create_index("ix_tasks_kind", "tasks", ["kind", "id"], unique=False)
    op.create_index("ix_tasks_finished_at", "tasks", ["finished_at", "id"], unique=False)
    op.create_table(
        "task_batches",
        sa.Column("task_id", types.Id(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("outcome", types.JsonText(), nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_task_batches_task_id")),
        sa.PrimaryKeyConstraint("task_id", "number", name=op.f("pk_task_batches")),
    )


def downgrade() -> None:
    op.drop_table("task_batches")
    op.drop_table("tasks")
