"""The dictionary: models, releases, corpora, runs, evidence, labels and jobs."""

import pgvector.sqlalchemy
import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    for extension in ("vector", "pg_trgm", "unaccent"):
        op.execute(f"CREATE EXTENSION IF NOT EXISTS {extension}")
    op.create_table(
        "corpus",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_corpus")),
        sa.UniqueConstraint("name", name=op.f("uq_corpus_name")),
    )
    op.create_table(
        "embedder",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("dimension", sa.Integer(), nullable=False),
        sa.Column("artifact", sa.String(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_embedder")),
        sa.UniqueConstraint("sha256", name=op.f("uq_embedder_sha256")),
    )
    op.create_table(
        "job",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("parameters", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("state", sa.String(), server_default="queued", nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'done', 'failed', 'cancelling', 'cancelled')",
            name=op.f("ck_job_known_state"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
    )
    op.create_table(
        "tokenizer",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokenizer")),
        sa.UniqueConstraint("sha256", name=op.f("uq_tokenizer_sha256")),
    )
    op.create_table(
        "document",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("corpus_id", sa.Integer(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=True),
        sa.Column("tag", sa.String(), nullable=True),
        sa.Column("language", sa.String(), nullable=True),
        sa.Column("source", sa.String(), nullable=True),
        sa.Column("licence", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["corpus_id"],
            ["corpus.id"],
            name=op.f("fk_document_corpus_id_corpus"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_document")),
        sa.UniqueConstraint("corpus_id", "ordinal", name=op.f("uq_document_corpus_id_ordinal")),
        sa.UniqueConstraint("corpus_id", "sha256", name=op.f("uq_document_corpus_id_sha256")),
    )
    op.create_table(
        "model",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("revision", sa.String(), nullable=True),
        sa.Column("layers", sa.Integer(), nullable=False),
        sa.Column("d_model", sa.Integer(), nullable=False),
        sa.Column("tokenizer_id", sa.Integer(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["tokenizer_id"], ["tokenizer.id"], name=op.f("fk_model_tokenizer_id_tokenizer")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model")),
        sa.UniqueConstraint("name", name=op.f("uq_model_name")),
    )
    op.create_table(
        "step",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("stage", sa.SmallInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("parameters", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("state", sa.String(), server_default="queued", nullable=False),
        sa.Column("attempt", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("fence", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("worker", sa.String(), nullable=True),
        sa.Column("done", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("total", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("unit", sa.String(), server_default="", nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'done', 'failed', 'cancelling', 'cancelled')",
            name=op.f("ck_step_known_state"),
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["job.id"], name=op.f("fk_step_job_id_job"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_step")),
    )
    op.create_index(
        "ix_step_due",
        "step",
        ["kind"],
        unique=False,
        postgresql_where=sa.text("state IN ('queued', 'running')"),
    )
    op.create_index("ix_step_job_id_stage", "step", ["job_id", "stage"], unique=False)
    op.create_table(
        "token_piece",
        sa.Column("tokenizer_id", sa.Integer(), nullable=False),
        sa.Column("token_id", sa.Integer(), nullable=False),
        sa.Column("piece", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tokenizer_id"],
            ["tokenizer.id"],
            name=op.f("fk_token_piece_tokenizer_id_tokenizer"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tokenizer_id", "token_id", name=op.f("pk_token_piece")),
    )
    op.create_table(
        "tokenisation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("corpus_id", sa.Integer(), nullable=False),
        sa.Column("tokenizer_id", sa.Integer(), nullable=False),
        sa.Column("context_tokens", sa.Integer(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["corpus_id"],
            ["corpus.id"],
            name=op.f("fk_tokenisation_corpus_id_corpus"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tokenizer_id"], ["tokenizer.id"], name=op.f("fk_tokenisation_tokenizer_id_tokenizer")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokenisation")),
        sa.UniqueConstraint(
            "corpus_id",
            "tokenizer_id",
            "context_tokens",
            name=op.f("uq_tokenisation_corpus_id_tokenizer_id_context_tokens"),
        ),
    )
    op.create_table(
        "context",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("tokenisation_id", sa.Integer(), nullable=False),
        sa.Column("document_id", sa.BigInteger(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False, comment="0 is the document's beginning"),
        sa.Column("n_tokens", sa.Integer(), nullable=False),
        sa.Column("tokens", sa.LargeBinary(), nullable=False),
        sa.Column("spans", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["document_id"],
            ["document.id"],
            name=op.f("fk_context_document_id_document"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tokenisation_id"],
            ["tokenisation.id"],
            name=op.f("fk_context_tokenisation_id_tokenisation"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_context")),
        sa.UniqueConstraint(
            "tokenisation_id",
            "document_id",
            "ordinal",
            name=op.f("uq_context_tokenisation_id_document_id_ordinal"),
        ),
    )
    op.create_index(
        "ix_context_tokenisation_id_id", "context", ["tokenisation_id", "id"], unique=False
    )
    op.create_table(
        "release",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("set_name", sa.String(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("k", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("revision", sa.String(), nullable=True),
        sa.Column("caution", sa.String(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name=op.f("fk_release_model_id_model")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_release")),
        sa.UniqueConstraint("model_id", "set_name", name=op.f("uq_release_model_id_set_name")),
        sa.UniqueConstraint("name", name=op.f("uq_release_name")),
    )
    op.create_table(
        "run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("release_id", sa.Integer(), nullable=False),
        sa.Column("tokenisation_id", sa.Integer(), nullable=False),
        sa.Column("layers", postgresql.ARRAY(sa.SmallInteger()), nullable=False),
        sa.Column("parameters", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("tokens_seen", sa.BigInteger(), nullable=True),
        sa.Column("contexts_seen", sa.BigInteger(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_run_job_id_job")),
        sa.ForeignKeyConstraint(
            ["release_id"], ["release.id"], name=op.f("fk_run_release_id_release")
        ),
        sa.ForeignKeyConstraint(
            ["tokenisation_id"],
            ["tokenisation.id"],
            name=op.f("fk_run_tokenisation_id_tokenisation"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
    )
    op.create_table(
        "sae",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("release_id", sa.Integer(), nullable=False),
        sa.Column("layer", sa.SmallInteger(), nullable=False),
        sa.Column("d_sae", sa.Integer(), nullable=False),
        sa.Column("k", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("artifact", sa.String(), nullable=False),
        sa.Column("current_run_id", sa.Integer(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("d_sae <= 1048576", name=op.f("ck_sae_feature_ids_fit")),
        sa.ForeignKeyConstraint(
            ["current_run_id"],
            ["run.id"],
            name=op.f("fk_sae_current_run_id_run"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["release_id"], ["release.id"], name=op.f("fk_sae_release_id_release")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sae")),
        sa.UniqueConstraint("release_id", "layer", name=op.f("uq_sae_release_id_layer")),
    )
    op.create_table(
        "feature",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("sae_id", sa.Integer(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("decoder_norm", sa.Double(), nullable=False),
        sa.Column("promoted", sa.LargeBinary(), nullable=False),
        sa.Column("suppressed", sa.LargeBinary(), nullable=False),
        sa.Column("neighbours", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["sae_id"], ["sae.id"], name=op.f("fk_feature_sae_id_sae"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feature")),
    )
    op.create_index(op.f("ix_feature_sae_id"), "feature", ["sae_id"], unique=False)
    op.create_table(
        "shard",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("first_context_id", sa.BigInteger(), nullable=False),
        sa.Column("last_context_id", sa.BigInteger(), nullable=False),
        sa.Column("artifact", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["run_id"], ["run.id"], name=op.f("fk_shard_run_id_run"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shard")),
        sa.UniqueConstraint("run_id", "ordinal", name=op.f("uq_shard_run_id_ordinal")),
    )
    op.create_table(
        "evidence",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("feature_id", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("contexts", sa.BigInteger(), nullable=False),
        sa.Column("density", sa.Double(), nullable=False),
        sa.Column("mean", sa.Double(), nullable=False),
        sa.Column("max", sa.Double(), nullable=False),
        sa.Column("flags", postgresql.ARRAY(sa.String()), nullable=False),
        sa.Column("histogram", sa.LargeBinary(), nullable=False),
        sa.Column("top_tokens", sa.LargeBinary(), nullable=False),
        sa.Column("tags", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("examples", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["feature_id"],
            ["feature.id"],
            name=op.f("fk_evidence_feature_id_feature"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["run.id"], name=op.f("fk_evidence_run_id_run"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "feature_id", name=op.f("pk_evidence")),
    )
    op.create_index("ix_evidence_feature_id", "evidence", ["feature_id"], unique=False)
    op.create_index(
        "ix_evidence_run_id_density", "evidence", ["run_id", "density", "feature_id"], unique=False
    )
    op.create_index(
        "ix_evidence_run_id_max", "evidence", ["run_id", "max", "feature_id"], unique=False
    )
    op.create_table(
        "sense",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("feature_id", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("ordinal", sa.SmallInteger(), nullable=False, comment="0 is the largest"),
        sa.Column("share", sa.Double(), nullable=False),
        sa.Column("keywords", postgresql.ARRAY(sa.String()), nullable=False),
        sa.Column("members", postgresql.ARRAY(sa.SmallInteger()), nullable=False),
        sa.ForeignKeyConstraint(
            ["feature_id"],
            ["feature.id"],
            name=op.f("fk_sense_feature_id_feature"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["run.id"], name=op.f("fk_sense_run_id_run"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sense")),
        sa.UniqueConstraint(
            "feature_id", "run_id", "ordinal", name=op.f("uq_sense_feature_id_run_id_ordinal")
        ),
    )
    op.create_table(
        "label",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("feature_id", sa.BigInteger(), nullable=False),
        sa.Column("sae_id", sa.Integer(), nullable=False),
        sa.Column("sense_id", sa.BigInteger(), nullable=True),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("author", sa.String(), nullable=True),
        sa.Column("provenance", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("current", sa.Boolean(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "words",
            postgresql.TSVECTOR(),
            sa.Computed("to_tsvector('english', text)", persisted=True),
            nullable=False,
        ),
        sa.CheckConstraint(
            "source IN ('keywords', 'llm', 'person', 'import')", name=op.f("ck_label_known_source")
        ),
        sa.ForeignKeyConstraint(
            ["feature_id"],
            ["feature.id"],
            name=op.f("fk_label_feature_id_feature"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["sae_id"], ["sae.id"], name=op.f("fk_label_sae_id_sae"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["sense_id"], ["sense.id"], name=op.f("fk_label_sense_id_sense"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_label")),
    )
    op.create_index("ix_label_feature_id", "label", ["feature_id"], unique=False)
    op.create_index(
        "ix_label_sae_id_current",
        "label",
        ["sae_id"],
        unique=False,
        postgresql_where=sa.text("current"),
    )
    op.create_index(
        "ix_label_words",
        "label",
        ["words"],
        unique=False,
        postgresql_using="gin",
        postgresql_where=sa.text("current"),
    )
    op.create_index(
        "uq_label_current",
        "label",
        ["feature_id", sa.literal_column("coalesce(sense_id, 0)")],
        unique=True,
        postgresql_where=sa.text("current"),
    )
    op.create_table(
        "label_choice",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("label_id", sa.BigInteger(), nullable=False),
        sa.Column("chosen_by", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["label_id"],
            ["label.id"],
            name=op.f("fk_label_choice_label_id_label"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_label_choice")),
    )
    op.create_index(op.f("ix_label_choice_label_id"), "label_choice", ["label_id"], unique=False)
    op.create_table(
        "label_embedding",
        sa.Column("label_id", sa.BigInteger(), nullable=False),
        sa.Column("embedder_id", sa.Integer(), nullable=False),
        sa.Column("sae_id", sa.Integer(), nullable=False),
        sa.Column("embedding", pgvector.sqlalchemy.halfvec.HALFVEC(), nullable=False),
        sa.ForeignKeyConstraint(
            ["embedder_id"], ["embedder.id"], name=op.f("fk_label_embedding_embedder_id_embedder")
        ),
        sa.ForeignKeyConstraint(
            ["label_id"],
            ["label.id"],
            name=op.f("fk_label_embedding_label_id_label"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["sae_id"], ["sae.id"], name=op.f("fk_label_embedding_sae_id_sae"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("label_id", "embedder_id", name=op.f("pk_label_embedding")),
    )
    op.create_index(
        "ix_label_embedding_embedder_id_sae_id",
        "label_embedding",
        ["embedder_id", "sae_id"],
        unique=False,
    )
    # Compressed by us already; EXTERNAL spares Postgres from trying again.
    for table, column in (("evidence", "examples"), ("context", "tokens"), ("context", "spans")):
        op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET STORAGE EXTERNAL")


def downgrade() -> None:
    op.drop_index("ix_label_embedding_embedder_id_sae_id", table_name="label_embedding")
    op.drop_table("label_embedding")
    op.drop_index(op.f("ix_label_choice_label_id"), table_name="label_choice")
    op.drop_table("label_choice")
    op.drop_index("uq_label_current", table_name="label", postgresql_where=sa.text("current"))
    op.drop_index(
        "ix_label_words",
        table_name="label",
        postgresql_using="gin",
        postgresql_where=sa.text("current"),
    )
    op.drop_index(
        "ix_label_sae_id_current", table_name="label", postgresql_where=sa.text("current")
    )
    op.drop_index("ix_label_feature_id", table_name="label")
    op.drop_table("label")
    op.drop_table("sense")
    op.drop_index("ix_evidence_run_id_max", table_name="evidence")
    op.drop_index("ix_evidence_run_id_density", table_name="evidence")
    op.drop_index("ix_evidence_feature_id", table_name="evidence")
    op.drop_table("evidence")
    op.drop_table("shard")
    op.drop_index(op.f("ix_feature_sae_id"), table_name="feature")
    op.drop_table("feature")
    op.drop_table("sae")
    op.drop_table("run")
    op.drop_table("release")
    op.drop_index("ix_context_tokenisation_id_id", table_name="context")
    op.drop_table("context")
    op.drop_table("tokenisation")
    op.drop_table("token_piece")
    op.drop_index("ix_step_job_id_stage", table_name="step")
    op.drop_index(
        "ix_step_due", table_name="step", postgresql_where=sa.text("state IN ('queued', 'running')")
    )
    op.drop_table("step")
    op.drop_table("model")
    op.drop_table("document")
    op.drop_table("tokenizer")
    op.drop_table("job")
    op.drop_table("embedder")
    op.drop_table("corpus")
