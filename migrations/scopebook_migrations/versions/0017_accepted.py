"""Entries tell labels that people have accepted from others."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_ACCEPTED = """
UPDATE feature_entry SET state = 'accepted' WHERE label_id IN (
    SELECT label_id FROM (
        SELECT DISTINCT ON (label_id, account_id) label_id, verdict, counts FROM review
        ORDER BY label_id, account_id, id DESC
    ) stands GROUP BY label_id
    HAVING count(*) FILTER (WHERE verdict = 'accept' AND counts)
           > count(*) FILTER (WHERE verdict = 'reject'))
"""


def upgrade() -> None:
    """Call those labels accepted that the reviews accept."""
    op.execute(_ACCEPTED)


def downgrade() -> None:
    """Call them labelled again."""
    op.execute("UPDATE feature_entry SET state = 'labelled' WHERE state = 'accepted'")
