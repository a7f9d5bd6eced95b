"""Entries: one narrow row a feature for filters, facets and sorting; words in any script."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

#: Full-text search knows words by the spaces between them. Chinese and Japanese have none, so their
#: characters are kept as well, alone and in pairs.
_WORDS = """
CREATE FUNCTION label_words(said text, described text) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT setweight(to_tsvector('english', said), 'A')
    || setweight(to_tsvector('english', coalesce(described, '')), 'C')
    || CASE WHEN said ~ '[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]' THEN (
        SELECT setweight(array_to_tsvector(coalesce(array_agg(DISTINCT piece), '{}')), 'A')
        FROM regexp_matches(said, '[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+', 'g') AS run,
             generate_series(1, length(run[1])) AS place,
             LATERAL (VALUES (substr(run[1], place, 1)), (substr(run[1], place, 2))) AS p (piece)
      ) ELSE ''::tsvector END
$$
"""

_FILL = """
INSERT INTO feature_entry (feature_id, sae_id, density, max, flags, label_id, source, author,
                           state, script, senses, score, scorer)
SELECT f.id, f.sae_id, e.density, e.max, coalesce(e.flags, ARRAY[]::varchar[]), l.id, l.source,
       l.author,
       CASE WHEN ended.status IN ('suspect', 'abstained', 'refused', 'failed') THEN ended.status
            WHEN l.id IS NULL THEN 'unlabelled' ELSE 'labelled' END,
       CASE WHEN l.text IS NULL THEN NULL
            WHEN l.text ~ '[\u3040-\u30ff]' THEN 'Jpan'
            WHEN l.text ~ '[\uac00-\ud7af]' THEN 'Hang'
            WHEN l.text ~ '[\u3400-\u9fff\uf900-\ufaff]' THEN 'Hani'
            WHEN l.text ~ '[\u0400-\u04ff]' THEN 'Cyrl'
            WHEN l.text ~ '[\u0600-\u06ff]' THEN 'Arab'
            WHEN l.text ~ '[\u0370-\u03ff]' THEN 'Grek'
            WHEN l.text ~ '[\u0590-\u05ff]' THEN 'Hebr'
            WHEN l.text ~ '[\u0900-\u097f]' THEN 'Deva'
            WHEN l.text ~ '[a-zA-Z\u00c0-\u024f]' THEN 'Latn'
            ELSE 'Zyyy' END,
       (SELECT count(*) FROM label part
        WHERE part.feature_id = f.id AND part.labeling_id = l.labeling_id AND part.current
          AND part.sense_id IS NOT NULL),
       scored.value, scored.scorer
FROM feature f
JOIN sae a ON a.id = f.sae_id
LEFT JOIN evidence e ON e.feature_id = f.id AND e.run_id = a.current_run_id
LEFT JOIN label l ON l.feature_id = f.id AND l.current AND l.sense_id IS NULL
LEFT JOIN LATERAL (
    SELECT o.status FROM label_outcome o
    JOIN labeling g ON g.id = o.labeling_id AND g.source = 'llm' AND g.run_id = a.current_run_id
    WHERE o.feature_id = f.id AND l.source IS DISTINCT FROM 'llm'
    ORDER BY g.id DESC LIMIT 1
) ended ON true
LEFT JOIN LATERAL (
    SELECT s.value, s.scorer FROM label_score s
    JOIN unnest(ARRAY['union', 'detection', 'fuzzing', 'intruder', 'embedding'])
      WITH ORDINALITY AS known (scorer, place) ON known.scorer = s.scorer
    WHERE s.label_id = l.id ORDER BY known.place, s.id DESC LIMIT 1
) scored ON true
"""

_FILL_WORDS = """
INSERT INTO label_word (word, lexeme)
SELECT word, (tsvector_to_array(to_tsvector('english', word)))[1] FROM (
    SELECT DISTINCT found[1] AS word FROM label,
        regexp_matches(lower(text), '[a-z\u00df-\u024f\u0370-\u04ff]{4,40}', 'g') AS found
    WHERE current
) words
"""


def upgrade() -> None:
    op.execute(_WORDS)
    _change_words("label_words(text, description)")
    _make_entries()
    op.create_table(
        "label_word",
        sa.Column("word", sa.String(), primary_key=True),
        sa.Column("lexeme", sa.String()),
    )
    op.create_index("ix_label_word_lexeme", "label_word", ["lexeme"])
    op.create_index(
        "ix_label_word_trigrams",
        "label_word",
        ["word"],
        postgresql_using="gin",
        postgresql_ops={"word": "gin_trgm_ops"},
    )
    op.execute(_FILL_WORDS)


def _change_words(expression: str) -> None:
    op.drop_column("label", "words")
    op.add_column(
        "label",
        sa.Column("words", postgresql.TSVECTOR(), sa.Computed(expression, persisted=True)),
    )
    op.alter_column("label", "words", nullable=False)
    op.create_index(
        "ix_label_words",
        "label",
        ["words"],
        postgresql_using="gin",
        postgresql_where=sa.text("current"),
    )


def _make_entries() -> None:
    op.create_table(
        "feature_entry",
        sa.Column(
            "feature_id",
            sa.BigInteger(),
            sa.ForeignKey("feature.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column(
            "sae_id", sa.Integer(), sa.ForeignKey("sae.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("density", sa.Float()),
        sa.Column("max", sa.Float()),
        sa.Column(
            "flags",
            postgresql.ARRAY(sa.String()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("label_id", sa.BigInteger()),
        sa.Column("source", sa.String()),
        sa.Column("author", sa.String()),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("script", sa.String(4)),
        sa.Column("senses", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("score", sa.Float()),
        sa.Column("scorer", sa.String()),
        sa.Column("reviewed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    for column in ("sae_id", "density", "max", "script"):
        op.create_index(f"ix_feature_entry_{column}", "feature_entry", [column, "feature_id"])
    op.create_index("ix_feature_entry_state", "feature_entry", ["state", "source", "feature_id"])
    for column in ("score", "author"):
        op.create_index(
            f"ix_feature_entry_{column}",
            "feature_entry",
            [column, "feature_id"],
            postgresql_where=sa.text(f"{column} IS NOT NULL"),
        )
    op.create_index(
        "ix_feature_entry_reviewed",
        "feature_entry",
        ["feature_id"],
        postgresql_where=sa.text("reviewed"),
    )
    op.create_index("ix_feature_entry_flags", "feature_entry", ["flags"], postgresql_using="gin")
    op.execute(_FILL)


def downgrade() -> None:
    op.drop_table("label_word")
    op.drop_table("feature_entry")
    _change_words("to_tsvector('english', text)")
    op.execute("DROP FUNCTION label_words")
