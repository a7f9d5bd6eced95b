"""The tables of presets: named sets of interventions, their versions and what is known of those."""

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    Index,
    SmallInteger,
    String,
    UniqueConstraint,
)
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from scopebook.db.base import Base, Created

#: The least role that sees a preset; `owner`: nobody but its owner.
AUDIENCES: Final = ("owner", "viewer", "annotator", "editor", "admin")
STATUSES: Final = ("draft", "approved")


def _among(column: str, known: tuple[str, ...]) -> str:
    return "{} IN ({})".format(column, ", ".join(f"'{one}'" for one in known))


class Preset(Base):
    """A named set of interventions on the features of one release."""

    __tablename__ = "preset"

    id: Mapped[int] = mapped_column(primary_key=True)
    #: What its exports call it wherever they are read.
    key: Mapped[str] = mapped_column(String(32), unique=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    release_id: Mapped[int] = mapped_column(
        ForeignKey("release.id", ondelete="CASCADE"), index=True
    )
    name: Mapped[str]
    description: Mapped[str] = mapped_column(server_default=sql("''"))
    visible_to: Mapped[str] = mapped_column(server_default="viewer")
    archived: Mapped[bool] = mapped_column(server_default=sql("false"))
    #: The version that it was made from.
    forked_from: Mapped[int | None] = mapped_column(
        ForeignKey("preset_version.id", ondelete="SET NULL", use_alter=True)
    )
    #: Counts all changes, those by new versions too; what is written names it.
    revision: Mapped[int] = mapped_column(server_default=sql("1"))
    created_at: Mapped[Created]
    changed_at: Mapped[Created]

    __table_args__ = (
        CheckConstraint(_among("visible_to", AUDIENCES), name="known_audience"),
        Index("uq_preset_name", sql("lower(name)"), unique=True),
    )


class PresetVersion(Base):
    """A state of a preset, which never changes."""

    __tablename__ = "preset_version"

    id: Mapped[int] = mapped_column(primary_key=True)
    preset_id: Mapped[int] = mapped_column(ForeignKey("preset.id", ondelete="CASCADE"))
    number: Mapped[int]
    author_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    #: What the preset was called and said to be for: its exports say so for ever.
    name: Mapped[str]
    description: Mapped[str] = mapped_column(server_default=sql("''"))
    #: Why it was made.
    note: Mapped[str] = mapped_column(server_default=sql("''"))
    #: See `scopebook.preset_documents`.
    document: Mapped[dict[str, Any]]
    #: Over the document's canonical form.
    sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[Created]

    __table_args__ = (UniqueConstraint("preset_id", "number"),)


class PresetDecision(Base):
    """That somebody approved a version, or took that back; the last one counts."""

    __tablename__ = "preset_decision"

    id: Mapped[int] = mapped_column(primary_key=True)
    version_id: Mapped[int] = mapped_column(
        ForeignKey("preset_version.id", ondelete="CASCADE"), index=True
    )
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    status: Mapped[str]
    note: Mapped[str] = mapped_column(server_default=sql("''"))
    created_at: Mapped[Created]

    __table_args__ = (CheckConstraint(_among("status", STATUSES), name="known_status"),)


class PresetReport(Base):
    """What a job found of a version: how its tests went, its smallest part, or its probe."""

    __tablename__ = "preset_report"

    id: Mapped[int] = mapped_column(primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("preset_version.id", ondelete="CASCADE"))
    #: `test`, `prune` or `probe`.
    kind: Mapped[str]
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"), index=True)
    #: Null until the job has ended.
    found: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    created_at: Mapped[Created]

    __table_args__ = (
        Index("ix_preset_report_version_id_kind_id", "version_id", "kind", "id"),
        Index(
            "uq_preset_report_probe",
            "version_id",
            unique=True,
            postgresql_where=sql("kind = 'probe'"),
        ),
    )


class PresetExport(Base):
    """A version compiled for a target, as one file."""

    __tablename__ = "preset_export"

    id: Mapped[int] = mapped_column(primary_key=True)
    version_id: Mapped[int] = mapped_column(
        ForeignKey("preset_version.id", ondelete="CASCADE"), index=True
    )
    target: Mapped[str]
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"), index=True)
    #: Null until the job has ended.
    artifact: Mapped[str | None]
    sha256: Mapped[str | None] = mapped_column(String(64))
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[Created]


class ResidualNorm(Base):
    """How long the residual after a layer is on average, on texts of a corpus."""

    __tablename__ = "residual_norm"

    model_id: Mapped[int] = mapped_column(
        ForeignKey("model.id", ondelete="CASCADE"), primary_key=True
    )
    tokenisation_id: Mapped[int] = mapped_column(
        ForeignKey("tokenisation.id", ondelete="CASCADE"), primary_key=True
    )
    layer: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    norm: Mapped[float] = mapped_column(Double)
    measured_at: Mapped[Created]
