"""Requests to run a model while somebody waits."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "inference",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("release_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("parameters", JSONB(), nullable=False),
        sa.Column("state", sa.String(), server_default="queued", nullable=False),
        sa.Column("attempt", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("deadline", moment, nullable=False),
        sa.Column("lease_until", moment, nullable=True),
        sa.Column("worker", sa.String(), nullable=True),
        sa.Column("written", JSONB(), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("error_kind", sa.String(), nullable=True),
        sa.Column("created_at", moment, server_default=sa.func.now(), nullable=False),
        sa.Column("started_at", moment, nullable=True),
        sa.Column("finished_at", moment, nullable=True),
        sa.CheckConstraint(
            "state IN ('queued', 'loading', 'running', 'done', 'failed', 'cancelled')",
            name=op.f("ck_inference_known_state"),
        ),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
            name=op.f("fk_inference_account_id_account"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["release_id"],
            ["release.id"],
            name=op.f("fk_inference_release_id_release"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inference")),
        prefixes=["UNLOGGED"],
    )
    op.create_index(
        "ix_inference_waiting",
        "inference",
        ["account_id", "id"],
        postgresql_where=sa.text("state IN ('queued', 'loading', 'running')"),
    )
    op.create_index("ix_inference_created_at", "inference", ["created_at"])


def downgrade() -> None:
    op.drop_table("inference")
