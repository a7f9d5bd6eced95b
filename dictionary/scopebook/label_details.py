"""What stands behind a feature's labels: their scores, and what language models were asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from scopebook.db.label_tables import Label, Labeling, LabelOrigin, LabelOutcome, LabelScore
from scopebook.db.tables import Context, Evidence
from scopebook.examples import Example, Window, read_examples
from scopebook.labelings import RULES
from scopebook.packing import ExampleSet, silent_examples, unpack_examples
from scopebook.paging import decode_cursor, encode_cursor

#: Of an example that a model was shown, so many tokens beside its peak are read back.
SHOWN_LEFT: Final = 32
SHOWN_RIGHT: Final = 15


#: Its examples are None where its run kept no evidence of the feature.
_Asked = Row[LabelOrigin, LabelOutcome, Labeling, bytes]


@dataclass(frozen=True, kw_only=True)
class ScoreView:
    """A measured quality of a label; `LabelScore` says what the columns mean."""

    label_id: int
    scorer: str
    scorer_version: str
    judge: str
    value: float
    ci_low: float | None
    ci_high: float | None
    null_value: float | None
    f1: float | None
    n_pos: int
    n_neg_random: int
    n_neg_hard: int
    n_failed: int
    details: dict[str, Any]
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class OriginView:
    """What a language model was asked about a feature, and what came of it."""

    labeling_id: int
    job_id: int | None
    status: str
    reason: str | None
    #: The server's base URL or the model's folder; no key ever stands there.
    endpoint: str | None
    model_requested: str
    model_reported: str | None
    system_fingerprint: str | None
    prompt_version: str | None
    prompt_sha256: str
    #: What all requests of the labeling begin with.
    rules: str | None
    temperature: float | None
    seed: int | None
    attempts: int
    latency_ms: int
    tokens_in: int
    tokens_cached: int
    tokens_out: int
    finish_reason: str | None
    error_class: str | None
    raw_response: str
    #: The examples that the model read, in the order of the request.
    shown: list[Example]
    #: Texts in which the feature is silent, which the model read as well; activations are 0.
    contrasts: list[Example]
    created_at: datetime


def scores_of(session: Session, feature_id: int) -> list[ScoreView]:
    """Return every score of every label the feature was ever given, newest first."""
    rows = session.scalars(
        select(LabelScore)
        .join(Label, Label.id == LabelScore.label_id)
        .where(Label.feature_id == feature_id)
        .order_by(LabelScore.id.desc())
    )
    return [score_view(row) for row in rows]


def scores_by_label(session: Session, label_ids: Sequence[int]) -> dict[int, list[ScoreView]]:
    """Return the scores of labels, the newest first."""
    rows = session.scalars(
        select(LabelScore).where(LabelScore.label_id.in_(label_ids)).order_by(LabelScore.id.desc())
    )
    found: dict[int, list[ScoreView]] = {}
    for row in rows:
        found.setdefault(row.label_id, []).append(score_view(row))
    return found


def score_view(score: LabelScore) -> ScoreView:
    """Return a row as it is shown."""
    return ScoreView(
        label_id=score.label_id,
        scorer=score.scorer,
        scorer_version=score.scorer_version,
        judge=score.judge,
        value=score.value,
        ci_low=score.ci_low,
        ci_high=score.ci_high,
        null_value=score.null_value,
        f1=score.f1,
        n_pos=score.n_pos,
        n_neg_random=score.n_neg_random,
        n_neg_hard=score.n_neg_hard,
        n_failed=score.n_failed,
        details=score.details,
        created_at=score.created_at,
    )


def origins_of(
    session: Session, feature_id: int, *, limit: int = 20, cursor: str | None = None
) -> tuple[list[OriginView], str | None]:
    """Return what was asked about a feature, newest first, and the next page's cursor."""
    statement = (
        select(LabelOrigin, LabelOutcome, Labeling, Evidence.examples)
        .join(
            LabelOutcome,
            (LabelOutcome.labeling_id == LabelOrigin.labeling_id)
            & (LabelOutcome.feature_id == LabelOrigin.feature_id),
        )
        .join(Labeling, Labeling.id == LabelOrigin.labeling_id)
        .outerjoin(
            Evidence,
            (Evidence.run_id == Labeling.run_id) & (Evidence.feature_id == LabelOrigin.feature_id),
        )
        .where(LabelOrigin.feature_id == feature_id)
        .order_by(LabelOrigin.labeling_id.desc())
        .limit(limit + 1)
    )
    if cursor is not None:
        statement = statement.where(LabelOrigin.labeling_id < decode_cursor(cursor, [int])[0])
    rows = session.execute(statement).all()
    page = rows[:limit]
    following = encode_cursor([page[-1].Labeling.id]) if len(rows) > limit else None
    shown = _texts(session, page, _shown(page))
    contrasts = _texts(session, page, _contrasts(session, page))
    keys = [row.Labeling.id for row in page]
    found = [_origin(row, shown[key], contrasts[key]) for key, row in zip(keys, page, strict=True)]
    return found, following


def _origin(row: _Asked, shown: list[Example], contrasts: list[Example]) -> OriginView:
    origin: LabelOrigin = row.LabelOrigin
    labeling: Labeling = row.Labeling
    asked = labeling.parameters
    return OriginView(
        labeling_id=labeling.id,
        job_id=labeling.job_id,
        status=row.LabelOutcome.status,
        reason=row.LabelOutcome.reason,
        endpoint=asked.get("endpoint"),
        model_requested=labeling.method,
        model_reported=origin.model_reported,
        system_fingerprint=origin.system_fingerprint,
        prompt_version=asked.get("prompt"),
        prompt_sha256=origin.prompt_sha256.hex(),
        rules=asked.get(RULES),
        temperature=asked.get("temperature"),
        seed=asked.get("seed"),
        attempts=origin.attempts,
        latency_ms=origin.latency_ms,
        tokens_in=origin.tokens_in,
        tokens_cached=origin.tokens_cached,
        tokens_out=origin.tokens_out,
        finish_reason=origin.finish_reason,
        error_class=origin.error_class,
        raw_response=origin.raw_response,
        shown=shown,
        contrasts=contrasts,
        created_at=row.LabelOutcome.created_at,
    )


def _texts(
    session: Session, rows: Sequence[_Asked], windows: Sequence[tuple[int, Window]]
) -> dict[int, list[Example]]:
    """Return the windows, each with its labeling, as text by labeling; all are read at once."""
    texts = read_examples(session, [window for _, window in windows])
    found: dict[int, list[Example]] = {row.Labeling.id: [] for row in rows}
    for (labeling_id, _), example in zip(windows, texts, strict=True):
        found[labeling_id].append(example)
    return found


def _shown(rows: Sequence[_Asked]) -> list[tuple[int, Window]]:
    """Return the examples that were shown, each with its labeling."""
    windows: list[tuple[int, Window]] = []
    for row in rows:
        if row.examples is not None:
            packed = unpack_examples(row.examples)
            windows += [
                (row.Labeling.id, _window(packed, position))
                for position in row.LabelOrigin.shown
                if position < len(packed)
            ]
    return windows


def _contrasts(session: Session, rows: Sequence[_Asked]) -> list[tuple[int, Window]]:
    """Return the contrasts that were shown, each with its labeling."""
    asked = {row.Labeling.id: row.LabelOrigin.contrasts for row in rows}
    wanted = {context_id for pairs in asked.values() for context_id, _ in pairs}
    lengths = {
        row.id: row.n_tokens
        for row in session.execute(
            select(Context.id, Context.n_tokens).where(Context.id.in_(wanted))
        )
    }
    windows: list[tuple[int, Window]] = []
    for labeling_id, pairs in asked.items():
        known = [(at, center) for at, center in pairs if at in lengths]
        packed = silent_examples([(at, center, lengths[at]) for at, center in known])
        windows += [(labeling_id, _window(packed, position)) for position in range(len(known))]
    return windows


def _window(packed: ExampleSet, position: int) -> Window:
    return Window(examples=packed, position=position, left=SHOWN_LEFT, right=SHOWN_RIGHT)
