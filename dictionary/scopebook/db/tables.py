"""The tables, in the order in which they fill: models, texts, runs.

The tables of labels stand in `scopebook.db.label_tables`, those of jobs in `scopebook.db.jobs`.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    SmallInteger,
    String,
    UniqueConstraint,
)
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from scopebook.db.base import Base, BigId, Created, Moment

#: A feature's row id is `sae_id << FEATURE_BITS | index`: known without a look-up, so bulk loads
#: need none, and in order of the index within an SAE. The widest Qwen-Scope SAE has 2**17 features.
FEATURE_BITS = 20


class Tokenizer(Base):
    """A vocabulary; two models with the same one share their tokenised texts."""

    __tablename__ = "tokenizer"

    id: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    path: Mapped[str]


class TokenPiece(Base):
    """The bytes of one vocabulary entry."""

    __tablename__ = "token_piece"

    tokenizer_id: Mapped[int] = mapped_column(
        ForeignKey("tokenizer.id", ondelete="CASCADE"), primary_key=True
    )
    token_id: Mapped[int] = mapped_column(primary_key=True)
    piece: Mapped[bytes] = mapped_column(LargeBinary)


class Model(Base):
    """A checkpoint that is run."""

    __tablename__ = "model"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    path: Mapped[str]
    revision: Mapped[str | None]
    layers: Mapped[int]
    d_model: Mapped[int]
    tokenizer_id: Mapped[int] = mapped_column(ForeignKey("tokenizer.id"))
    #: Over its weights' names and shapes and a sample of their bytes; null: not known.
    sha256: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[Created]


class Release(Base):
    """One published set of SAEs for a model."""

    __tablename__ = "release"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("model.id"))
    set_name: Mapped[str]
    width: Mapped[int]
    #: Null where its SAEs have no top-k, or not the same.
    k: Mapped[int | None]
    source: Mapped[str]
    revision: Mapped[str | None]
    caution: Mapped[str | None]
    created_at: Mapped[Created]

    __table_args__ = (UniqueConstraint("model_id", "set_name"),)


class Sae(Base):
    """One layer's autoencoder of a release."""

    __tablename__ = "sae"

    id: Mapped[int] = mapped_column(primary_key=True)
    release_id: Mapped[int] = mapped_column(ForeignKey("release.id"))
    layer: Mapped[int] = mapped_column(SmallInteger)
    d_sae: Mapped[int]
    #: Which features are active: `topk` (the k strongest), `threshold` (above its own) or `relu`.
    kind: Mapped[str] = mapped_column(default="topk")
    k: Mapped[int | None]
    sha256: Mapped[str] = mapped_column(String(64))
    artifact: Mapped[str]
    #: The collection whose evidence the dictionary shows.
    current_run_id: Mapped[int | None] = mapped_column(ForeignKey("run.id", ondelete="SET NULL"))
    created_at: Mapped[Created]

    __table_args__ = (
        UniqueConstraint("release_id", "layer"),
        CheckConstraint(f"d_sae <= {2**FEATURE_BITS}", name="feature_ids_fit"),
        CheckConstraint("kind IN ('topk', 'threshold', 'relu')", name="kind_is_known"),
        CheckConstraint("(kind = 'topk') = (k IS NOT NULL)", name="k_is_of_topk"),
    )


class Feature(Base):
    """One latent of one SAE, with what its weights alone tell."""

    __tablename__ = "feature"

    id: Mapped[BigId]
    sae_id: Mapped[int] = mapped_column(ForeignKey("sae.id", ondelete="CASCADE"), index=True)
    index: Mapped[int]
    decoder_norm: Mapped[float]
    #: Packed pairs (`scopebook.packing`): token id and logit.
    promoted: Mapped[bytes] = mapped_column(LargeBinary)
    suppressed: Mapped[bytes] = mapped_column(LargeBinary)
    #: Packed pairs: index within the SAE and cosine.
    neighbours: Mapped[bytes] = mapped_column(LargeBinary)


class Corpus(Base):
    """A registered body of text."""

    __tablename__ = "corpus"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    source: Mapped[str]
    created_at: Mapped[Created]
    #: The job that deletes it with all that was derived from it; nothing new begins on it then.
    deletion_job_id: Mapped[int | None] = mapped_column(ForeignKey("job.id", ondelete="SET NULL"))


class Document(Base):
    """One text of a corpus."""

    __tablename__ = "document"

    id: Mapped[BigId]
    corpus_id: Mapped[int] = mapped_column(ForeignKey("corpus.id", ondelete="CASCADE"))
    ordinal: Mapped[int]
    name: Mapped[str]
    sha256: Mapped[bytes] = mapped_column(LargeBinary(32))
    text: Mapped[str]
    title: Mapped[str | None]
    tag: Mapped[str | None]
    language: Mapped[str | None]
    source: Mapped[str | None]
    licence: Mapped[str | None]
    #: `scopebook.near_duplicates`, read as a signed number; null where the text came before it.
    simhash: Mapped[int | None] = mapped_column(BigInteger)
    #: The earliest document that this one nearly repeats; null for one that repeats none.
    near_id: Mapped[int | None] = mapped_column(ForeignKey("document.id", ondelete="SET NULL"))

    __table_args__ = (
        UniqueConstraint("corpus_id", "ordinal"),
        UniqueConstraint("corpus_id", "sha256"),
        Index("ix_document_near_id", "near_id", postgresql_where=sql("near_id IS NOT NULL")),
    )


class Tokenisation(Base):
    """A corpus cut into contexts with one tokenizer."""

    __tablename__ = "tokenisation"

    id: Mapped[int] = mapped_column(primary_key=True)
    corpus_id: Mapped[int] = mapped_column(ForeignKey("corpus.id", ondelete="CASCADE"))
    tokenizer_id: Mapped[int] = mapped_column(ForeignKey("tokenizer.id"))
    context_tokens: Mapped[int]
    created_at: Mapped[Created]

    __table_args__ = (UniqueConstraint("corpus_id", "tokenizer_id", "context_tokens"),)


class Context(Base):
    """One run of tokens the model sees at once; never part of two documents."""

    __tablename__ = "context"

    id: Mapped[BigId]
    tokenisation_id: Mapped[int] = mapped_column(ForeignKey("tokenisation.id", ondelete="CASCADE"))
    document_id: Mapped[int] = mapped_column(ForeignKey("document.id", ondelete="CASCADE"))
    ordinal: Mapped[int] = mapped_column(comment="0 is the document's beginning")
    n_tokens: Mapped[int]
    #: Packed int32 (`scopebook.packing`): token ids.
    tokens: Mapped[bytes] = mapped_column(LargeBinary)
    #: Packed int32: first and last character of each token in the document's text.
    spans: Mapped[bytes] = mapped_column(LargeBinary)
    #: Of the token ids (`scopebook.near_duplicates`), read as a signed number; null as above.
    simhash: Mapped[int | None] = mapped_column(BigInteger)
    #: The earliest context that this one nearly repeats, null for one that repeats none. No
    #: foreign key: contexts go with their tokenisation only, and a check would slow the COPY.
    near_id: Mapped[int | None] = mapped_column(BigInteger)

    __table_args__ = (
        # The document first: whoever deletes one asks for its contexts.
        UniqueConstraint("document_id", "tokenisation_id", "ordinal"),
        Index("ix_context_tokenisation_id_id", "tokenisation_id", "id"),
    )


class Run(Base):
    """One collection over one corpus with fixed parameters."""

    __tablename__ = "run"

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"))
    release_id: Mapped[int] = mapped_column(ForeignKey("release.id"))
    tokenisation_id: Mapped[int] = mapped_column(ForeignKey("tokenisation.id"))
    layers: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    parameters: Mapped[dict[str, Any]]
    tokens_seen: Mapped[int | None] = mapped_column(BigInteger)
    contexts_seen: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[Created]
    finished_at: Mapped[Moment | None]
    #: The run whose states this one went on from, because the corpus had grown.
    base_run_id: Mapped[int | None] = mapped_column(ForeignKey("run.id", ondelete="SET NULL"))
    #: The corpus's last document when the run was asked for: a later one is new to it.
    last_document_id: Mapped[int | None] = mapped_column(BigInteger)


class RunState(Base):
    """The merged state of a layer after a run's full blocks: what a later run can go on from."""

    __tablename__ = "run_state"

    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), primary_key=True)
    sae_id: Mapped[int] = mapped_column(ForeignKey("sae.id", ondelete="CASCADE"), primary_key=True)
    artifact: Mapped[str]
    #: The last context of the last full block; 0 if no block was full.
    last_context_id: Mapped[int] = mapped_column(BigInteger)


class Shard(Base):
    """The contexts that one step of a run reads, and where its result lies."""

    __tablename__ = "shard"

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"))
    ordinal: Mapped[int]
    first_context_id: Mapped[int] = mapped_column(BigInteger)
    last_context_id: Mapped[int] = mapped_column(BigInteger)
    #: Written once, in the transaction that ends the step; null until then.
    artifact: Mapped[str | None]

    __table_args__ = (UniqueConstraint("run_id", "ordinal"),)


class Evidence(Base):
    """What one run measured of one feature."""

    __tablename__ = "evidence"

    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), primary_key=True)
    feature_id: Mapped[int] = mapped_column(
        ForeignKey("feature.id", ondelete="CASCADE"), primary_key=True
    )
    count: Mapped[int] = mapped_column(BigInteger)
    contexts: Mapped[int] = mapped_column(BigInteger)
    density: Mapped[float]
    mean: Mapped[float]
    max: Mapped[float]
    flags: Mapped[list[str]] = mapped_column(ARRAY(String))
    #: Packed int64 counts over the edges of `scopebook.packing.HISTOGRAM_EDGES`.
    histogram: Mapped[bytes] = mapped_column(LargeBinary)
    #: Packed pairs: token id and share of the activation mass.
    top_tokens: Mapped[bytes] = mapped_column(LargeBinary)
    #: Whether the shares are counted over all firings, and not estimated.
    top_tokens_exact: Mapped[bool] = mapped_column(server_default=sql("true"))
    #: `[[tag, share, lift], ...]`, highest lift first.
    tags: Mapped[list[Any]] = mapped_column(type_=Base.type_annotation_map[dict[str, Any]])
    #: Packed examples (`scopebook.packing`), best first, then the sample by activation.
    examples: Mapped[bytes] = mapped_column(LargeBinary)
    #: The first and the last context of the corpus that fired it.
    first_context_id: Mapped[int | None] = mapped_column(BigInteger)
    last_context_id: Mapped[int | None] = mapped_column(BigInteger)

    __table_args__ = (
        Index("ix_evidence_feature_id", "feature_id"),
        Index("ix_evidence_run_id_density", "run_id", "density", "feature_id"),
        Index("ix_evidence_run_id_max", "run_id", "max", "feature_id"),
    )
