"""Indexes by which due steps are found, however many a job has."""

import sqlalchemy as sa
from alembic import op

from scopebook_migrations.online import create_index, drop_index

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

_NOT_DONE = sa.text("state <> 'done'")
_WAITING = sa.text("state IN ('queued', 'running')")


def upgrade() -> None:
    create_index("ix_step_place", "step", ["job_id", "state", "stage", "kind", "id"])
    create_index("ix_step_tried", "step", ["attempt", "kind"], postgresql_where=_WAITING)
    for name in ("ix_step_open", "ix_step_due", "ix_step_job_id_stage"):
        drop_index(name, "step")
    under_way = sa.text("state IN ('queued', 'running', 'cancelling')")
    create_index("ix_job_under_way", "job", ["id"], postgresql_where=under_way)


def downgrade() -> None:
    op.drop_index("ix_job_under_way", table_name="job")
    op.drop_index("ix_step_tried", table_name="step")
    op.drop_index("ix_step_place", table_name="step")
    op.create_index("ix_step_job_id_stage", "step", ["job_id", "stage"])
    op.create_index("ix_step_due", "step", ["kind"], postgresql_where=_WAITING)
    op.create_index("ix_step_open", "step", ["job_id", "stage"], postgresql_where=_NOT_DONE)
