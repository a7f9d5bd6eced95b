"""Which features a search or a list is confined to."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, TypeVar, get_args

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import Session

from scopebook.db.entry_tables import FeatureEntry
from scopebook.db.review_tables import FeatureTag, Tag
from scopebook.errors import InvalidInputError
from scopebook.releases import sae_ids

#: How far a feature's label is: more people accept it than reject it, it has one, has none, or a
#: language model's attempt has ended so.
State = Literal["accepted", "labelled", "unlabelled", "suspect", "abstained", "refused", "failed"]
STATES: Final[tuple[State, ...]] = get_args(State)
Source = Literal["keywords", "llm", "person", "import"]
SOURCES: Final[tuple[Source, ...]] = get_args(Source)

#: Filters that say where a feature is.
_OF_PLACE: Final = ("release", "layers", "saes")

_Value = TypeVar("_Value", bound=str)


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Conditions that all have to hold; of several values in one, any; none named means all."""

    release: str | None = None
    layers: tuple[int, ...] | None = None
    #: SAEs by row id, in place of a release and its layers.
    saes: tuple[int, ...] | None = None
    #: Shares of tokens, and values of scores, both ends included; what has none is left out.
    density_min: float | None = None
    density_max: float | None = None
    score_min: float | None = None
    score_max: float | None = None
    scorers: tuple[str, ...] = ()
    states: tuple[State, ...] = ()
    sources: tuple[Source, ...] = ()
    authors: tuple[str, ...] = ()
    scripts: tuple[str, ...] = ()
    #: All of these, and none of those.
    flags: tuple[str, ...] = ()
    without_flags: tuple[str, ...] = ()
    #: Any of these words of the team's vocabulary.
    tags: tuple[str, ...] = ()
    reviewed: bool | None = None

    def __post_init__(self) -> None:
        for name, low, high in (
            ("density", self.density_min, self.density_max),
            ("score", self.score_min, self.score_max),
        ):
            if low is not None and high is not None and low > high:
                raise InvalidInputError(
                    f"No {name} is at least {low:g} and at most {high:g}; "
                    f"give the smaller one as the least {name}."
                )

    @property
    def by_entry(self) -> bool:
        """Whether anything is asked beyond where a feature is."""
        return any(
            getattr(self, field.name) not in (None, ())
            for field in fields(self)
            if field.name not in _OF_PLACE
        )

    @property
    def is_narrow(self) -> bool:
        """Whether anything is asked at all."""
        return self.by_entry or any(getattr(self, name) is not None for name in _OF_PLACE)


def entry_conditions(filters: Filters) -> list[ColumnElement[bool]]:
    """Return what the filters ask of an entry, but for its SAE."""
    entry: Any = FeatureEntry
    asked: list[ColumnElement[bool] | None] = [
        _between(entry.density, filters.density_min, filters.density_max),
        _between(entry.score, filters.score_min, filters.score_max),
        _among(entry.scorer, filters.scorers),
        _among(entry.state, filters.states),
        _among(entry.source, filters.sources),
        _among(entry.author, filters.authors),
        _among(entry.script, filters.scripts),
        entry.flags.contains(list(filters.flags)) if filters.flags else None,
        ~entry.flags.overlap(list(filters.without_flags)) if filters.without_flags else None,
        entry.feature_id.in_(tagged(filters.tags)) if filters.tags else None,
        _is(entry.reviewed, filters.reviewed),
    ]
    return [condition for condition in asked if condition is not None]


def tagged(names: Sequence[str]) -> Select[int]:
    """Select the features that have any of the tags."""
    return (
        select(FeatureTag.feature_id)
        .join(Tag, Tag.id == FeatureTag.tag_id)
        .where(Tag.name.in_([name.strip().lower() for name in names]))
    )


def _between(column: Any, low: float | None, high: float | None) -> ColumnElement[bool] | None:
    if low is None and high is None:
        return None
    if low is None:
        return column <= high  # type: ignore[no-any-return]
    if high is None:
        return column >= low  # type: ignore[no-any-return]
    return column.between(low, high)  # type: ignore[no-any-return]


def _among(column: Any, wanted: Sequence[str]) -> ColumnElement[bool] | None:
    return column.in_(list(wanted)) if wanted else None


def _is(column: Any, wanted: bool | None) -> ColumnElement[bool] | None:
    if wanted is None:
        return None
    return column if wanted else ~column  # type: ignore[no-any-return]


def place_of(session: Session, filters: Filters) -> list[int] | None:
    """Return the SAEs that the filters are confined to, or None for all of this instance."""
    if filters.saes is not None:
        return list(filters.saes)
    if filters.release is None and filters.layers is None:
        return None
    return sae_ids(session, release=filters.release, layers=filters.layers)


def chosen(option: str, given: Sequence[str] | None, known: Sequence[_Value]) -> tuple[_Value, ...]:
    """Return what an option names, or say which values it knows."""
    for value in given or ():
        if value not in known:
            raise InvalidInputError(
                f"{option} {value!r} is not known; give one of {', '.join(known)}."
            )
    return tuple(one for one in known if one in (given or ()))


def range_of(option: str, given: str | None) -> tuple[float | None, float | None]:
    """Return the ends of a range such as `0.1..0.5`, `..0.5` or `0.1..`; None: no end."""
    if given is None:
        return None, None
    try:
        low, high = (float(end) if end.strip() else None for end in given.split(".."))
    except ValueError as error:
        raise InvalidInputError(
            f"{option} {given!r} is not a range; give its ends, such as 0.1..0.5, 0.1.. or ..0.5."
        ) from error
    return low, high
