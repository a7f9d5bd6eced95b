"""How far imports have come."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "dump_import",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("format", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("progress", postgresql.JSONB(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.func.now(),
            nullable=False,
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.UniqueConstraint("sha256", name="uq_dump_import_sha256"),
    )
    op.create_table(
        "imported_row",
        sa.Column(
            "import_id",
            sa.Integer(),
            sa.ForeignKey(
                "dump_import.id", ondelete="CASCADE", name="fk_imported_row_import_id_dump_import"
            ),
            primary_key=True,
        ),
        sa.Column("kind", sa.String(), primary_key=True),
        sa.Column("number", sa.BigInteger(), primary_key=True),
        sa.Column("row_id", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("imported_row")
    op.drop_table("dump_import")
