"""Everything known of one feature: what its page shows."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from scopebook.co_firing import CO_FIRED, co_fired_in, view_of_co_firing
from scopebook.db.arrays import among
from scopebook.db.label_tables import CoFiring, LabelOrigin, Panel
from scopebook.db.tables import (
    FEATURE_BITS,
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
from scopebook.errors import NotFoundError
from scopebook.examples import Example, Window, read_activities, read_examples
from scopebook.feature_views import (
    FeatureInFull,
    Histogram,
    Neighbour,
    Statistics,
    TagShare,
    TokenWeight,
)
from scopebook.features import ROW_ID, head_of, listed, place_of_feature, why_missing
from scopebook.label_details import scores_of
from scopebook.label_reports import Outcome, outcomes_of
from scopebook.labels import (
    Grouping,
    LabelView,
    SenseView,
    current_labels,
    given_labels,
    senses_and_grouping,
)
from scopebook.packing import (
    BEST,
    HISTOGRAM_EDGES,
    ExampleSet,
    unpack_counts,
    unpack_examples,
    unpack_pairs,
)
from scopebook.release_names import FeatureId

NEIGHBOURS = 10


def read_feature(session: Session, wanted: FeatureId) -> FeatureInFull:
    """Return everything known of one feature."""
    row = _row_in_full(session, wanted)
    evidence: Evidence | None = row.Evidence
    given = given_labels(session, row.id)
    senses, grouping = (
        senses_and_grouping(session, row.id, evidence.run_id, given) if evidence else ([], None)
    )
    in_force = (one.view for one in given if one.view.current and one.sense_id is None)
    label = next(in_force, None)
    fired = co_fired_in(row)
    near = unpack_pairs(row.Feature.neighbours)[:NEIGHBOURS]
    beside = _labels_beside(session, row.sae_id, [*near, *(fired.pairs if fired else [])])
    texts = _token_texts(session, row)
    return FeatureInFull(
        **head_of(row),
        label=label,
        unlabelled=_why_unlabelled(session, row.id, label),
        decoder_norm=row.Feature.decoder_norm,
        promoted=_weights(row.Feature.promoted, texts),
        suppressed=_weights(row.Feature.suppressed, texts),
        neighbours=_neighbours(near, wanted, beside),
        co_firing=view_of_co_firing(fired, wanted, beside) if fired else None,
        statistics=_statistics(session, row, texts) if evidence else None,
        senses=senses,
        labels=[one.view for one in given],
        scores=scores_of(session, row.id),
        kind=grouping.kind if grouping else None,
        unassigned=grouping.unassigned if grouping else None,
        resolution=grouping.resolution if grouping else None,
        asked=row.asked,
        ineligible=grouping.ineligible if grouping else None,
        examples=(
            _examples(session, evidence, senses, grouping) if evidence and evidence.count else []
        ),
        previous=_beside(wanted, wanted.index - 1, row.d_sae),
        following=_beside(wanted, wanted.index + 1, row.d_sae),
        caution=row.caution,
    )


_IN_FULL: Final[Any] = (
    listed()
    .add_columns(
        Feature,
        Evidence,
        Release.caution,
        Model.tokenizer_id,
        Sae.id.label("sae_id"),
        Sae.d_sae,
        Run.tokens_seen,
        Run.contexts_seen,
        Corpus.name.label("corpus"),
        select(func.count())
        .where(LabelOrigin.feature_id == Feature.id)
        .scalar_subquery()
        .label("asked"),
        *CO_FIRED,
    )
    .outerjoin(Run, Run.id == Evidence.run_id)
    .outerjoin(Tokenisation, Tokenisation.id == Run.tokenisation_id)
    .outerjoin(Corpus, Corpus.id == Tokenisation.corpus_id)
    .outerjoin(
        Panel,
        (Panel.run_id == Evidence.run_id) & (Panel.sae_id == Sae.id) & Panel.tokens.is_not(None),
    )
    .outerjoin(CoFiring, (CoFiring.run_id == Panel.run_id) & (CoFiring.feature_id == Feature.id))
    .where(Feature.id == ROW_ID)
)


def _row_in_full(session: Session, wanted: FeatureId) -> Any:
    """Return a feature's row with its evidence and what its release says."""
    row = session.execute(_IN_FULL, place_of_feature(wanted)).one_or_none()
    if row is None:
        raise NotFoundError(why_missing(session, wanted))
    return row


def _why_unlabelled(session: Session, feature_id: int, label: LabelView | None) -> Outcome | None:
    """Return why a language model has given no label; of what it has worded nothing is asked."""
    if label is not None and label.source == "llm":
        return None
    return outcomes_of(session, [feature_id]).get(feature_id)


def _labels_beside(
    session: Session, sae_id: int, pairs: Sequence[tuple[int, float]]
) -> dict[int, LabelView]:
    """Return the wordings in force of features of the same SAE, by their indexes."""
    first = sae_id << FEATURE_BITS
    labels = current_labels(session, [first | index for index, _ in pairs])
    return {feature_id - first: label for feature_id, label in labels.items()}


def _beside(wanted: FeatureId, index: int, d_sae: int) -> str | None:
    if not 0 <= index < d_sae:
        return None
    return str(FeatureId(wanted.model, wanted.layer, wanted.set_name, index))


def _examples(
    session: Session,
    evidence: Evidence,
    senses: Sequence[SenseView],
    grouping: Grouping | None,
) -> list[Example]:
    packed = unpack_examples(evidence.examples)
    sense_of = {position: sense.ordinal for sense in senses for position in sense.members}
    typical = {at: rank for sense in senses for rank, at in enumerate(sense.representatives)}
    held_out = set(grouping.held_out) if grouping else set()
    windows = [
        Window(
            examples=packed,
            position=i,
            sense=sense_of.get(i),
            typical=typical.get(i),
            held_out=i in held_out,
        )
        for i in in_order(packed)
    ]
    return read_examples(session, windows)


def in_order(examples: ExampleSet) -> list[int]:
    """Return the positions of a feature's examples as they are shown: the best, then samples.

    Samples are shown from strong to weak, so that the quantiles read downwards.
    """
    return sorted(
        range(len(examples)), key=lambda i: (examples.kind[i] != BEST, -examples.activation[i], i)
    )


def _statistics(session: Session, row: Any, texts: Mapping[int, bytes]) -> Statistics:
    evidence: Evidence = row.Evidence
    ends = [evidence.first_context_id, evidence.last_context_id]
    seen = read_activities(session, [end for end in ends if end is not None])
    return Statistics(
        run_id=evidence.run_id,
        corpus=row.corpus,
        tokens_seen=row.tokens_seen or 0,
        contexts_seen=row.contexts_seen or 0,
        count=evidence.count,
        contexts=evidence.contexts,
        density=evidence.density,
        mean=evidence.mean,
        max=evidence.max,
        histogram=histogram_of(evidence),
        top_tokens=_weights(evidence.top_tokens, texts),
        top_tokens_exact=evidence.top_tokens_exact,
        tags=[TagShare(*tag) for tag in evidence.tags],
        first_seen=seen.get(evidence.first_context_id or 0),
        last_seen=seen.get(evidence.last_context_id or 0),
    )


def histogram_of(evidence: Evidence) -> Histogram:
    """Return the bins between the first and the last that hold something."""
    counts = unpack_counts(evidence.histogram)
    filled = np.flatnonzero(counts)
    if not len(filled):
        return Histogram(edges=[], counts=[])
    first, last = int(filled[0]), int(filled[-1])
    edges = HISTOGRAM_EDGES[first : last + 2].copy()
    if np.isinf(edges[-1]):
        edges[-1] = max(evidence.max, edges[-2] * np.sqrt(2))
    return Histogram(edges=edges.tolist(), counts=counts[first : last + 1].tolist())


def _neighbours(
    pairs: Sequence[tuple[int, float]], wanted: FeatureId, labels: Mapping[int, LabelView]
) -> list[Neighbour]:
    return [
        Neighbour(
            id=str(FeatureId(wanted.model, wanted.layer, wanted.set_name, index)),
            layer=wanted.layer,
            set_name=wanted.set_name,
            index=index,
            cosine=cosine,
            label=labels.get(index),
        )
        for index, cosine in pairs
    ]


def _token_texts(session: Session, row: Any) -> dict[int, bytes]:
    """Return the vocabulary entries of all lists of tokens of the feature."""
    packed = [row.Feature.promoted, row.Feature.suppressed]
    packed += [row.Evidence.top_tokens] if row.Evidence else []
    ids = {token_id for one in packed for token_id, _ in unpack_pairs(one)}
    rows = session.execute(
        select(TokenPiece.token_id, TokenPiece.piece).where(
            TokenPiece.tokenizer_id == row.tokenizer_id, among(TokenPiece.token_id, ids)
        )
    )
    return {row.token_id: row.piece for row in rows}


def _weights(packed: bytes, texts: Mapping[int, bytes]) -> list[TokenWeight]:
    """Return packed pairs with the text of each token."""
    return [
        TokenWeight(token_id, token_text(texts.get(token_id, b"")), value)
        for token_id, value in unpack_pairs(packed)
    ]


def token_text(piece: bytes) -> str:
    r"""Return the token as text; bytes that are no whole character are written `\xe4`."""
    return piece.decode("utf-8", errors="backslashreplace")
