"""Features: one with everything known of it, and lists of them."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

from sqlalchemy import BigInteger, Select, bindparam, cast, select, tuple_
from sqlalchemy.orm import Session

from scopebook.db.arrays import among_given
from scopebook.db.entry_tables import FeatureEntry
from scopebook.db.tables import (
    FEATURE_BITS,
    Evidence,
    Feature,
    Model,
    Release,
    Sae,
)
from scopebook.errors import NotFoundError
from scopebook.examples import Example, Window, read_examples
from scopebook.feature_views import (
    FeatureInList,
)
from scopebook.label_reports import outcomes_of
from scopebook.labels import current_labels
from scopebook.packing import (
    unpack_examples,
)
from scopebook.paging import decode_cursor, encode_cursor
from scopebook.release_names import FeatureId
from scopebook.search_filters import Filters, entry_conditions, place_of

Sort = Literal["index", "density", "max", "score"]

#: Tokens shown beside the peak in a list.
PREVIEW_LEFT, PREVIEW_RIGHT = 24, 14


def listed() -> Select[*tuple[Any, ...]]:
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


_WITHOUT_EXAMPLES: Final = listed().where(among_given(Feature.id))
_WITH_EXAMPLES: Final = _WITHOUT_EXAMPLES.add_columns(Evidence.examples)


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
    asked = _WITH_EXAMPLES if preview else _WITHOUT_EXAMPLES
    rows = {row.id: row for row in session.execute(asked, {"ids": list(feature_ids)})}
    labels = current_labels(session, feature_ids)
    # Of what a model has worded, nothing explains why it has not.
    asked_about = [i for i in feature_ids if i not in labels or labels[i].source != "llm"]
    outcomes = outcomes_of(session, asked_about) if asked_about else {}
    previews = _previews(session, rows.values()) if preview else {}
    return [
        FeatureInList(
            **head_of(rows[feature_id]),
            label=labels.get(feature_id),
            unlabelled=outcomes.get(feature_id),
            preview=previews.get(feature_id),
        )
        for feature_id in feature_ids
        if feature_id in rows
    ]


def head_of(row: Any) -> dict[str, Any]:
    """Return what every view of a feature begins with, from a row of `listed`."""
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


def _previews(session: Session, rows: Iterable[Any]) -> dict[int, Example]:
    """Return the best example of each row that fires, by feature id."""
    windows = {
        row.id: Window(
            examples=unpack_examples(row.examples),
            position=0,
            left=PREVIEW_LEFT,
            right=PREVIEW_RIGHT,
        )
        for row in rows
        if row.count
    }
    return dict(zip(windows, read_examples(session, list(windows.values())), strict=True))


#: The row id that a feature has if its SAE has so many; none if there is no such SAE.
ROW_ID: Final = (
    select(cast(Sae.id, BigInteger) * 2**FEATURE_BITS + bindparam("index"))
    .join(Release, Release.id == Sae.release_id)
    .join(Model, Model.id == Release.model_id)
    .where(
        Model.name == bindparam("model"),
        Release.set_name == bindparam("set_name"),
        Sae.layer == bindparam("layer"),
        Sae.d_sae > bindparam("index"),
    )
    .scalar_subquery()
)


def place_of_feature(wanted: FeatureId) -> dict[str, Any]:
    """Return what `ROW_ID` is asked with."""
    return {
        "model": wanted.model,
        "set_name": wanted.set_name,
        "layer": wanted.layer,
        # What is larger than any SAE has may be no number for Postgres.
        "index": min(wanted.index, 2**FEATURE_BITS),
    }


def find_feature(session: Session, wanted: FeatureId) -> int:
    """Return a feature's row id."""
    found = session.scalar(_FOUND, place_of_feature(wanted))
    if found is None:
        raise NotFoundError(why_missing(session, wanted))
    return found


_FOUND: Final = select(Feature.id).where(Feature.id == ROW_ID)


def why_missing(session: Session, wanted: FeatureId) -> str:
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
