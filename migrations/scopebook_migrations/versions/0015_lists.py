"""Lists of features, and searches that are kept."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def _moment(name: str) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)


def upgrade() -> None:
    op.create_table(
        "feature_list",
        sa.Column("id", sa.BigInteger(), primary_key=True),
        sa.Column("owner_id", sa.Integer(), sa.ForeignKey("account.id"), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), server_default=sa.text("''"), nullable=False),
        sa.Column("shared", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("search", postgresql.JSONB()),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        _moment("created_at"),
        _moment("changed_at"),
    )
    op.create_index("ix_feature_list_owner_id_id", "feature_list", ["owner_id", "id"])
    op.create_index(
        "ix_feature_list_shared", "feature_list", ["id"], postgresql_where=sa.text("shared")
    )
    op.create_table(
        "feature_list_item",
        sa.Column(
            "list_id",
            sa.BigInteger(),
            sa.ForeignKey("feature_list.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column(
            "feature_id",
            sa.BigInteger(),
            sa.ForeignKey("feature.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("place", sa.Double(), nullable=False),
        sa.Column("note", sa.String(), server_default=sa.text("''"), nullable=False),
        sa.Column("added_by", sa.Integer(), sa.ForeignKey("account.id"), nullable=False),
        _moment("added_at"),
    )
    op.create_index(
        "ix_feature_list_item_list_id_place",
        "feature_list_item",
        ["list_id", "place", "feature_id"],
    )
    op.create_index("ix_feature_list_item_feature_id", "feature_list_item", ["feature_id"])


def downgrade() -> None:
    op.drop_table("feature_list_item")
    op.drop_table("feature_list")
