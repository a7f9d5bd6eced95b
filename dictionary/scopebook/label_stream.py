"""All labels in force, one after the other, as they are at one moment."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Select, cast, func, select
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by
from sqlalchemy.orm import Session

from scopebook.db.label_tables import Label, LabelScore, Sense
from scopebook.interchange.numbering import DumpedSae, dumped_saes
from scopebook.releases import sae_ids

#: Labels that are fetched, and held, together.
TOGETHER: Final = 1_000
_SCORED: Final = (
    *(LabelScore.scorer, LabelScore.scorer_version, LabelScore.judge, LabelScore.value),
    *(LabelScore.ci_low, LabelScore.ci_high, LabelScore.null_value, LabelScore.f1),
    *(LabelScore.n_pos, LabelScore.n_neg_random, LabelScore.n_neg_hard, LabelScore.n_failed),
    LabelScore.created_at,
)


@dataclass(frozen=True, kw_only=True)
class LabelLine:
    """A label in force with its feature, where it comes from, and its scores."""

    feature: str
    release: str
    layer: int
    set_name: str
    index: int
    label_id: int
    text: str
    description: str | None
    kind: str | None
    confidence: float | None
    #: The senses it words, by ordinal; none: the feature.
    senses: list[int]
    #: Share of the clustered examples that are in its senses.
    share: float | None
    source: str
    method: str
    author: str | None
    n_examples: int | None
    labeling_id: int | None
    created_at: datetime
    #: By name as in `ScoreView`, the newest first.
    scores: list[dict[str, Any]]


def saes_of_stream(
    session: Session, *, release: str | None = None, layers: Sequence[int] | None = None
) -> list[DumpedSae]:
    """Return the SAEs whose labels are wanted, of those that the session sees."""
    return dumped_saes(session, sae_ids(session, release=release, layers=layers))


def label_batches(
    session: Session, saes: Sequence[DumpedSae], *, together: int = TOGETHER
) -> Iterator[list[LabelLine]]:
    """Yield the labels in force by SAE and feature, the label of the feature before its senses'.

    The session must be a fresh one: its transaction keeps to what was there when it began, so that
    all labels are those of one moment, whatever is written meanwhile. The server keeps a cursor, so
    that as many are in memory as are yielded together; one for each SAE, since it would sort the
    labels of all before it gave the first.
    """
    session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    for sae in saes:
        rows = session.execute(_in_force(sae.id), execution_options={"yield_per": together})
        for part in rows.partitions():
            yield [_line(row, sae) for row in part]


def _in_force(sae_id: int) -> Select[*tuple[Any, ...]]:
    return (
        select(
            *(Label.id, Label.feature_id, Label.also, Label.text, Label.description, Label.kind),
            *(Label.confidence, Label.share, Label.source, Label.method, Label.author),
            *(Label.n_examples, Label.labeling_id, Label.created_at),
            Sense.ordinal,
            _scores().label("scores"),
        )
        .outerjoin(Sense, Sense.id == Label.sense_id)
        .where(Label.current, Label.sae_id == sae_id)
        .order_by(Label.feature_id, Label.sense_id.is_not(None), Label.id)
    )


def _scores() -> Any:
    """Return, for a query over labels, the scores of each as JSON."""
    columns = [part for column in _SCORED for part in (column.key, column)]
    newest_first = aggregate_order_by(func.jsonb_build_object(*columns), LabelScore.id.desc())
    return (
        select(func.coalesce(func.jsonb_agg(newest_first), cast([], JSONB)))
        .where(LabelScore.label_id == Label.id)
        .correlate(Label)
        .scalar_subquery()
    )


def _line(row: Any, sae: DumpedSae) -> LabelLine:
    index = row.feature_id - sae.first_id
    return LabelLine(
        feature=sae.feature(index),
        release=sae.release,
        layer=sae.layer,
        set_name=sae.set_name,
        index=index,
        label_id=row.id,
        text=row.text,
        description=row.description,
        kind=row.kind,
        confidence=row.confidence,
        senses=[] if row.ordinal is None else [row.ordinal, *row.also],
        share=row.share,
        source=row.source,
        method=row.method,
        author=row.author,
        n_examples=row.n_examples,
        labeling_id=row.labeling_id,
        created_at=row.created_at,
        scores=row.scores,
    )
