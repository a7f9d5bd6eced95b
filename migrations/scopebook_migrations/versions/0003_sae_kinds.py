"""SAEs without a top-k, and models that are told apart by their weights."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# What stands for a missing k in a table that cannot leave it out, so that it can come back.
RELU, THRESHOLD = 0, -1


def upgrade() -> None:
    op.add_column("model", sa.Column("sha256", sa.String(length=64), nullable=True))
    op.add_column("sae", sa.Column("kind", sa.String(), server_default="topk", nullable=False))
    op.alter_column("sae", "kind", server_default=None)
    op.alter_column("sae", "k", nullable=True)
    op.alter_column("release", "k", nullable=True)
    op.execute(f"UPDATE sae SET kind = 'relu', k = NULL WHERE k = {RELU}")
    op.execute(f"UPDATE sae SET kind = 'threshold', k = NULL WHERE k = {THRESHOLD}")
    op.execute("UPDATE release SET k = NULL WHERE k = 0")
    op.create_check_constraint(
        op.f("ck_sae_kind_is_known"), "sae", "kind IN ('topk', 'threshold', 'relu')"
    )
    op.create_check_constraint(
        op.f("ck_sae_k_is_of_topk"), "sae", "(kind = 'topk') = (k IS NOT NULL)"
    )


def downgrade() -> None:
    op.drop_constraint(op.f("ck_sae_k_is_of_topk"), "sae")
    op.drop_constraint(op.f("ck_sae_kind_is_known"), "sae")
    op.execute(f"UPDATE sae SET k = {RELU} WHERE kind = 'relu'")
    op.execute(f"UPDATE sae SET k = {THRESHOLD} WHERE kind = 'threshold'")
    op.execute("UPDATE release SET k = 0 WHERE k IS NULL")
    op.alter_column("release", "k", nullable=False)
    op.alter_column("sae", "k", nullable=False)
    op.drop_column("sae", "kind")
    op.drop_column("model", "sha256")
