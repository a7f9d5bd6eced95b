"""Presets with immutable versions, what jobs found of them, and norms of residuals."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def _reference(table: str, column: str, to: str, *, cascade: bool = False) -> sa.ForeignKey:
    ondelete = "CASCADE" if cascade else None
    return sa.ForeignKey(f"{to}.id", name=f"fk_{table}_{column}_{to}", ondelete=ondelete)


def _created(name: str = "created_at") -> "sa.Column[Any]":
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)


def _words(name: str) -> "sa.Column[Any]":
    return sa.Column(name, sa.String(), server_default=sa.text("''"), nullable=False)


def _id() -> "sa.Column[Any]":
    return sa.Column("id", sa.Integer(), primary_key=True)


def upgrade() -> None:
    _presets()
    _versions()
    _what_jobs_found()
    op.create_table(
        "residual_norm",
        *(
            sa.Column(
                f"{to}_id",
                sa.Integer(),
                _reference("residual_norm", f"{to}_id", to, cascade=True),
                primary_key=True,
            )
            for to in ("model", "tokenisation")
        ),
        sa.Column("layer", sa.SmallInteger(), primary_key=True),
        sa.Column("norm", sa.Double(), nullable=False),
        _created("measured_at"),
    )


def _presets() -> None:
    op.create_table(
        "preset",
        _id(),
        sa.Column("key", sa.String(32), nullable=False),
        sa.Column(
            "owner_id", sa.Integer(), _reference("preset", "owner_id", "account"), nullable=False
        ),
        sa.Column(
            "release_id",
            sa.Integer(),
            _reference("preset", "release_id", "release", cascade=True),
            nullable=False,
        ),
        sa.Column("name", sa.String(), nullable=False),
        _words("description"),
        sa.Column("visible_to", sa.String(), server_default="viewer", nullable=False),
        sa.Column("archived", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("forked_from", sa.Integer()),
        sa.Column("revision", sa.Integer(), server_default=sa.text("1"), nullable=False),
        _created(),
        _created("changed_at"),
        sa.UniqueConstraint("key", name="uq_preset_key"),
        sa.CheckConstraint(
            "visible_to IN ('owner', 'viewer', 'annotator', 'editor', 'admin')",
            name="ck_preset_known_audience",
        ),
    )
    op.create_index("ix_preset_release_id", "preset", ["release_id"])
    op.create_index("uq_preset_name", "preset", [sa.text("lower(name)")], unique=True)


def _versions() -> None:
    op.create_table(
        "preset_version",
        _id(),
        sa.Column(
            "preset_id",
            sa.Integer(),
            _reference("preset_version", "preset_id", "preset", cascade=True),
            nullable=False,
        ),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column(
            "author_id",
            sa.Integer(),
            _reference("preset_version", "author_id", "account"),
            nullable=False,
        ),
        sa.Column("name", sa.String(), nullable=False),
        _words("description"),
        _words("note"),
        sa.Column("document", postgresql.JSONB(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        _created(),
        sa.UniqueConstraint("preset_id", "number", name="uq_preset_version_preset_id_number"),
    )
    op.create_foreign_key(
        "fk_preset_forked_from_preset_version",
        "preset",
        "preset_version",
        ["forked_from"],
        ["id"],
        ondelete="SET NULL",
    )
    op.create_table(
        "preset_decision",
        _id(),
        _version_of("preset_decision"),
        sa.Column(
            "account_id",
            sa.Integer(),
            _reference("preset_decision", "account_id", "account"),
            nullable=False,
        ),
        sa.Column("status", sa.String(), nullable=False),
        _words("note"),
        _created(),
        sa.CheckConstraint(
            "status IN ('draft', 'approved')", name="ck_preset_decision_known_status"
        ),
    )
    op.create_index("ix_preset_decision_version_id", "preset_decision", ["version_id"])


def _version_of(table: str) -> "sa.Column[Any]":
    return sa.Column(
        "version_id",
        sa.Integer(),
        _reference(table, "version_id", "preset_version", cascade=True),
        nullable=False,
    )


def _job_of(table: str) -> "sa.Column[Any]":
    return sa.Column("job_id", sa.Integer(), _reference(table, "job_id", "job"), nullable=False)


def _what_jobs_found() -> None:
    op.create_table(
        "preset_report",
        _id(),
        _version_of("preset_report"),
        sa.Column("kind", sa.String(), nullable=False),
        _job_of("preset_report"),
        sa.Column("found", postgresql.JSONB()),
        _created(),
    )
    op.create_index("ix_preset_report_job_id", "preset_report", ["job_id"])
    op.create_index(
        "ix_preset_report_version_id_kind_id", "preset_report", ["version_id", "kind", "id"]
    )
    op.create_index(
        "uq_preset_report_probe",
        "preset_report",
        ["version_id"],
        unique=True,
        postgresql_where=sa.text("kind = 'probe'"),
    )
    op.create_table(
        "preset_export",
        _id(),
        _version_of("preset_export"),
        sa.Column("target", sa.String(), nullable=False),
        _job_of("preset_export"),
        sa.Column("artifact", sa.String()),
        sa.Column("sha256", sa.String(64)),
        sa.Column("size_bytes", sa.BigInteger()),
        _created(),
    )
    for column in ("version_id", "job_id"):
        op.create_index(f"ix_preset_export_{column}", "preset_export", [column])


def downgrade() -> None:
    op.drop_constraint("fk_preset_forked_from_preset_version", "preset", type_="foreignkey")
    for table in (
        "residual_norm",
        "preset_export",
        "preset_report",
        "preset_decision",
        "preset_version",
        "preset",
    ):
        op.drop_table(table)
