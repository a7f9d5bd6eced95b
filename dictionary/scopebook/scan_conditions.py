"""Conditions under which a scan fails, and the lists whose features it looks for."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, cast

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from scopebook.accounts import Actor
from scopebook.db.label_tables import Label
from scopebook.db.list_tables import FeatureList, FeatureListItem
from scopebook.db.tables import FEATURE_BITS, Sae
from scopebook.errors import InvalidInputError, NotFoundError
from scopebook.feature_names import row_ids_of
from scopebook.lists import seen_by
from scopebook.scan_parameters import Condition, CoverageList

FORM: Final = (
    "MODEL/LAYER-SET/INDEX, 'label text' in quotes or list:NAME, then <, >, <= or >=, then a share "
    "of the documents from 0 to 1 (or in %), e.g. \"'legal language' > 0.05\""
)
#: Features of which every hit can be kept in one scan.
MOST_WATCHED: Final = 5_000
_CONDITION: Final = re.compile(
    r"\s*(?P<target>.+?)\s*(?P<comparison><=|>=|<|>)\s*(?P<bound>[0-9]*\.?[0-9]+)\s*(?P<percent>%?)\s*",
    re.DOTALL,
)
_QUOTES: Final = ("''", '""', "\u2018\u2019", "\u201c\u201d")
_LIST: Final = "list:"


def parse_condition(text: str) -> Condition:
    """Read a condition, or say how one is written."""
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise InvalidInputError(f"{text[:100]!r} is no condition; write {FORM}.")
    bound = float(match["bound"]) / (100 if match["percent"] else 1)
    if not 0 <= bound <= 1:
        raise InvalidInputError(
            f"{text[:100]!r} compares a share of the documents with {match['bound']}"
            f"{match['percent']}, which none can reach; write {FORM}."
        )
    target = match["target"]
    comparison = match["comparison"]
    parsed = Condition(
        text=text.strip(),
        kind="feature",
        target=target,
        comparison=comparison,  # type: ignore[arg-type]
        bound=bound,
    )
    if len(target) > 2 and target[0] + target[-1] in _QUOTES:
        return replace(parsed, kind="label", target=" ".join(target[1:-1].split()))
    if target.startswith(_LIST):
        return replace(parsed, kind="list", target=target.removeprefix(_LIST).strip().strip("'\""))
    return parsed


def holds(condition: Condition, share: float) -> bool:
    """Tell whether a share of the documents fulfils the condition, which fails the scan."""
    return {
        "<": share < condition.bound,
        ">": share > condition.bound,
        "<=": share <= condition.bound,
        ">=": share >= condition.bound,
    }[condition.comparison]


def resolve_condition(
    session: Session, condition: Condition, saes: Sequence[Sae], actor: Actor | None
) -> Condition:
    """Return the condition with the features it means; refuse one that means none."""
    if condition.kind == "list":
        found = list(resolve_list(session, condition.target, saes, actor).features)
    elif condition.kind == "label":
        found = _labelled(session, condition.target, saes)
    else:
        found = _named(session, condition.target, saes)
    return replace(condition, features=found)


def _named(session: Session, name: str, saes: Sequence[Sae]) -> list[int]:
    try:
        feature_id = row_ids_of(session, [name])[name]
    except InvalidInputError as error:
        raise InvalidInputError(f"{name[:100]!r} names no feature; write {FORM}.") from error
    if feature_id >> FEATURE_BITS not in {sae.id for sae in saes}:
        raise InvalidInputError(
            f"The feature {name} is of a layer or release that this scan does not read; scan "
            "its layer too, or leave the condition out."
        )
    return [feature_id]


def _labelled(session: Session, text: str, saes: Sequence[Sae]) -> list[int]:
    found = session.scalars(
        select(Label.feature_id)
        .where(
            Label.sae_id.in_([sae.id for sae in saes]),
            Label.current,
            Label.sense_id.is_(None),
            func.lower(Label.text) == func.lower(text),
        )
        .order_by(Label.feature_id)
    ).all()
    if not found:
        raise NotFoundError(
            f"No feature of the scanned layers is labelled {text!r}; `scopebook search` finds "
            "labels by words and meaning."
        )
    return _bounded(f"the label {text!r}", found)


def resolve_list(
    session: Session, name: str, saes: Sequence[Sae], actor: Actor | None
) -> CoverageList:
    """Return the features of a list that are of these layers; `actor` None sees all lists."""
    wanted = select(FeatureList.id).where(FeatureList.name == name)
    if actor is not None:
        wanted = wanted.where(seen_by(actor))
    ids = session.scalars(wanted.order_by(FeatureList.id)).all()
    if len(ids) != 1:
        raise NotFoundError(
            f"There is no list {name!r} that you may see; the Lists page shows those there are."
            if not ids
            else f"There are {len(ids)} lists named {name!r}; give the one you mean another name."
        )
    of_saes = (FeatureListItem.feature_id // 2**FEATURE_BITS).in_([sae.id for sae in saes])
    found = session.scalars(
        select(FeatureListItem.feature_id)
        .where(FeatureListItem.list_id == ids[0], of_saes)
        .order_by(FeatureListItem.place, FeatureListItem.feature_id)
    ).all()
    if not found:
        raise InvalidInputError(
            f"The list {name!r} has no feature of the scanned layers; add some, or scan others."
        )
    return CoverageList(name=name, features=_bounded(f"the list {name!r}", found))


def _bounded(what: str, found: Sequence[int]) -> list[int]:
    if len(found) > MOST_WATCHED:
        raise InvalidInputError(
            f"{what} means {len(found):,} features; at most {MOST_WATCHED:,} can be looked for."
        )
    return cast("list[int]", list(found))
