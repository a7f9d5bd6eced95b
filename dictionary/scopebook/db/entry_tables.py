"""The tables behind lists and searches: what is asked of a feature, repeated from where it stands.

Nothing is said here that is not said elsewhere; `scopebook.entries` writes it anew whenever one of
its sources changes.
"""

from sqlalchemy import BigInteger, Boolean, ForeignKey, Index, SmallInteger, String
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY, TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from scopebook.db.base import Base


class FeatureEntry(Base):
    """A feature as filters, facets and sorting see it, in one narrow row."""

    __tablename__ = "feature_entry"

    feature_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("feature.id", ondelete="CASCADE"), primary_key=True
    )
    sae_id: Mapped[int] = mapped_column(ForeignKey("sae.id", ondelete="CASCADE"))
    #: Of the run that is shown; null where nothing was collected.
    density: Mapped[float | None]
    max: Mapped[float | None]
    flags: Mapped[list[str]] = mapped_column(ARRAY(String), server_default=sql("'{}'"))
    #: The label in force of the whole feature, with where it comes from.
    label_id: Mapped[int | None] = mapped_column(BigInteger)
    source: Mapped[str | None]
    author: Mapped[str | None]
    #: See `scopebook.search_filters.STATES`.
    state: Mapped[str]
    #: ISO 15924 code of the writing that most of the label is in; null without a label.
    script: Mapped[str | None] = mapped_column(String(4))
    #: Labels in force of its senses that the label of the whole feature puts together.
    senses: Mapped[int] = mapped_column(SmallInteger, server_default=sql("0"))
    #: The label's newest value by the first scorer of `scopebook.entries.SCORERS` that has one.
    score: Mapped[float | None]
    scorer: Mapped[str | None]
    #: Whether a person has said something of one of its labels.
    #: Of all labels in force, those of senses included; see `Label.words`.
    words: Mapped[str] = mapped_column(TSVECTOR, server_default=sql("''::tsvector"), deferred=True)
    reviewed: Mapped[bool] = mapped_column(Boolean, server_default=sql("false"))

    __table_args__ = (
        Index("ix_feature_entry_sae_id", "sae_id", "feature_id"),
        Index("ix_feature_entry_density", "density", "feature_id"),
        Index("ix_feature_entry_max", "max", "feature_id"),
        Index(
            "ix_feature_entry_score",
            "score",
            "feature_id",
            postgresql_where=sql("score IS NOT NULL"),
        ),
        Index("ix_feature_entry_state", "state", "source", "feature_id"),
        Index("ix_feature_entry_script", "script", "feature_id"),
        Index(
            "ix_feature_entry_author",
            "author",
            "feature_id",
            postgresql_where=sql("author IS NOT NULL"),
        ),
        Index("ix_feature_entry_reviewed", "feature_id", postgresql_where=sql("reviewed")),
        Index("ix_feature_entry_words", "words", postgresql_using="gin"),
        Index("ix_feature_entry_flags", "flags", postgresql_using="gin"),
    )


class LabelWord(Base):
    """A word that some label holds, so that a mistyped one can be set right."""

    __tablename__ = "label_word"

    word: Mapped[str] = mapped_column(primary_key=True)
    #: Its stem, as full-text search sees it; null for a word that search passes over.
    lexeme: Mapped[str | None] = mapped_column(index=True)

    __table_args__ = (
        Index(
            "ix_label_word_trigrams",
            "word",
            postgresql_using="gin",
            postgresql_ops={"word": "gin_trgm_ops"},
        ),
    )
