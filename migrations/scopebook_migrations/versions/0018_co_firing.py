"""Which features fire on the same tokens, counted where a panel is computed."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table; panels that there are keep what they have until they are computed again."""
    op.add_column("panel", sa.Column("tokens", sa.Integer))
    op.create_table(
        "co_firing",
        sa.Column("run_id", sa.Integer, nullable=False),
        sa.Column("feature_id", sa.BigInteger, nullable=False),
        sa.Column("fires", sa.Integer, nullable=False),
        sa.Column("partners", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["run.id"], ondelete="CASCADE", name="fk_co_firing_run_id_run"
        ),
        sa.ForeignKeyConstraint(
            ["feature_id"],
            ["feature.id"],
            ondelete="CASCADE",
            name="fk_co_firing_feature_id_feature",
        ),
        sa.PrimaryKeyConstraint("run_id", "feature_id", name="pk_co_firing"),
    )


def downgrade() -> None:
    """Drop what was counted."""
    op.drop_table("co_firing")
    op.drop_column("panel", "tokens")
