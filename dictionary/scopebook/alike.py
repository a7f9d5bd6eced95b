"""Features that are labelled nearly the same: linked, and never made one.

A wide SAE splits one concept over several features. Whether two of them are one is for people to
say; that their labels mean the same, and whether their directions are near, is shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from sqlalchemy import BigInteger, Float, Row, Select, bindparam, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session, aliased

from scopebook.db.arrays import among_given
from scopebook.db.label_tables import Embedder, Label, LabelEmbedding
from scopebook.db.tables import FEATURE_BITS, Feature, Sae
from scopebook.embedders import current_embedder
from scopebook.features import find_feature
from scopebook.label_drift import SAME
from scopebook.labels import LabelView, labels_by_id
from scopebook.packing import unpack_pairs
from scopebook.release_names import FeatureId
from scopebook.search_ways import QueryVector, Scope, by_meaning
from scopebook.settings import settings
from scopebook.vector_index import is_indexed

MOST: Final = 10
#: Nearest features that are looked at.
_LOOKED_AT: Final = 200
#: Letters from here on are of other scripts than the Latin one.
_BEYOND_LATIN: Final = "\u0250"


@dataclass(frozen=True, kw_only=True)
class Alike:
    """A feature with a label in force that means nearly the same."""

    id: str
    layer: int
    set_name: str
    index: int
    #: Of the two labels' vectors, 0.9 or more.
    cosine: float
    #: Its label, and the feature's own that it is like.
    label: LabelView
    own: LabelView
    #: Cosine of the decoder directions; None where the other one is of another layer, or not among
    #: the feature's nearest.
    direction: float | None


def labelled_alike(
    session: Session, wanted: FeatureId, *, limit: int = MOST
) -> tuple[list[Alike], int]:
    """Return features of the release that are labelled nearly the same, and how many there are.

    The nearest first, of at most 200; by the vectors of all labels in force, those of senses
    included. Every vector of the release is compared, or where there are many, their index asked.
    """
    feature_id = find_feature(session, wanted)
    embedder = current_embedder(session, settings())
    if embedder is None:
        return [], 0
    given: dict[str, object] = {
        "feature_id": feature_id,
        "sae_id": feature_id >> FEATURE_BITS,
        "embedder_id": embedder.id,
    }
    if is_indexed(session, embedder.id):
        ids = _candidates(session, feature_id, embedder)
        asked = session.execute(_OF_FOUND, given | {"ids": ids})
    else:
        asked = session.execute(_OF_ALL, given)
    rows = [row for row in asked if not _other_words(row.own_text, row.text)]
    return _described(session, wanted, feature_id, rows[:limit]), len(rows)


def _other_words(one: str, other: str) -> bool:
    """Tell whether two labels name words of another script that have hardly a letter in common.

    An embedder that knows no Chinese gives all Chinese words the same vector.
    """
    letters = [
        {char for char in text if char >= _BEYOND_LATIN and char.isalpha()} for text in (one, other)
    ]
    if not any(letters):
        return False
    return 2 * len(letters[0] & letters[1]) < max(1, min(map(len, letters)))


def _candidates(session: Session, feature_id: int, embedder: Embedder) -> list[int]:
    """Return labels of the release whose vectors the index finds near those of the feature's."""
    release = select(Sae.release_id).where(Sae.id == feature_id >> FEATURE_BITS)
    sae_ids = session.scalars(select(Sae.id).where(Sae.release_id.in_(release))).all()
    own = session.scalars(
        select(LabelEmbedding.embedding)
        .join(Label, Label.id == LabelEmbedding.label_id)
        .where(
            Label.feature_id == feature_id,
            Label.current,
            LabelEmbedding.embedder_id == embedder.id,
        )
    )
    found: dict[int, None] = {}
    for vector in own.all():
        query = QueryVector(embedder.id, np.asarray(vector, dtype=np.float64).tolist())
        found |= dict.fromkeys(by_meaning(session, query, Scope(sae_ids), _LOOKED_AT))
    return list(found)


def _near(*, found: bool) -> Select[Any]:
    """Select of each feature with a label like one of the feature's own the nearest such pair.

    All labels of the release are compared, or only those that were `found`, given as `ids`.
    """
    own, other = aliased(LabelEmbedding), aliased(LabelEmbedding)
    mine, label = aliased(Label), aliased(Label)
    embedder_id = bindparam("embedder_id", type_=BigInteger)
    feature_id = bindparam("feature_id", type_=BigInteger)
    cosine = 1 - own.embedding.op("<=>", return_type=Float())(other.embedding)
    release = (
        select(Sae.release_id)
        .where(Sae.id == bindparam("sae_id", type_=BigInteger))
        .scalar_subquery()
    )
    pairs = (
        select(
            label.feature_id,
            label.id.label("label_id"),
            mine.id.label("own_id"),
            cosine.label("cosine"),
            label.text,
            mine.text.label("own_text"),
        )
        .ext(distinct_on(label.feature_id))
        .select_from(mine)
        .join(own, (own.label_id == mine.id) & (own.embedder_id == embedder_id))
        .join(other, (other.embedder_id == embedder_id) & (cosine >= SAME))
        .join(label, label.id == other.label_id)
        .where(
            mine.feature_id == feature_id,
            mine.current,
            other.sae_id.in_(select(Sae.id).where(Sae.release_id == release)),
            label.current,
            label.feature_id != feature_id,
            *([among_given(label.id)] if found else []),
        )
        .order_by(label.feature_id, cosine.desc(), label.id, mine.id)
        .subquery()
    )
    nearest_first = select(pairs).order_by(pairs.c.cosine.desc(), pairs.c.feature_id)
    return nearest_first.limit(_LOOKED_AT)


# To put such a statement together takes a third of what the whole answer takes otherwise.
_OF_ALL: Final = _near(found=False)
_OF_FOUND: Final = _near(found=True)


def _described(
    session: Session, wanted: FeatureId, feature_id: int, rows: Sequence[Row[Any]]
) -> list[Alike]:
    labels = labels_by_id(session, [key for row in rows for key in (row.label_id, row.own_id)])
    saes = {row.feature_id >> FEATURE_BITS for row in rows}
    layers = {
        row.id: row.layer
        for row in session.execute(select(Sae.id, Sae.layer).where(Sae.id.in_(saes)))
    }
    near = _directions(session, feature_id)
    return [
        Alike(
            id=str(FeatureId(wanted.model, layers[sae_id], wanted.set_name, index)),
            layer=layers[sae_id],
            set_name=wanted.set_name,
            index=index,
            cosine=row.cosine,
            label=labels[row.label_id],
            own=labels[row.own_id],
            direction=near.get(row.feature_id),
        )
        for row in rows
        for sae_id, index in [divmod(row.feature_id, 1 << FEATURE_BITS)]
    ]


def _directions(session: Session, feature_id: int) -> dict[int, float]:
    """Return the cosines of the features with the nearest directions, by row id."""
    packed = session.execute(
        select(Feature.neighbours).where(Feature.id == feature_id)
    ).scalar_one()
    first = feature_id >> FEATURE_BITS << FEATURE_BITS
    return {first | index: cosine for index, cosine in unpack_pairs(packed)}
