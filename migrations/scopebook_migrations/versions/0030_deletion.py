"""Corpora and scans that are being deleted, labels whose words are gone, who asked for a job."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

_STATUS = "ck_label_known_status"

#: What was said only grows; a deletion takes words of machines that it quotes, and says so first.
_GROWS = """
CREATE OR REPLACE FUNCTION refuse_change_of_what_was_said() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    {unless}RAISE EXCEPTION 'rows of % only grow', TG_TABLE_NAME;
END $$
"""
_UNLESS = (
    "IF coalesce(current_setting('scopebook.deleting', true), '') = 'on' THEN RETURN NULL; END IF; "
)


def upgrade() -> None:
    op.execute(_GROWS.format(unless=_UNLESS))
    for table in ("corpus", "scan"):
        op.add_column(table, sa.Column("deletion_job_id", sa.Integer(), nullable=True))
        op.create_foreign_key(
            op.f(f"fk_{table}_deletion_job_id_job"),
            table,
            "job",
            ["deletion_job_id"],
            ["id"],
            ondelete="SET NULL",
        )
    op.add_column("job", sa.Column("account_id", sa.Integer(), nullable=True))
    op.create_foreign_key(
        op.f("fk_job_account_id_account"), "job", "account", ["account_id"], ["id"]
    )
    _know_status("'ok', 'suspect', 'gone'")


def _know_status(known: str) -> None:
    op.drop_constraint(op.f(_STATUS), "label")
    op.create_check_constraint(op.f(_STATUS), "label", f"status IN ({known})")


def downgrade() -> None:
    op.execute(_GROWS.format(unless=""))
    op.execute("UPDATE label SET status = 'suspect' WHERE status = 'gone'")
    _know_status("'ok', 'suspect'")
    for table, column, other in (
        ("job", "account_id", "account"),
        ("scan", "deletion_job_id", "job"),
        ("corpus", "deletion_job_id", "job"),
    ):
        op.drop_constraint(op.f(f"fk_{table}_{column}_{other}"), table)
        op.drop_column(table, column)
