"""What searches read: words of all labels of a feature in its entry, sketches of vectors."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_FILL_WORDS = """
UPDATE feature_entry e SET words = said.words
FROM (SELECT feature_id, tsvector_agg(words ORDER BY id) AS words FROM label WHERE current
      GROUP BY feature_id) said
WHERE said.feature_id = e.feature_id
"""

_FILL_SKETCHES = """
INSERT INTO label_sketch (embedder_id, feature_id, label_id, sketch)
SELECT v.embedder_id, l.feature_id, l.id, binary_quantize(v.embedding)
FROM label_embedding v JOIN label l ON l.id = v.label_id
WHERE to_regclass('ix_label_embedding_hnsw_' || v.embedder_id) IS NOT NULL
ORDER BY v.embedder_id, l.feature_id, l.id
"""


def upgrade() -> None:
    """Put the words of labels where the filters are, and make room for sketches."""
    op.execute(
        "CREATE AGGREGATE tsvector_agg (tsvector)"
        " (SFUNC = tsvector_concat, STYPE = tsvector, INITCOND = '', PARALLEL = SAFE)"
    )
    op.add_column(
        "feature_entry",
        sa.Column(
            "words",
            postgresql.TSVECTOR,
            server_default=sa.text("''::tsvector"),
            nullable=False,
        ),
    )
    op.execute(_FILL_WORDS)
    op.create_index("ix_feature_entry_words", "feature_entry", ["words"], postgresql_using="gin")
    op.drop_index("ix_label_words", table_name="label")
    _make_sketches()
    op.execute(_FILL_SKETCHES)
    _index_sketches()


def _make_sketches() -> None:
    op.create_table(
        "label_sketch",
        sa.Column("embedder_id", sa.Integer, nullable=False),
        sa.Column("feature_id", sa.BigInteger, nullable=False),
        sa.Column("label_id", sa.BigInteger, nullable=False),
        sa.Column("sketch", postgresql.BIT(varying=True), nullable=False),
        sa.PrimaryKeyConstraint("embedder_id", "feature_id", "label_id", name="pk_label_sketch"),
        sa.ForeignKeyConstraint(
            ["label_id", "embedder_id"],
            ["label_embedding.label_id", "label_embedding.embedder_id"],
            ondelete="CASCADE",
            name="fk_label_sketch_label_id_label_embedding",
        ),
    )


def _index_sketches() -> None:
    op.create_index("ix_label_sketch_label_id", "label_sketch", ["label_id", "embedder_id"])
    op.create_index(
        "ix_label_sketch_compared",
        "label_sketch",
        ["embedder_id", "feature_id"],
        postgresql_include=["label_id", "sketch"],
    )


def downgrade() -> None:
    """Search labels by their own index again."""
    op.drop_table("label_sketch")
    op.create_index(
        "ix_label_words",
        "label",
        ["words"],
        postgresql_using="gin",
        postgresql_where=sa.text("current"),
    )
    op.drop_column("feature_entry", "words")
    op.execute("DROP AGGREGATE tsvector_agg (tsvector)")
