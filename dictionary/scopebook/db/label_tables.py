"""The tables of labels: labelings, senses, wordings, their origin and their scores.

What a person or a model said is never overwritten: rows only grow, but for the mark `current` of a
label, and `label_choice` keeps how it came to be.
"""

from typing import Any

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import (
    REAL,
    BigInteger,
    CheckConstraint,
    Computed,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    SmallInteger,
    String,
    UniqueConstraint,
)
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY, BIT, TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from scopebook.db.base import Base, BigId, Created, Moment


class Labeling(Base):
    """One pass over the features of an SAE that words the examples of one run.

    By a person it is of one feature, and has parted its examples into senses.
    """

    __tablename__ = "labeling"

    id: Mapped[int] = mapped_column(primary_key=True)
    #: Null for labels made before labelings were kept.
    job_id: Mapped[int | None] = mapped_column(ForeignKey("job.id"))
    sae_id: Mapped[int] = mapped_column(ForeignKey("sae.id", ondelete="CASCADE"))
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"))
    source: Mapped[str]
    #: Changes whenever the same examples may get another wording.
    method: Mapped[str]
    #: The labeling whose senses it words; null: its own.
    base_id: Mapped[int | None] = mapped_column(ForeignKey("labeling.id", ondelete="CASCADE"))
    #: Everything else that decides what is said: embedder, threshold, model, prompt, temperature.
    parameters: Mapped[dict[str, Any]]
    #: Over what decides and is known beforehand, so that the same is not made twice.
    sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[Created]
    finished_at: Mapped[Moment | None]

    __table_args__ = (
        CheckConstraint("source IN ('keywords', 'llm', 'person')", name="known_source"),
        Index("ix_labeling_sae_id_run_id", "sae_id", "run_id"),
    )


class Sense(Base):
    """A cluster of a feature's examples that mean one thing."""

    __tablename__ = "sense"

    id: Mapped[BigId]
    feature_id: Mapped[int] = mapped_column(ForeignKey("feature.id", ondelete="CASCADE"))
    labeling_id: Mapped[int] = mapped_column(ForeignKey("labeling.id", ondelete="CASCADE"))
    ordinal: Mapped[int] = mapped_column(SmallInteger, comment="0 is the largest")
    share: Mapped[float]
    keywords: Mapped[list[str]] = mapped_column(ARRAY(String))
    #: Positions in the evidence's examples; so are the others.
    members: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    medoid: Mapped[int | None] = mapped_column(SmallInteger)
    #: Members that are shown to who words it.
    representatives: Mapped[list[int]] = mapped_column(
        ARRAY(SmallInteger), server_default=sql("'{}'")
    )
    #: Examples of other documents that are nearest to this sense; nobody who words it sees them.
    held_out: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger), server_default=sql("'{}'"))
    silhouette: Mapped[float | None] = mapped_column(REAL)

    __table_args__ = (UniqueConstraint("feature_id", "labeling_id", "ordinal"),)


class LabelOutcome(Base):
    """How a labeling ended for one feature; also where it ended without a label."""

    __tablename__ = "label_outcome"

    labeling_id: Mapped[int] = mapped_column(
        ForeignKey("labeling.id", ondelete="CASCADE"), primary_key=True
    )
    feature_id: Mapped[int] = mapped_column(
        ForeignKey("feature.id", ondelete="CASCADE"), primary_key=True
    )
    status: Mapped[str]
    #: Why it has no label, or a suspect one: a sentence for people.
    reason: Mapped[str | None]
    #: On what it fires: `token`, `position` or `context`.
    kind: Mapped[str | None]
    #: Share of the clustered examples that are in no sense.
    unassigned: Mapped[float | None] = mapped_column(REAL)
    #: SHA-256 of the examples it rests on.
    example_set: Mapped[bytes] = mapped_column(LargeBinary(32))
    #: Examples of documents that nobody who words it sees, by their positions.
    held_out: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger), server_default=sql("'{}'"))
    created_at: Mapped[Created]

    __table_args__ = (
        CheckConstraint(
            "status IN ('ok', 'suspect', 'ineligible', 'abstained', 'refused', 'failed')",
            name="known_status",
        ),
        Index("ix_label_outcome_feature_id", "feature_id"),
    )


class LabelOrigin(Base):
    """What a language model was asked about one feature, and what it answered."""

    __tablename__ = "label_origin"

    labeling_id: Mapped[int] = mapped_column(
        ForeignKey("labeling.id", ondelete="CASCADE"), primary_key=True
    )
    feature_id: Mapped[int] = mapped_column(
        ForeignKey("feature.id", ondelete="CASCADE"), primary_key=True
    )
    #: Positions of the examples that were shown.
    shown: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    #: Of each silent passage that was shown: its context, and the token it was shown around.
    contrasts: Mapped[list[list[int]]] = mapped_column(
        ARRAY(BigInteger, dimensions=2), server_default=sql("'{}'")
    )
    prompt_sha256: Mapped[bytes] = mapped_column(LargeBinary(32))
    model_reported: Mapped[str | None]
    system_fingerprint: Mapped[str | None]
    finish_reason: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(SmallInteger)
    latency_ms: Mapped[int]
    tokens_in: Mapped[int]
    tokens_cached: Mapped[int]
    tokens_out: Mapped[int]
    #: Why there is no answer (`scopebook_workers.llm.chat.ErrorClass`), else null.
    error_class: Mapped[str | None]
    raw_response: Mapped[str]

    __table_args__ = (Index("ix_label_origin_feature_id", "feature_id"),)


class Label(Base):
    """A proposed wording of a feature, or of some of its senses; append-only but for `current`."""

    __tablename__ = "label"

    id: Mapped[BigId]
    feature_id: Mapped[int] = mapped_column(ForeignKey("feature.id", ondelete="CASCADE"))
    sae_id: Mapped[int] = mapped_column(ForeignKey("sae.id", ondelete="CASCADE"))
    #: Null for what a person said, and for what another tool's file says.
    labeling_id: Mapped[int | None] = mapped_column(ForeignKey("labeling.id", ondelete="CASCADE"))
    #: The largest sense it words; null: the whole feature.
    sense_id: Mapped[int | None] = mapped_column(ForeignKey("sense.id", ondelete="SET NULL"))
    #: Ordinals of further senses that it words as well.
    also: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger), server_default=sql("'{}'"))
    text: Mapped[str]
    description: Mapped[str | None]
    kind: Mapped[str | None]
    confidence: Mapped[float | None] = mapped_column(REAL)
    source: Mapped[str]
    #: A suspect label does not fit its own held-out examples, and what one that is gone worded was
    #: deleted (`scopebook.deletion_rows`); neither is ever in force.
    status: Mapped[str] = mapped_column(server_default="ok")
    method: Mapped[str]
    author: Mapped[str | None]
    #: Of a person who proposed it here.
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    #: Examples that it was made from.
    n_examples: Mapped[int | None] = mapped_column(SmallInteger)
    #: Share of the clustered examples that are in its senses.
    share: Mapped[float | None] = mapped_column(REAL)
    provenance: Mapped[dict[str, Any]] = mapped_column(server_default=sql("'{}'"))
    #: The label of the same source that it came after.
    supersedes_id: Mapped[int | None] = mapped_column(
        ForeignKey("label.id", ondelete="SET NULL"), index=True
    )
    #: Whether this is the wording in force; `label_choice` keeps how it came to be.
    current: Mapped[bool]
    created_at: Mapped[Created]
    words: Mapped[Any] = mapped_column(
        TSVECTOR, Computed("label_words(text, description)", persisted=True), deferred=True
    )

    __table_args__ = (
        CheckConstraint("source IN ('keywords', 'llm', 'person', 'import')", name="known_source"),
        CheckConstraint("status IN ('ok', 'suspect', 'gone')", name="known_status"),
        CheckConstraint("NOT current OR status = 'ok'", name="suspect_is_not_current"),
        CheckConstraint(
            "labeling_id IS NULL OR source IN ('keywords', 'llm')", name="machines_label"
        ),
        Index("ix_label_feature_id", "feature_id"),
        Index("ix_label_labeling_id_feature_id", "labeling_id", "feature_id"),
        Index("ix_label_sae_id_current", "sae_id", postgresql_where=sql("current")),
        Index("ix_label_sense_id", "sense_id", postgresql_where=sql("sense_id IS NOT NULL")),
        # One wording in force for the feature, and one for each of its senses.
        Index(
            "uq_label_current",
            "feature_id",
            sql("coalesce(sense_id, 0)"),
            unique=True,
            postgresql_where=sql("current"),
        ),
    )


class LabelChoice(Base):
    """That a label became the current one, by whom and why; append-only."""

    __tablename__ = "label_choice"

    id: Mapped[BigId]
    label_id: Mapped[int] = mapped_column(ForeignKey("label.id", ondelete="CASCADE"), index=True)
    chosen_by: Mapped[str]
    reason: Mapped[str | None]
    created_at: Mapped[Created]


class Embedder(Base):
    """A text embedding model, with its export that the API runs."""

    __tablename__ = "embedder"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    dimension: Mapped[int]
    artifact: Mapped[str | None]
    created_at: Mapped[Created]


class LabelEmbedding(Base):
    """A label's vector; unit length, so cosine and inner product order alike."""

    __tablename__ = "label_embedding"

    label_id: Mapped[int] = mapped_column(
        ForeignKey("label.id", ondelete="CASCADE"), primary_key=True
    )
    embedder_id: Mapped[int] = mapped_column(ForeignKey("embedder.id"), primary_key=True)
    #: Repeated from the label, so that a scan inside one SAE reads this table alone.
    sae_id: Mapped[int] = mapped_column(ForeignKey("sae.id", ondelete="CASCADE"))
    #: Without a dimension: each embedder has a partial index of its own dimension.
    embedding: Mapped[Any] = mapped_column(HALFVEC())

    __table_args__ = (Index("ix_label_embedding_embedder_id_sae_id", "embedder_id", "sae_id"),)


class LabelSketch(Base):
    """The signs of a label's vector, one bit each: how near it is, roughly, without reading it.

    Kept for embedders whose vectors have an index, in the order of features, so that those which a
    filter leaves are compared from this table's own index (`scopebook.vector_index`).
    """

    __tablename__ = "label_sketch"

    embedder_id: Mapped[int] = mapped_column(primary_key=True)
    feature_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    label_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    sketch: Mapped[str] = mapped_column(BIT(varying=True))

    __table_args__ = (
        ForeignKeyConstraint(
            ["label_id", "embedder_id"],
            ["label_embedding.label_id", "label_embedding.embedder_id"],
            ondelete="CASCADE",
        ),
        # Ends of the foreign key, for deletions; the other index answers from itself alone.
        Index("ix_label_sketch_label_id", "label_id", "embedder_id"),
        Index(
            "ix_label_sketch_compared",
            "embedder_id",
            "feature_id",
            postgresql_include=["label_id", "sketch"],
        ),
    )


class WindowVector(Base):
    """What an embedder said of a window; kept so that it is not computed or paid for twice."""

    __tablename__ = "window_vector"

    #: 16 bytes of the SHA-256 of the embedder's id, and of what it was given.
    embedder: Mapped[bytes] = mapped_column(LargeBinary(16), primary_key=True)
    window: Mapped[bytes] = mapped_column(LargeBinary(16), primary_key=True)
    #: In half precision, little-endian.
    vector: Mapped[bytes]


class LabelScore(Base):
    """A measured quality of a label, with its interval and its null."""

    __tablename__ = "label_score"

    id: Mapped[BigId]
    label_id: Mapped[int] = mapped_column(ForeignKey("label.id", ondelete="CASCADE"))
    job_id: Mapped[int | None] = mapped_column(ForeignKey("job.id"))
    scorer: Mapped[str]
    scorer_version: Mapped[str]
    #: The model that judged, as it reports itself, or the embedder.
    judge: Mapped[str]
    n_pos: Mapped[int]
    n_neg_random: Mapped[int]
    n_neg_hard: Mapped[int]
    #: Answers that could not be read; they count as wrong.
    n_failed: Mapped[int]
    tp: Mapped[int | None]
    fp: Mapped[int | None]
    tn: Mapped[int | None]
    fn: Mapped[int | None]
    value: Mapped[float] = mapped_column(Double)
    ci_low: Mapped[float | None] = mapped_column(Double)
    ci_high: Mapped[float | None] = mapped_column(Double)
    #: What the same scorer gives labels of other features; null where it was not measured.
    null_value: Mapped[float | None] = mapped_column(Double)
    f1: Mapped[float | None] = mapped_column(Double)
    #: Over the windows that were judged.
    held_out_sha256: Mapped[bytes] = mapped_column(LargeBinary(32))
    tokens_in: Mapped[int] = mapped_column(server_default=sql("0"))
    tokens_out: Mapped[int] = mapped_column(server_default=sql("0"))
    details: Mapped[dict[str, Any]] = mapped_column(server_default=sql("'{}'"))
    created_at: Mapped[Created]

    __table_args__ = (
        UniqueConstraint(
            "label_id",
            "scorer",
            "scorer_version",
            "judge",
            "held_out_sha256",
            name="uq_label_score_once",
        ),
        Index("ix_label_score_job_id", "job_id", postgresql_where=sql("job_id IS NOT NULL")),
    )


class Panel(Base):
    """Contexts drawn from the corpus for which it is known what fires every feature of an SAE."""

    __tablename__ = "panel"

    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), primary_key=True)
    sae_id: Mapped[int] = mapped_column(ForeignKey("sae.id", ondelete="CASCADE"), primary_key=True)
    artifact: Mapped[str]
    contexts: Mapped[int]
    #: Null where the panel was computed before it was counted which features fire together.
    tokens: Mapped[int | None]
    created_at: Mapped[Created]


class CoFiring(Base):
    """Which features of its SAE fire on the same tokens of a panel as one does."""

    __tablename__ = "co_firing"

    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), primary_key=True)
    feature_id: Mapped[int] = mapped_column(
        ForeignKey("feature.id", ondelete="CASCADE"), primary_key=True
    )
    #: Tokens of the panel that it fires on.
    fires: Mapped[int]
    #: Packed pairs (`scopebook.packing`): index, and tokens where both fire by those where either
    #: does; the greatest share first.
    partners: Mapped[bytes] = mapped_column(LargeBinary)
