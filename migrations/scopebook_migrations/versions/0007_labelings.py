"""Labelings: what was said of a run's examples, by what, with its origin, outcome and scores."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_SHORTS = postgresql.ARRAY(sa.SmallInteger())
_NONE = sa.text("'{}'")

#: One labeling for each method that has worded a run's examples; the run must still be there.
_MAKE_LABELINGS = """
INSERT INTO labeling (sae_id, run_id, source, method, parameters, sha256, created_at, finished_at)
SELECT l.sae_id, r.id, 'keywords', l.method,
       (array_agg(l.provenance - 'run' - 'example_set' - 'sense' ORDER BY l.id DESC))[1],
       '', min(l.created_at), max(l.created_at)
FROM label l JOIN run r ON r.id = (l.provenance->>'run')::int
WHERE l.source = 'keywords'
GROUP BY l.sae_id, r.id, l.method
ORDER BY max(l.id)
"""

_JOIN_LABELS = """
UPDATE label l SET labeling_id = g.id FROM labeling g
WHERE g.sae_id = l.sae_id AND g.method = l.method AND g.run_id = (l.provenance->>'run')::int
  AND l.source = 'keywords'
"""

_JOIN_SENSES = """
UPDATE sense s SET labeling_id = (
    SELECT max(g.id) FROM labeling g
    WHERE g.run_id = s.run_id AND g.sae_id = (s.feature_id >> 20)
)
"""

_MAKE_OUTCOMES = """
INSERT INTO label_outcome (labeling_id, feature_id, status, example_set)
SELECT DISTINCT ON (labeling_id, feature_id)
       labeling_id, feature_id, 'ok', decode(coalesce(provenance->>'example_set', ''), 'hex')
FROM label WHERE labeling_id IS NOT NULL AND sense_id IS NULL
ORDER BY labeling_id, feature_id, id DESC
"""

_PUT_RUNS_BACK = """
UPDATE label l SET provenance = l.provenance || g.parameters || jsonb_build_object(
    'run', g.run_id, 'example_set', encode(o.example_set, 'hex'),
    'sense', (SELECT ordinal FROM sense WHERE id = l.sense_id))
FROM labeling g JOIN label_outcome o ON o.labeling_id = g.id
WHERE g.id = l.labeling_id AND o.feature_id = l.feature_id
"""

_KEEP_NEWEST_SENSES = """
DELETE FROM sense s USING sense newer
WHERE newer.feature_id = s.feature_id AND newer.run_id = s.run_id
  AND newer.labeling_id > s.labeling_id
"""


def upgrade() -> None:
    _make_labeling()
    _make_outcome()
    _make_origin()
    _make_score()
    _make_panel()
    _widen_label()
    op.execute(_MAKE_LABELINGS)
    op.execute(_JOIN_LABELS)
    op.execute(_MAKE_OUTCOMES)
    _move_senses()


def _make_labeling() -> None:
    op.create_table(
        "labeling",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("job_id", sa.Integer(), sa.ForeignKey("job.id")),
        _reference("sae_id", "sae", sa.Integer()),
        _reference("run_id", "run", sa.Integer()),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("base_id", sa.Integer(), sa.ForeignKey("labeling.id", ondelete="CASCADE")),
        sa.Column("parameters", postgresql.JSONB(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        _created(),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("source IN ('keywords', 'llm')", name="known_source"),
    )
    op.create_index("ix_labeling_sae_id_run_id", "labeling", ["sae_id", "run_id"])


def _make_outcome() -> None:
    op.create_table(
        "label_outcome",
        _reference("labeling_id", "labeling", sa.Integer(), primary_key=True),
        _reference("feature_id", "feature", sa.BigInteger(), primary_key=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("reason", sa.String()),
        sa.Column("kind", sa.String()),
        sa.Column("unassigned", sa.REAL()),
        sa.Column("example_set", sa.LargeBinary(), nullable=False),
        sa.Column("held_out", _SHORTS, server_default=_NONE, nullable=False),
        _created(),
        sa.CheckConstraint(
            "status IN ('ok', 'suspect', 'ineligible', 'abstained', 'refused', 'failed')",
            name="known_status",
        ),
    )
    op.create_index("ix_label_outcome_feature_id", "label_outcome", ["feature_id"])


def _make_origin() -> None:
    op.create_table(
        "label_origin",
        _reference("labeling_id", "labeling", sa.Integer(), primary_key=True),
        _reference("feature_id", "feature", sa.BigInteger(), primary_key=True),
        sa.Column("shown", _SHORTS, nullable=False),
        sa.Column("prompt_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("model_reported", sa.String()),
        sa.Column("system_fingerprint", sa.String()),
        sa.Column("finish_reason", sa.String()),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.Column("latency_ms", sa.Integer(), nullable=False),
        sa.Column("tokens_in", sa.Integer(), nullable=False),
        sa.Column("tokens_cached", sa.Integer(), nullable=False),
        sa.Column("tokens_out", sa.Integer(), nullable=False),
        sa.Column("error_class", sa.String()),
        sa.Column("raw_response", sa.String(), nullable=False),
    )
    op.create_index("ix_label_origin_feature_id", "label_origin", ["feature_id"])


def _make_score() -> None:
    counts = ("n_pos", "n_neg_random", "n_neg_hard", "n_failed")
    op.create_table(
        "label_score",
        sa.Column("id", sa.BigInteger(), primary_key=True),
        _reference("label_id", "label", sa.BigInteger()),
        sa.Column("job_id", sa.Integer(), sa.ForeignKey("job.id")),
        *(
            sa.Column(name, sa.String(), nullable=False)
            for name in ("scorer", "scorer_version", "judge")
        ),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in counts),
        *(sa.Column(name, sa.Integer()) for name in ("tp", "fp", "tn", "fn")),
        sa.Column("value", sa.Double(), nullable=False),
        *(sa.Column(name, sa.Double()) for name in ("ci_low", "ci_high", "null_value", "f1")),
        sa.Column("held_out_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("tokens_in", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("tokens_out", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("details", postgresql.JSONB(), server_default=_NONE, nullable=False),
        _created(),
        sa.UniqueConstraint(
            *("label_id", "scorer", "scorer_version", "judge", "held_out_sha256"),
            name="uq_label_score_once",
        ),
    )


def _make_panel() -> None:
    op.create_table(
        "panel",
        _reference("run_id", "run", sa.Integer(), primary_key=True),
        _reference("sae_id", "sae", sa.Integer(), primary_key=True),
        sa.Column("artifact", sa.String(), nullable=False),
        sa.Column("contexts", sa.Integer(), nullable=False),
        _created(),
    )


def _reference(
    name: str, table: str, kind: sa.types.TypeEngine[int], *, primary_key: bool = False
) -> sa.Column[int]:
    key = sa.ForeignKey(f"{table}.id", ondelete="CASCADE")
    return sa.Column(name, kind, key, nullable=False, primary_key=primary_key)


def _created() -> sa.Column[datetime]:
    return sa.Column(
        "created_at",
        sa.DateTime(timezone=True),
        server_default=sa.text("now()"),
        nullable=False,
    )


def _widen_label() -> None:
    for column in (
        sa.Column("labeling_id", sa.Integer()),
        sa.Column("also", _SHORTS, server_default=_NONE, nullable=False),
        sa.Column("description", sa.String()),
        sa.Column("kind", sa.String()),
        sa.Column("confidence", sa.REAL()),
        sa.Column("status", sa.String(), server_default="ok", nullable=False),
        sa.Column("n_examples", sa.SmallInteger()),
        sa.Column("share", sa.REAL()),
        sa.Column("supersedes_id", sa.BigInteger()),
    ):
        op.add_column("label", column)
    op.alter_column("label", "provenance", server_default=_NONE)
    op.create_foreign_key(
        "fk_label_labeling_id_labeling",
        *("label", "labeling", ["labeling_id"], ["id"]),
        ondelete="CASCADE",
    )
    op.create_foreign_key(
        "fk_label_supersedes_id_label",
        *("label", "label", ["supersedes_id"], ["id"]),
        ondelete="SET NULL",
    )
    op.create_check_constraint("known_status", "label", "status IN ('ok', 'suspect')")
    op.create_check_constraint("suspect_is_not_current", "label", "NOT current OR status = 'ok'")
    op.create_check_constraint(
        "machines_label", "label", "labeling_id IS NULL OR source IN ('keywords', 'llm')"
    )
    op.create_index("ix_label_supersedes_id", "label", ["supersedes_id"])
    op.create_index("ix_label_labeling_id_feature_id", "label", ["labeling_id", "feature_id"])


def _move_senses() -> None:
    """Let senses belong to their labeling instead of their run."""
    for column in (
        sa.Column("labeling_id", sa.Integer()),
        sa.Column("medoid", sa.SmallInteger()),
        sa.Column("representatives", _SHORTS, server_default=_NONE, nullable=False),
        sa.Column("held_out", _SHORTS, server_default=_NONE, nullable=False),
        sa.Column("silhouette", sa.REAL()),
    ):
        op.add_column("sense", column)
    op.execute(_JOIN_SENSES)
    op.execute("DELETE FROM sense WHERE labeling_id IS NULL")
    op.alter_column("sense", "labeling_id", nullable=False)
    op.create_foreign_key(
        "fk_sense_labeling_id_labeling",
        *("sense", "labeling", ["labeling_id"], ["id"]),
        ondelete="CASCADE",
    )
    op.drop_column("sense", "run_id")  # and the constraints on it
    op.create_unique_constraint(
        "uq_sense_feature_id_labeling_id_ordinal",
        *("sense", ["feature_id", "labeling_id", "ordinal"]),
    )


def downgrade() -> None:
    op.execute(_PUT_RUNS_BACK)
    op.add_column("sense", sa.Column("run_id", sa.Integer()))
    op.execute("UPDATE sense s SET run_id = g.run_id FROM labeling g WHERE g.id = s.labeling_id")
    op.execute(_KEEP_NEWEST_SENSES)
    op.alter_column("sense", "run_id", nullable=False)
    op.create_foreign_key(
        "fk_sense_run_id_run", "sense", "run", ["run_id"], ["id"], ondelete="CASCADE"
    )
    for name in ("labeling_id", "medoid", "representatives", "held_out", "silhouette"):
        op.drop_column("sense", name)
    op.create_unique_constraint(
        "uq_sense_feature_id_run_id_ordinal", "sense", ["feature_id", "run_id", "ordinal"]
    )
    op.execute("DELETE FROM label WHERE status <> 'ok'")
    op.alter_column("label", "provenance", server_default=None)
    for name in ("known_status", "suspect_is_not_current", "machines_label"):
        op.drop_constraint(op.f(f"ck_label_{name}"), "label")
    for name in (
        *("labeling_id", "also", "description", "kind", "confidence"),
        *("status", "n_examples", "share", "supersedes_id"),
    ):
        op.drop_column("label", name)
    for table in ("panel", "label_score", "label_origin", "label_outcome", "labeling"):
        op.drop_table(table)
