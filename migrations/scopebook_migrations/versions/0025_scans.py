"""Scans of texts against a reference."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "scan",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column(
            "job_id",
            sa.Integer(),
            sa.ForeignKey("job.id", name="fk_scan_job_id_job"),
            nullable=False,
        ),
        *(
            sa.Column(
                f"{table}_id",
                sa.Integer(),
                sa.ForeignKey(
                    f"{table}.id", ondelete="CASCADE", name=f"fk_scan_{table}_id_{table}"
                ),
                nullable=False,
            )
            for table in ("release", "corpus")
        ),
        sa.Column("owns_corpus", sa.Boolean(), nullable=False),
        sa.Column(
            "tokenisation_id",
            sa.Integer(),
            sa.ForeignKey(
                "tokenisation.id", ondelete="CASCADE", name="fk_scan_tokenisation_id_tokenisation"
            ),
            nullable=False,
        ),
        sa.Column("dataset", sa.String(), nullable=False),
        sa.Column("layers", postgresql.ARRAY(sa.SmallInteger()), nullable=False),
        sa.Column("parts", postgresql.ARRAY(sa.String()), nullable=False),
        sa.Column("parameters", postgresql.JSONB(), nullable=False),
        sa.Column("guide", sa.String()),
        sa.Column("summary", postgresql.JSONB()),
        sa.Column("features_artifact", sa.String()),
        sa.Column("hits_artifact", sa.String()),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.func.now(),
            nullable=False,
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
    )
    for column in ("job_id", "release_id", "corpus_id"):
        op.create_index(f"ix_scan_{column}", "scan", [column])
    op.create_table(
        "scan_shard",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column(
            "scan_id",
            sa.Integer(),
            sa.ForeignKey("scan.id", ondelete="CASCADE", name="fk_scan_shard_scan_id_scan"),
            nullable=False,
        ),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("first_context_id", sa.BigInteger(), nullable=False),
        sa.Column("last_context_id", sa.BigInteger(), nullable=False),
        sa.Column("artifact", sa.String()),
        sa.UniqueConstraint("scan_id", "ordinal", name="uq_scan_shard_scan_id_ordinal"),
    )


def downgrade() -> None:
    op.drop_table("scan_shard")
    op.drop_table("scan")
