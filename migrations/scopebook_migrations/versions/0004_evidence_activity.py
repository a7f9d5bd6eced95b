"""When a feature fires first and last, whether its top tokens are exact, when a step was taken."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("evidence", sa.Column("first_context_id", sa.BigInteger(), nullable=True))
    op.add_column("evidence", sa.Column("last_context_id", sa.BigInteger(), nullable=True))
    op.add_column(
        "evidence",
        sa.Column("top_tokens_exact", sa.Boolean(), server_default=sa.text("true"), nullable=False),
    )
    op.add_column("step", sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True))
    # A step tried once began when it was taken; of others nobody knows any more.
    op.execute("UPDATE step SET claimed_at = started_at WHERE fence = 1")


def downgrade() -> None:
    op.drop_column("step", "claimed_at")
    op.drop_column("evidence", "top_tokens_exact")
    op.drop_column("evidence", "last_context_id")
    op.drop_column("evidence", "first_context_id")
