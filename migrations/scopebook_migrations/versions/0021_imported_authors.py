"""Authors of other instances, who have no account here."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("account", sa.Column("imported_name", sa.String(), nullable=True))
    op.create_unique_constraint("uq_account_imported_name", "account", ["imported_name"])
    op.create_check_constraint(
        op.f("ck_account_imported_cannot_come_in"),
        "account",
        "imported_name IS NULL OR (disabled_at IS NOT NULL AND role = 'viewer'"
        " AND password_hash IS NULL AND issuer IS NULL)",
    )


def downgrade() -> None:
    op.drop_constraint("ck_account_imported_cannot_come_in", "account")
    op.drop_constraint("uq_account_imported_name", "account")
    op.drop_column("account", "imported_name")
