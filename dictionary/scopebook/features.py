"""Features: one with everything known of it, and lists of them."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from sqlalchemy import Select, select, tuple_
from sqlalchemy.orm import Session

from scopebook.co_firing import read_co_firing
from scopebook.db.entry_tables import FeatureEntry
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
    FeatureInList,
    Histogram,
    Neighbour,
    Statistics,
    TagShare,
    TokenWeight,
)
from scopebook.label_details import count_origins, scores_of
from scopebook.label_reports import outcomes_of
from scopebook.labels import Grouping, SenseView, current_labels, grouping_of, labels_of, senses_of
from scopebook.packing import (
    BEST,
    HISTOGRAM_EDGES,
    ExampleSet,
    unpack_counts,
    unpack_examples,
    unpack_pairs,
)
from scopebook.paging import decode_cursor, encode_cursor
from scopebook.release_names import FeatureId
from scopebook.search_filters import Filters, entry_conditions, place_of

Sort = Literal["index", "density", "max", "score"]

#: Tokens shown beside the peak in a list.
PREVIEW_LEFT, PREVIEW_RIGHT = 24, 14
NEIGHBOURS = 10


def _listed() -> Select[*tuple[Any, ...]]:
    """Return the query behind every list: a feature, where it belongs, and its evidence."""
    return (
        select(
            Feature.id,
            Feature.index,
            Sae.layer,
            Release.set_name,
            Release.name.label("release"),
            Model.name.label("model"),
            Evidence.count,
            Evidence.density,
            Evidence.max,
            Evidence.flags,
        )
        .join(Sae, Sae.id == Feature.sae_id)
        .join(Release, Release.id == Sae.release_id)
        .join(Model, Model.id == Release.model_id)
        .outerjoin(
            Evidence,
            (Evidence.feature_id == Feature.id) & (Evidence.run_id == Sae.current_run_id),
        )
    )


def list_features(
    session: Session,
    filters: Filters | None = None,
    *,
    sort: Sort = "index",
    cursor: str | None = None,
    limit: int = 50,
    preview: bool = False,
) -> tuple[list[FeatureInList], str | None]:
    """Return features and the next page's cursor, the largest number first.

    Features without the number that is sorted by are left out.
    """
    wanted = filters or Filters()
    place = place_of(session, wanted)
    entry: Any = FeatureEntry
    statement = select(entry.feature_id).where(*entry_conditions(wanted)).limit(limit + 1)
    if place is not None:
        statement = statement.where(entry.sae_id.in_(place))
    if sort == "index":
        statement = statement.order_by(entry.feature_id)
        if cursor is not None:
            statement = statement.where(entry.feature_id > decode_cursor(cursor, [int])[0])
    else:
        value = getattr(entry, sort)
        statement = (
            statement.add_columns(value)
            .where(value.is_not(None))
            .order_by(value.desc(), entry.feature_id.desc())
        )
        if cursor is not None:
            number, last_id = decode_cursor(cursor, [float, int])
            statement = statement.where(tuple_(value, entry.feature_id) < tuple_(number, last_id))
    rows = session.execute(statement).all()
    page = rows[:limit]
    following = encode_cursor(list(page[-1])[::-1]) if len(rows) > limit else None
    return features_by_id(session, [row.feature_id for row in page], preview=preview), following


def features_by_id(
    session: Session, feature_ids: Sequence[int], *, preview: bool = False
) -> list[FeatureInList]:
    """Return the features with these row ids, in the given order."""
    rows = session.execute(_listed().where(Feature.id.in_(feature_ids))).all()
    by_id = {row.id: row for row in rows}
    return describe(session, [by_id[i] for i in feature_ids if i in by_id], preview=preview)


def describe(session: Session, rows: Sequence[Any], *, preview: bool) -> list[FeatureInList]:
    """Add labels, and the best example where asked for, to listed rows."""
    ids = [row.id for row in rows]
    labels, outcomes = current_labels(session, ids), outcomes_of(session, ids)
    previews = _previews(session, ids) if preview else {}
    return [
        FeatureInList(
            **_head(row),
            label=labels.get(row.id),
            unlabelled=outcomes.get(row.id),
            preview=previews.get(row.id),
        )
        for row in rows
    ]


def _head(row: Any) -> dict[str, Any]:
    return {
        "feature_id": row.id,
        "id": str(FeatureId(row.model, row.layer, row.set_name, row.index)),
        "model": row.model,
        "release": row.release,
        "layer": row.layer,
        "set_name": row.set_name,
        "index": row.index,
        "density": row.density,
        "max_activation": row.max,
        "flags": row.flags or [],
    }


def _previews(session: Session, feature_ids: Sequence[int]) -> dict[int, Example]:
    rows = session.execute(
        select(Evidence.feature_id, Evidence.examples)
        .join(Feature, Feature.id == Evidence.feature_id)
        .join(Sae, (Sae.id == Feature.sae_id) & (Sae.current_run_id == Evidence.run_id))
        .where(Evidence.feature_id.in_(feature_ids), Evidence.count > 0)
    )
    windows = {
        feature_id: Window(
            examples=unpack_examples(packed), position=0, left=PREVIEW_LEFT, right=PREVIEW_RIGHT
        )
        for feature_id, packed in rows
    }
    return dict(zip(windows, read_examples(session, list(windows.values())), strict=True))


def find_feature(session: Session, wanted: FeatureId) -> int:
    """Return a feature's row id."""
    row = _row_in_full(session, wanted) if wanted.index < 2**FEATURE_BITS else None
    if row is None:
        raise NotFoundError(_why_missing(session, wanted))
    found: int = row.id
    return found


def read_feature(session: Session, wanted: FeatureId) -> FeatureInFull:
    """Return everything known of one feature."""
    row = _row_in_full(session, wanted) if wanted.index < 2**FEATURE_BITS else None
    if row is None:
        raise NotFoundError(_why_missing(session, wanted))
    evidence = row.Evidence
    senses = senses_of(session, row.id, evidence.run_id) if evidence else []
    grouping = grouping_of(session, row.id, evidence.run_id) if evidence else None
    texts = _TokenTexts(session, row.tokenizer_id)
    return FeatureInFull(
        **_head(row),
        label=current_labels(session, [row.id]).get(row.id),
        unlabelled=outcomes_of(session, [row.id]).get(row.id),
        decoder_norm=row.Feature.decoder_norm,
        promoted=texts.weights(row.Feature.promoted),
        suppressed=texts.weights(row.Feature.suppressed),
        neighbours=_neighbours(session, row, wanted),
        co_firing=read_co_firing(session, wanted, row.id, evidence.run_id) if evidence else None,
        statistics=_statistics(session, evidence, texts) if evidence else None,
        senses=senses,
        labels=labels_of(session, row.id),
        scores=scores_of(session, row.id),
        kind=grouping.kind if grouping else None,
        unassigned=grouping.unassigned if grouping else None,
        resolution=grouping.resolution if grouping else None,
        asked=count_origins(session, row.id),
        ineligible=grouping.ineligible if grouping else None,
        examples=(
            _examples(session, evidence, senses, grouping) if evidence and evidence.count else []
        ),
        previous=_beside(wanted, wanted.index - 1, row.d_sae),
        following=_beside(wanted, wanted.index + 1, row.d_sae),
        caution=row.caution,
    )


def _row_in_full(session: Session, wanted: FeatureId) -> Any:
    """Return a feature's row with its evidence and what its release says, or None."""
    return session.execute(
        _listed()
        .add_columns(
            Feature,
            Evidence,
            Release.caution,
            Model.tokenizer_id,
            Sae.id.label("sae_id"),
            Sae.d_sae,
        )
        .where(
            Model.name == wanted.model,
            Release.set_name == wanted.set_name,
            Sae.layer == wanted.layer,
            Feature.index == wanted.index,
        )
    ).one_or_none()


def _why_missing(session: Session, wanted: FeatureId) -> str:
    """Say which part of the id names nothing."""
    saes = session.execute(
        select(Model.name, Sae.layer, Release.set_name, Sae.d_sae)
        .join(Release, Release.model_id == Model.id)
        .join(Sae, Sae.release_id == Release.id)
        .order_by(Model.name, Sae.layer)
    ).all()
    of_model = [row for row in saes if row.name == wanted.model]
    for row in of_model:
        if (row.layer, row.set_name) == (wanted.layer, wanted.set_name):
            return (
                f"There is no feature {wanted}: its SAE has {row.d_sae:,} features, "
                f"numbered 0 to {row.d_sae - 1}."
            )
    if of_model:
        known = ", ".join(f"{row.layer}-{row.set_name}" for row in of_model[:8])
        return (
            f"There is no feature {wanted}: {wanted.model} has no SAE "
            f"{wanted.layer}-{wanted.set_name} here; it has {known}."
        )
    models = sorted({row.name for row in saes})
    return f"There is no feature {wanted}: the model {wanted.model} is not registered here; " + (
        f"there is {', '.join(models)}." if models else "add a release with `scopebook add`."
    )


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


def _statistics(session: Session, evidence: Evidence, texts: "_TokenTexts") -> Statistics:
    run, corpus = session.execute(
        select(Run, Corpus.name)
        .join(Tokenisation, Tokenisation.id == Run.tokenisation_id)
        .join(Corpus, Corpus.id == Tokenisation.corpus_id)
        .where(Run.id == evidence.run_id)
    ).one()
    ends = [evidence.first_context_id, evidence.last_context_id]
    seen = read_activities(session, [end for end in ends if end is not None])
    return Statistics(
        run_id=run.id,
        corpus=corpus,
        tokens_seen=run.tokens_seen or 0,
        contexts_seen=run.contexts_seen or 0,
        count=evidence.count,
        contexts=evidence.contexts,
        density=evidence.density,
        mean=evidence.mean,
        max=evidence.max,
        histogram=histogram_of(evidence),
        top_tokens=texts.weights(evidence.top_tokens),
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


def _neighbours(session: Session, row: Any, wanted: FeatureId) -> list[Neighbour]:
    pairs = unpack_pairs(row.Feature.neighbours)[:NEIGHBOURS]
    ids = {index: (row.sae_id << FEATURE_BITS) | index for index, _ in pairs}
    labels = current_labels(session, list(ids.values()))
    return [
        Neighbour(
            id=str(FeatureId(wanted.model, wanted.layer, wanted.set_name, index)),
            layer=wanted.layer,
            set_name=wanted.set_name,
            index=index,
            cosine=cosine,
            label=labels.get(ids[index]),
        )
        for index, cosine in pairs
    ]


class _TokenTexts:
    """Texts of vocabulary entries, looked up once per list of pairs."""

    def __init__(self, session: Session, tokenizer_id: int) -> None:
        self._session = session
        self._tokenizer_id = tokenizer_id

    def weights(self, packed: bytes) -> list[TokenWeight]:
        """Return packed pairs with the text of each token."""
        pairs = unpack_pairs(packed)
        rows = self._session.execute(
            select(TokenPiece.token_id, TokenPiece.piece).where(
                TokenPiece.tokenizer_id == self._tokenizer_id,
                TokenPiece.token_id.in_([token_id for token_id, _ in pairs]),
            )
        )
        pieces = {row.token_id: row.piece for row in rows}
        return [
            TokenWeight(token_id, token_text(pieces.get(token_id, b"")), value)
            for token_id, value in pairs
        ]


def token_text(piece: bytes) -> str:
    r"""Return the token as text; bytes that are no whole character are written `\xe4`."""
    return piece.decode("utf-8", errors="backslashreplace")
