"""Maps of releases."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "map",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column(
            "release_id",
            sa.Integer(),
            sa.ForeignKey("release.id", ondelete="CASCADE", name="fk_map_release_id_release"),
            nullable=False,
        ),
        sa.Column(
            "job_id",
            sa.Integer(),
            sa.ForeignKey("job.id", ondelete="SET NULL", name="fk_map_job_id_job"),
        ),
        sa.Column(
            "embedder_id",
            sa.Integer(),
            sa.ForeignKey("embedder.id", name="fk_map_embedder_id_embedder"),
            nullable=False,
        ),
        sa.Column("layers", postgresql.ARRAY(sa.SmallInteger()), nullable=False),
        sa.Column("asked_layers", postgresql.ARRAY(sa.SmallInteger())),
        sa.Column("labels_state", sa.String(), nullable=False),
        sa.Column("parameters", postgresql.JSONB(), nullable=False),
        sa.Column("regions", postgresql.JSONB(), nullable=False),
        sa.Column("points", sa.Integer(), nullable=False),
        sa.Column("artifact", sa.String(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.func.now(),
            nullable=False,
        ),
    )
    op.create_index("ix_map_release_id", "map", ["release_id"])


def downgrade() -> None:
    op.drop_table("map")
