"""Row ids of features from the ids that people use, and back, many at once."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from scopebook.db.tables import FEATURE_BITS, Model, Release, Sae
from scopebook.errors import InvalidInputError, NotFoundError
from scopebook.features import find_feature
from scopebook.release_names import FeatureId, parse_feature_id


def row_ids_of(session: Session, names: Sequence[str]) -> dict[str, int]:
    """Return the row id of each named feature; the first that names nothing is refused."""
    wanted = {name: parse_feature_id(name) for name in names}
    found, missing = _looked_up(session, wanted)
    for name in missing:
        raise NotFoundError(missing[name])
    return found


def look_up(session: Session, names: Sequence[str]) -> tuple[dict[str, int], dict[str, str]]:
    """Return the row ids of features by name, and of each name that names nothing why it does."""
    wanted: dict[str, FeatureId] = {}
    malformed: dict[str, str] = {}
    for name in names:
        try:
            wanted[name] = parse_feature_id(name, any_index=True)
        except InvalidInputError as error:
            malformed[name] = str(error)
    found, missing = _looked_up(session, wanted)
    return found, missing | malformed


def _looked_up(
    session: Session, wanted: Mapping[str, FeatureId]
) -> tuple[dict[str, int], dict[str, str]]:
    keys = {(found.model, found.layer, found.set_name) for found in wanted.values()}
    rows = session.execute(
        select(Model.name, Sae.layer, Release.set_name, Sae.id, Sae.d_sae)
        .join(Release, Release.model_id == Model.id)
        .join(Sae, Sae.release_id == Release.id)
        .where(tuple_(Model.name, Sae.layer, Release.set_name).in_(keys))
    )
    saes = {(row.name, row.layer, row.set_name): (row.id, row.d_sae) for row in rows}
    found: dict[str, int] = {}
    missing: dict[str, str] = {}
    for name, parts in wanted.items():
        sae_id, d_sae = saes.get((parts.model, parts.layer, parts.set_name), (0, 0))
        if parts.index < d_sae:
            found[name] = (sae_id << FEATURE_BITS) | parts.index
        else:
            missing[name] = f"There is no feature {name}; take ids from a list or a search."
    return found, missing


def row_id_of(session: Session, wanted: FeatureId) -> int:
    """Return one feature's row id, without reading the feature where it is there."""
    sae = session.execute(
        select(Sae.id, Sae.d_sae)
        .join(Release, Release.id == Sae.release_id)
        .join(Model, Model.id == Release.model_id)
        .where(
            Model.name == wanted.model,
            Release.set_name == wanted.set_name,
            Sae.layer == wanted.layer,
        )
    ).one_or_none()
    if sae is None or wanted.index >= sae.d_sae:
        return find_feature(session, wanted)  # which says what is missing
    return int(sae.id << FEATURE_BITS) | wanted.index


def names_of(session: Session, feature_ids: Collection[int]) -> dict[int, str]:
    """Return the ids that people use, by row id; hidden features have none."""
    rows = session.execute(
        select(Model.name, Sae.layer, Release.set_name, Sae.id)
        .join(Release, Release.model_id == Model.id)
        .join(Sae, Sae.release_id == Release.id)
        .where(Sae.id.in_({feature_id >> FEATURE_BITS for feature_id in feature_ids}))
    )
    saes = {row.id: row for row in rows}
    found = {}
    for feature_id in feature_ids:
        sae = saes.get(feature_id >> FEATURE_BITS)
        if sae is None:
            continue
        index = feature_id & (2**FEATURE_BITS - 1)
        found[feature_id] = str(FeatureId(sae.name, sae.layer, sae.set_name, index))
    return found
