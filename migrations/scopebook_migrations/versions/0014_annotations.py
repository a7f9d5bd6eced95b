"""What people say of features: reviews, pins, comments, tags, the history and the queue."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

#: Rows of these are never changed, also by a slip.
_ONLY_GROW = ("change", "review", "pin", "grouping_choice", "comment", "comment_version")
_TAGS = (
    ("safety", "What a deployed model should not do, or what guards against it."),
    ("language", "A language, a script or a way of writing."),
    ("style", "Register, tone, format."),
    ("code", "Programming languages, markup and data."),
)


def upgrade() -> None:
    op.create_table(
        "tag",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tag")),
        sa.UniqueConstraint("name", name=op.f("uq_tag_name")),
    )
    op.create_table(
        "bulk_action",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("token", sa.String(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("action", postgresql.JSONB(), nullable=False),
        sa.Column("features", postgresql.JSONB(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_bulk_action_account_id_account")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bulk_action")),
        sa.UniqueConstraint("token", name=op.f("uq_bulk_action_token")),
    )
    op.create_table(
        "change",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("feature_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("slot", sa.String(), nullable=False),
        sa.Column(
            "rests", postgresql.ARRAY(sa.String()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column("before", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.Column("after", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("undoes_id", sa.BigInteger(), nullable=True),
        sa.Column("bulk_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_change_account_id_account")
        ),
        sa.ForeignKeyConstraint(
            ["bulk_id"], ["bulk_action.id"], name=op.f("fk_change_bulk_id_bulk_action")
        ),
        sa.ForeignKeyConstraint(
            ["feature_id"],
            ["feature.id"],
            name=op.f("fk_change_feature_id_feature"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["undoes_id"],
            ["change.id"],
            name=op.f("fk_change_undoes_id_change"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_change")),
        sa.UniqueConstraint("feature_id", "version", name=op.f("uq_change_feature_id_version")),
    )
    op.create_index("ix_change_account_id_id", "change", ["account_id", "id"], unique=False)
    op.create_index(op.f("ix_change_bulk_id"), "change", ["bulk_id"], unique=False)
    op.create_index(
        "ix_change_undoes_id",
        "change",
        ["undoes_id"],
        unique=False,
        postgresql_where=sa.text("undoes_id IS NOT NULL"),
    )
    op.create_table(
        "comment",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("feature_id", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_comment_account_id_account")
        ),
        sa.ForeignKeyConstraint(
            ["feature_id"],
            ["feature.id"],
            name=op.f("fk_comment_feature_id_feature"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_comment")),
    )
    op.create_index(op.f("ix_comment_feature_id"), "comment", ["feature_id"], unique=False)
    op.create_table(
        "example_mark",
        sa.Column("feature_id", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("context_id", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_example_mark_account_id_account")
        ),
        sa.ForeignKeyConstraint(
            ["feature_id"],
            ["feature.id"],
            name=op.f("fk_example_mark_feature_id_feature"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["run.id"], name=op.f("fk_example_mark_run_id_run"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("feature_id", "run_id", "context_id", name=op.f("pk_example_mark")),
    )
    op.create_table(
        "feature_tag",
        sa.Column("feature_id", sa.BigInteger(), nullable=False),
        sa.Column("tag_id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_feature_tag_account_id_account")
        ),
        sa.ForeignKeyConstraint(
            ["feature_id"],
            ["feature.id"],
            name=op.f("fk_feature_tag_feature_id_feature"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["tag_id"], ["tag.id"], name=op.f("fk_feature_tag_tag_id_tag")),
        sa.PrimaryKeyConstraint("feature_id", "tag_id", name=op.f("pk_feature_tag")),
    )
    op.create_index(op.f("ix_feature_tag_tag_id"), "feature_tag", ["tag_id"], unique=False)
    op.create_table(
        "feature_version",
        sa.Column("feature_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(
            ["feature_id"],
            ["feature.id"],
            name=op.f("fk_feature_version_feature_id_feature"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("feature_id", name=op.f("pk_feature_version")),
    )
    op.create_table(
        "grouping_choice",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("feature_id", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("labeling_id", sa.Integer(), nullable=True),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_grouping_choice_account_id_account")
        ),
        sa.ForeignKeyConstraint(
            ["feature_id"],
            ["feature.id"],
            name=op.f("fk_grouping_choice_feature_id_feature"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["labeling_id"],
            ["labeling.id"],
            name=op.f("fk_grouping_choice_labeling_id_labeling"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["run.id"], name=op.f("fk_grouping_choice_run_id_run"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_grouping_choice")),
    )
    op.create_index(
        "ix_grouping_choice_feature_id_run_id_id",
        "grouping_choice",
        ["feature_id", "run_id", "id"],
        unique=False,
    )
    op.create_table(
        "presence",
        sa.Column("feature_id", sa.BigInteger(), nullable=False),
        sa.Column("viewer", sa.String(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_presence_account_id_account")
        ),
        sa.ForeignKeyConstraint(
            ["feature_id"],
            ["feature.id"],
            name=op.f("fk_presence_feature_id_feature"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("feature_id", "viewer", name=op.f("pk_presence")),
    )
    op.create_table(
        "queue_entry",
        sa.Column("feature_id", sa.BigInteger(), nullable=False),
        sa.Column("sae_id", sa.Integer(), nullable=False),
        sa.Column("priority", sa.REAL(), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.Column("leased_by", sa.Integer(), nullable=True),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["feature_id"],
            ["feature.id"],
            name=op.f("fk_queue_entry_feature_id_feature"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["leased_by"], ["account.id"], name=op.f("fk_queue_entry_leased_by_account")
        ),
        sa.ForeignKeyConstraint(
            ["sae_id"], ["sae.id"], name=op.f("fk_queue_entry_sae_id_sae"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("feature_id", name=op.f("pk_queue_entry")),
    )
    op.create_index(
        "ix_queue_entry_leased_by",
        "queue_entry",
        ["leased_by"],
        unique=False,
        postgresql_where=sa.text("leased_by IS NOT NULL"),
    )
    op.create_index(
        "ix_queue_entry_order",
        "queue_entry",
        ["sae_id", sa.text("priority DESC"), "feature_id"],
        unique=False,
        postgresql_where=sa.text("open"),
    )
    op.create_table(
        "queue_skip",
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("feature_id", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_queue_skip_account_id_account")
        ),
        sa.ForeignKeyConstraint(
            ["feature_id"],
            ["feature.id"],
            name=op.f("fk_queue_skip_feature_id_feature"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", "feature_id", name=op.f("pk_queue_skip")),
    )
    op.create_table(
        "second_opinion",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("feature_id", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_second_opinion_account_id_account")
        ),
        sa.ForeignKeyConstraint(
            ["feature_id"],
            ["feature.id"],
            name=op.f("fk_second_opinion_feature_id_feature"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_second_opinion")),
    )
    op.create_index(
        op.f("ix_second_opinion_feature_id"), "second_opinion", ["feature_id"], unique=False
    )
    op.create_table(
        "comment_version",
        sa.Column("comment_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("text", sa.String(), nullable=True),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_comment_version_account_id_account")
        ),
        sa.ForeignKeyConstraint(
            ["comment_id"],
            ["comment.id"],
            name=op.f("fk_comment_version_comment_id_comment"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("comment_id", "number", name=op.f("pk_comment_version")),
    )
    op.create_table(
        "mention",
        sa.Column("comment_id", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_mention_account_id_account")
        ),
        sa.ForeignKeyConstraint(
            ["comment_id"],
            ["comment.id"],
            name=op.f("fk_mention_comment_id_comment"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("comment_id", "account_id", name=op.f("pk_mention")),
    )
    op.create_index(op.f("ix_mention_account_id"), "mention", ["account_id"], unique=False)
    op.create_table(
        "pin",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("feature_id", sa.BigInteger(), nullable=False),
        sa.Column("sense_id", sa.BigInteger(), nullable=True),
        sa.Column("label_id", sa.BigInteger(), nullable=True),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_pin_account_id_account")
        ),
        sa.ForeignKeyConstraint(
            ["feature_id"],
            ["feature.id"],
            name=op.f("fk_pin_feature_id_feature"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["label_id"], ["label.id"], name=op.f("fk_pin_label_id_label"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["sense_id"], ["sense.id"], name=op.f("fk_pin_sense_id_sense"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pin")),
    )
    op.create_index("ix_pin_feature_id_id", "pin", ["feature_id", "id"], unique=False)
    op.create_table(
        "review",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("feature_id", sa.BigInteger(), nullable=False),
        sa.Column("label_id", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("counts", sa.Boolean(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "verdict IN ('accept', 'reject', 'unsure', 'withdrawn')",
            name=op.f("ck_review_known_verdict"),
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_review_account_id_account")
        ),
        sa.ForeignKeyConstraint(
            ["feature_id"],
            ["feature.id"],
            name=op.f("fk_review_feature_id_feature"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["label_id"], ["label.id"], name=op.f("fk_review_label_id_label"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review")),
    )
    op.create_index(
        "ix_review_account_id_feature_id", "review", ["account_id", "feature_id"], unique=False
    )
    op.create_index(op.f("ix_review_feature_id"), "review", ["feature_id"], unique=False)
    op.create_index(
        "ix_review_label_id_account_id_id", "review", ["label_id", "account_id", "id"], unique=False
    )
    op.add_column("label", sa.Column("account_id", sa.Integer(), nullable=True))
    op.create_foreign_key(
        op.f("fk_label_account_id_account"), "label", "account", ["account_id"], ["id"]
    )
    op.drop_constraint(op.f("ck_labeling_known_source"), "labeling")
    op.create_check_constraint(
        op.f("ck_labeling_known_source"), "labeling", "source IN ('keywords', 'llm', 'person')"
    )
    _only_grow()
    tag = sa.table("tag", sa.column("name"), sa.column("description"))
    op.bulk_insert(tag, [{"name": name, "description": about} for name, about in _TAGS])
    op.execute(_QUEUE)


def _only_grow() -> None:
    op.execute(
        """
        CREATE FUNCTION refuse_change_of_what_was_said() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'rows of % only grow', TG_TABLE_NAME;
        END $$
        """
    )
    for table in _ONLY_GROW:
        op.execute(
            f"CREATE TRIGGER {table}_only_grows BEFORE UPDATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_what_was_said()"
        )


#: Nobody has reviewed anything yet: what is used most is due first (`scopebook.queue_order`).
_QUEUE = """
INSERT INTO queue_entry (feature_id, sae_id, priority, open)
SELECT e.feature_id, s.id,
       2 + 0.6 * least(greatest((log(greatest(e.density, 1e-12)) + 6) / 6, 0), 0.99)
         + 0.2, true
FROM evidence e JOIN sae s ON s.current_run_id = e.run_id
WHERE e.count > 0 AND (e.feature_id >> 20) = s.id
"""


def downgrade() -> None:
    for table in (
        *("review", "pin", "mention", "comment_version", "second_opinion", "queue_skip"),
        *("queue_entry", "presence", "grouping_choice", "feature_version", "feature_tag"),
        *("example_mark", "comment", "change", "bulk_action", "tag"),
    ):
        op.drop_table(table)
    op.execute("DROP FUNCTION refuse_change_of_what_was_said()")
    op.drop_column("label", "account_id")
    op.execute("DELETE FROM labeling WHERE source = 'person'")
    op.drop_constraint(op.f("ck_labeling_known_source"), "labeling")
    op.create_check_constraint(
        op.f("ck_labeling_known_source"), "labeling", "source IN ('keywords', 'llm')"
    )
