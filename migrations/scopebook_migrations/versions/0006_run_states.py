"""What a run leaves for the next one over a corpus that has grown."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("run", sa.Column("base_run_id", sa.Integer(), nullable=True))
    op.add_column("run", sa.Column("last_document_id", sa.BigInteger(), nullable=True))
    op.create_foreign_key(
        "fk_run_base_run_id_run", "run", "run", ["base_run_id"], ["id"], ondelete="SET NULL"
    )
    op.create_table(
        "run_state",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("sae_id", sa.Integer(), nullable=False),
        sa.Column("artifact", sa.String(), nullable=False),
        sa.Column("last_context_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["run.id"], name="fk_run_state_run_id_run", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["sae_id"], ["sae.id"], name="fk_run_state_sae_id_sae", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "sae_id", name="pk_run_state"),
    )


def downgrade() -> None:
    op.drop_table("run_state")
    op.drop_constraint("fk_run_base_run_id_run", "run", type_="foreignkey")
    op.drop_column("run", "last_document_id")
    op.drop_column("run", "base_run_id")
