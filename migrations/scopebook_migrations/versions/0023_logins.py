"""Which browser a login is, and when and where it was used last."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("login_session", sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False))
    op.create_unique_constraint("uq_login_session_id", "login_session", ["id"])
    op.add_column(
        "login_session", sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column("login_session", sa.Column("address", sa.String(), nullable=True))
    op.add_column("login_session", sa.Column("agent", sa.String(), nullable=True))


def downgrade() -> None:
    for column in ("agent", "address", "last_seen_at"):
        op.drop_column("login_session", column)
    op.drop_constraint("uq_login_session_id", "login_session")
    op.drop_column("login_session", "id")
