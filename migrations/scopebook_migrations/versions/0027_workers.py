"""Heartbeats of workers, what they have counted, and an index of the steps that are not done."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "worker",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("queues", postgresql.ARRAY(sa.String()), nullable=False),
        sa.Column("consuming", sa.Boolean(), nullable=False),
        sa.Column("started_at", moment, server_default=sa.func.now(), nullable=False),
        sa.Column("seen_at", moment, server_default=sa.func.now(), nullable=False),
        sa.Column("gauges", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("gpus", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_worker")),
        prefixes=["UNLOGGED"],
    )
    op.create_table(
        "meter",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("labels", postgresql.JSONB(), nullable=False),
        sa.Column("value", sa.Float(53), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("name", "labels", name=op.f("pk_meter")),
    )
    left = sa.text("state <> 'done'")
    op.create_index("ix_step_open", "step", ["job_id", "stage"], postgresql_where=left)


def downgrade() -> None:
    op.drop_index("ix_step_open", table_name="step")
    op.drop_table("meter")
    op.drop_table("worker")
