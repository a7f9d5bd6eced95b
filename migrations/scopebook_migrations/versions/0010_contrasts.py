"""What a language model was shown that does not fire the feature."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "label_origin",
        sa.Column(
            "contrasts",
            postgresql.ARRAY(sa.BigInteger(), dimensions=2),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
    )


def downgrade() -> None:
    op.drop_column("label_origin", "contrasts")
