"""Features with what was measured of them and said in force, many in a few queries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.db.tables import (
    Corpus,
    Evidence,
    Feature,
    Model,
    Release,
    Run,
    Sae,
    Tokenisation,
    TokenPiece,
)
from scopebook.examples import Example, Window, read_examples
from scopebook.feature_page import NEIGHBOURS, histogram_of, in_order, token_text
from scopebook.feature_views import FeatureInList, Histogram, TokenWeight
from scopebook.features import features_by_id
from scopebook.interchange.neuronpedia_intervals import Interval, intervals
from scopebook.label_details import ScoreView, scores_by_label
from scopebook.labels import LabelView, labels_in_force
from scopebook.packing import BEST, unpack_examples, unpack_pairs


@dataclass(frozen=True, kw_only=True)
class FeatureSheet(FeatureInList):
    """A feature with its evidence in the run that is shown, and the labels in force."""

    promoted: list[TokenWeight]
    suppressed: list[TokenWeight]
    #: Index and cosine of the nearest directions of its SAE.
    near: list[tuple[int, float]]
    corpus: str | None
    histogram: Histogram
    #: That of the feature first, then its senses'.
    labels: list[LabelView]
    #: By label id, the newest first.
    scores: dict[int, list[ScoreView]]
    #: The best first, each with the interval of strength that it stands for.
    examples: list[tuple[Example, Interval]]


def read_sheets(
    session: Session, feature_ids: Sequence[int], *, most: Mapping[int, int | None] | None = None
) -> list[FeatureSheet]:
    """Return features in the given order; `most` is how many examples of which, None: all."""
    rows = {row.id: row for row in session.execute(_evidence_of(feature_ids))}
    texts = _token_texts(session, list(rows.values()))
    labels = labels_in_force(session, feature_ids)
    scores = scores_by_label(session, [label.id for of in labels.values() for label in of])
    examples = _examples(session, rows, most or {})
    return [
        FeatureSheet(
            **vars(feature),
            promoted=_weights(row.promoted, row.tokenizer_id, texts),
            suppressed=_weights(row.suppressed, row.tokenizer_id, texts),
            near=unpack_pairs(row.neighbours)[:NEIGHBOURS],
            corpus=row.corpus,
            histogram=histogram_of(row.Evidence) if row.Evidence else Histogram([], []),
            labels=labels.get(feature.feature_id, []),
            scores=scores,
            examples=examples.get(feature.feature_id, []),
        )
        for feature in features_by_id(session, feature_ids)
        for row in [rows[feature.feature_id]]
    ]


def _evidence_of(feature_ids: Sequence[int]) -> Any:
    return (
        select(
            *(Feature.id, Feature.promoted, Feature.suppressed, Feature.neighbours),
            Model.tokenizer_id,
            Evidence,
            Corpus.name.label("corpus"),
        )
        .join(Sae, Sae.id == Feature.sae_id)
        .join(Release, Release.id == Sae.release_id)
        .join(Model, Model.id == Release.model_id)
        .outerjoin(
            Evidence,
            (Evidence.feature_id == Feature.id) & (Evidence.run_id == Sae.current_run_id),
        )
        .outerjoin(Run, Run.id == Evidence.run_id)
        .outerjoin(Tokenisation, Tokenisation.id == Run.tokenisation_id)
        .outerjoin(Corpus, Corpus.id == Tokenisation.corpus_id)
        .where(Feature.id.in_(feature_ids))
    )


_Texts = dict[tuple[int, int], str]


def _token_texts(session: Session, rows: Sequence[Any]) -> _Texts:
    """Return the texts of all promoted and suppressed tokens, by tokenizer and token."""
    wanted: dict[int, set[int]] = {}
    for row in rows:
        for packed in (row.promoted, row.suppressed):
            ids = wanted.setdefault(row.tokenizer_id, set())
            ids.update(token_id for token_id, _ in unpack_pairs(packed))
    texts: _Texts = {}
    for tokenizer_id, ids in wanted.items():
        pieces = session.execute(
            select(TokenPiece.token_id, TokenPiece.piece).where(
                TokenPiece.tokenizer_id == tokenizer_id, TokenPiece.token_id.in_(ids)
            )
        )
        texts |= {(tokenizer_id, row.token_id): token_text(row.piece) for row in pieces}
    return texts


def _weights(packed: bytes, tokenizer_id: int, texts: _Texts) -> list[TokenWeight]:
    return [
        TokenWeight(token_id, texts.get((tokenizer_id, token_id), ""), value)
        for token_id, value in unpack_pairs(packed)
    ]


def _examples(
    session: Session, rows: Mapping[int, Any], most: Mapping[int, int | None]
) -> dict[int, list[tuple[Example, Interval]]]:
    """Return the examples of each feature that has some, read together."""
    windows: list[Window] = []
    of: list[tuple[int, Interval]] = []
    for feature_id, row in rows.items():
        if row.Evidence is None or not row.Evidence.count:
            continue
        packed = unpack_examples(row.Evidence.examples)
        bins = intervals(packed.kind == BEST, packed.quantile, packed.activation)
        for position in in_order(packed)[: most.get(feature_id)]:
            windows.append(Window(examples=packed, position=position))
            of.append((feature_id, bins[position]))
    found: dict[int, list[tuple[Example, Interval]]] = {}
    for (feature_id, interval), example in zip(of, read_examples(session, windows), strict=True):
        found.setdefault(feature_id, []).append((example, interval))
    return found
