"""The tables of scans: texts that are run through a release and held against a reference."""

from typing import Any

from sqlalchemy import BigInteger, ForeignKey, SmallInteger, String, UniqueConstraint
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from scopebook.db.base import Base, Created, Moment


class Scan(Base):
    """One scan of a body of text; what it found of each feature lies in an artifact."""

    __tablename__ = "scan"

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"), index=True)
    release_id: Mapped[int] = mapped_column(
        ForeignKey("release.id", ondelete="CASCADE"), index=True
    )
    corpus_id: Mapped[int] = mapped_column(ForeignKey("corpus.id", ondelete="CASCADE"), index=True)
    #: Whether its corpus was made for scans and is none that people have registered.
    owns_corpus: Mapped[bool]
    tokenisation_id: Mapped[int] = mapped_column(ForeignKey("tokenisation.id", ondelete="CASCADE"))
    #: What people call the text: a file's name or a corpus's.
    dataset: Mapped[str]
    layers: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    #: The fields of its records, each a part; none: the text is one part. Stands as the tag of its
    #: documents.
    parts: Mapped[list[str]] = mapped_column(ARRAY(String))
    #: See `scopebook.scan_parameters`.
    parameters: Mapped[dict[str, Any]]
    #: What shards must know of features (`scopebook.scan_guides`); null until it is planned.
    guide: Mapped[str | None]
    #: What was found, as the API tells it; null until the scan is done.
    summary: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    #: All features, and every hit of those that are watched, as Parquet.
    features_artifact: Mapped[str | None]
    hits_artifact: Mapped[str | None]
    created_at: Mapped[Created]
    finished_at: Mapped[Moment | None]
    #: The job that deletes it.
    deletion_job_id: Mapped[int | None] = mapped_column(ForeignKey("job.id", ondelete="SET NULL"))


class ScanShard(Base):
    """The contexts, of whole documents, that one step of a scan reads, and where its result is."""

    __tablename__ = "scan_shard"

    id: Mapped[int] = mapped_column(primary_key=True)
    scan_id: Mapped[int] = mapped_column(ForeignKey("scan.id", ondelete="CASCADE"))
    ordinal: Mapped[int]
    first_context_id: Mapped[int] = mapped_column(BigInteger)
    last_context_id: Mapped[int] = mapped_column(BigInteger)
    #: Written once, in the transaction that ends the step; null until then.
    artifact: Mapped[str | None]

    __table_args__ = (UniqueConstraint("scan_id", "ordinal"),)
