"""Steps and jobs say whether their input was refused; steps, how often an error ended them."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job", sa.Column("error_kind", sa.String(), nullable=True))
    op.add_column("step", sa.Column("error_kind", sa.String(), nullable=True))
    op.add_column(
        "step", sa.Column("failures", sa.SmallInteger(), server_default="0", nullable=False)
    )


def downgrade() -> None:
    op.drop_column("step", "failures")
    op.drop_column("step", "error_kind")
    op.drop_column("job", "error_kind")
