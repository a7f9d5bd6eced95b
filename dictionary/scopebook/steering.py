"""What may be done to features while a model runs: operations, strengths and their units."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, get_args

from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.accounts import Actor
from scopebook.corpus_statistics import statistics_of
from scopebook.db.tables import FEATURE_BITS, Release, Sae
from scopebook.errors import InvalidInputError
from scopebook.feature_names import row_ids_of
from scopebook.inference_requests import GoingOn, Place, Prompt, check_going_on, find_place, queue

#: add: its direction, v times. set: it fires with v. min_set: with v at least. ablate: it does not
#: fire. scale: with v times itself. project: v of the residual's part along its direction stays.
Op = Literal["add", "set", "min_set", "ablate", "scale", "project"]
OPS: Final[tuple[Op, ...]] = get_args(Op)
#: Those whose value is an activation, which has a unit.
MEASURED: Final = frozenset[Op]({"add", "set", "min_set"})
#: Those that must know whether a feature fires.
ENCODED: Final = frozenset[Op]({"set", "min_set", "ablate", "scale"})
#: raw: an activation. max_act: times the feature's largest on the corpus. resid_norm: times the
#: mean norm of the residual there, over that of the feature's direction.
Unit = Literal["raw", "max_act", "resid_norm"]
UNITS: Final[tuple[Unit, ...]] = get_args(Unit)

#: Features that are steered at once.
MOST_FEATURES: Final = 100
#: A value or a strength, by its amount.
LARGEST: Final = 1_000_000
#: Strengths of a sweep, which are rows of one batch.
MOST_STRENGTHS: Final = 16


@dataclass(frozen=True, kw_only=True)
class Intervention:
    """What is to be done to a feature."""

    #: `{model}/{layer}-{set}/{index}`.
    feature: str
    op: Op = "add"
    #: None where the operation takes none.
    value: float | None = None
    unit: Unit = "max_act"
    #: What the change is multiplied by: that of its group.
    strength: float = 1.0


PromptPosition = Literal["all", "last", "none"]
PROMPT_POSITIONS: Final[tuple[PromptPosition, ...]] = get_args(PromptPosition)


@dataclass(frozen=True, kw_only=True)
class Positions:
    """Which tokens are steered. The last of the prompt decides what is written first."""

    prompt: PromptPosition = "all"
    written: bool = True
    #: Tokens that stand for no text too, as those of a chat's template.
    special: bool = True


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """An intervention as a worker takes it."""

    feature: str
    layer: int
    index: int
    op: Op
    #: An activation, or a factor; where `of_norm`, a share of the mean norm of the residual.
    value: float
    of_norm: bool
    strength: float = 1.0


@dataclass(frozen=True, kw_only=True)
class SteerRequest:
    """A text that the model goes on with unsteered and steered."""

    interventions: Sequence[Intervention]
    prompt: Prompt
    going_on: GoingOn
    positions: Positions = Positions()
    #: What all changes are multiplied by, a variant for each: 0 does nothing.
    strengths: Sequence[float] = (1.0,)
    #: A prompt that asks for the same in words, written unsteered beside the others.
    asked_for: Prompt | None = None


def ask_steering(session: Session, actor: Actor, wanted: SteerRequest) -> int:
    """Queue a text to be steered; return the request's number."""
    check_going_on(wanted.going_on)
    goes_on = wanted.positions.written and wanted.going_on.tokens > 1
    if wanted.positions.prompt == "none" and not goes_on:
        raise InvalidInputError(
            "No token is to be steered: none of the prompt, whose last decides what is written "
            "first, and none that follows; choose some."
        )
    _check_strengths(wanted.strengths)
    release, resolved = resolve(session, wanted.interventions)
    layers = sorted({one.layer for one in resolved})
    find_place(session, Place(model=release.name, layers=layers))
    prompts = [wanted.prompt.parameters("The text")]
    if wanted.asked_for is not None:
        prompts.append(wanted.asked_for.parameters("The text that asks for it"))
    parameters = {
        "prompts": prompts,
        "layers": layers,
        "continue": asdict(wanted.going_on),
        "interventions": [asdict(one) for one in resolved],
        "positions": asdict(wanted.positions),
        "strengths": list(wanted.strengths),
    }
    return queue(session, actor, release, "steer", parameters)


def resolve(
    session: Session, interventions: Sequence[Intervention], *, check_projections: bool = True
) -> tuple[Release, list[Resolved]]:
    """Return the release of the features, and the interventions with absolute values, in order.

    Projections are not held against each other where they are not done together.

    Raises InvalidInputError for one that is not possible, and for features of several releases.
    """
    if not 1 <= len(interventions) <= MOST_FEATURES:
        raise InvalidInputError(
            f"{len(interventions)} features are to be steered; name 1 to {MOST_FEATURES}."
        )
    for one in interventions:
        check_intervention(one)
    ids = row_ids_of(session, [one.feature for one in interventions])
    seen: set[int] = set()
    for one in interventions:
        if ids[one.feature] in seen:
            raise InvalidInputError(
                f"{one.feature} is named twice; say once what is to be done to it."
            )
        seen.add(ids[one.feature])
    saes = _saes_of(session, ids)
    resolved = [_resolved(session, one, ids[one.feature], saes) for one in interventions]
    if check_projections:
        _check_projections(resolved)
    [release_id] = {sae.release_id for sae in saes.values()}
    return session.get_one(Release, release_id), resolved


def check_intervention(one: Intervention) -> None:
    """Refuse a value that the operation does not take, or that is no number."""
    if not abs(one.strength) <= LARGEST:
        raise InvalidInputError(
            f"{one.feature} has the strength {one.strength:g}; give a number between "
            f"-{LARGEST:,} and {LARGEST:,}."
        )
    if one.op == "ablate":
        if one.value is not None:
            raise InvalidInputError(
                f"ablate takes no value, and {one.feature} has {one.value:g}; leave it out, or "
                "use set or scale."
            )
        return
    if one.value is None:
        raise InvalidInputError(f"{one.op} of {one.feature} needs a value; give a number.")
    if not abs(one.value) <= LARGEST:
        raise InvalidInputError(
            f"{one.op} of {one.feature} has the value {one.value:g}; give a number between "
            f"-{LARGEST:,} and {LARGEST:,}."
        )


def _check_projections(resolved: Sequence[Resolved]) -> None:
    """Hold that projections of a layer, which are one of a space, share their value."""
    values: dict[int, float] = {}
    for one in resolved:
        left = 1 + (one.value - 1) * one.strength
        if one.op == "project" and values.setdefault(one.layer, left) != left:
            raise InvalidInputError(
                f"Projections of layer {one.layer} leave {values[one.layer]:g} and {left:g}, "
                "but they are one projection of the space of their directions; give one value."
            )


def _saes_of(session: Session, ids: Mapping[str, int]) -> dict[int, Sae]:
    numbers = {row_id >> FEATURE_BITS for row_id in ids.values()}
    saes = {sae.id: sae for sae in session.scalars(select(Sae).where(Sae.id.in_(numbers)))}
    if len({sae.release_id for sae in saes.values()}) > 1:
        raise InvalidInputError(
            "These features belong to several releases, and one is loaded at a time; steer those "
            "of one release."
        )
    return saes


def _resolved(
    session: Session, one: Intervention, row_id: int, saes: Mapping[int, Sae]
) -> Resolved:
    sae = saes[row_id >> FEATURE_BITS]
    index = row_id - (sae.id << FEATURE_BITS)
    value = one.value or 0.0
    of_norm = one.op in MEASURED and one.unit == "resid_norm"
    if one.op in MEASURED and one.unit == "max_act":
        largest = float(statistics_of(session, sae).max[index])
        if not largest > 0:
            raise InvalidInputError(
                f"{one.feature} fired nowhere in what was collected, so its largest activation is "
                "not known; give the value in raw or resid_norm."
            )
        value *= largest
    return Resolved(
        feature=one.feature,
        layer=sae.layer,
        index=index,
        op=one.op,
        value=value,
        of_norm=of_norm,
        strength=one.strength,
    )


def _check_strengths(strengths: Sequence[float]) -> None:
    are_numbers = all(abs(one) <= LARGEST for one in strengths)
    if not 1 <= len(strengths) <= MOST_STRENGTHS or not are_numbers:
        raise InvalidInputError(
            f"The strengths are {', '.join(f'{one:g}' for one in strengths) or 'none'}; give 1 to "
            f"{MOST_STRENGTHS} numbers between -{LARGEST:,} and {LARGEST:,}."
        )


def read_resolved(parameters: Mapping[str, Any]) -> list[Resolved]:
    """Return the interventions of a request, as they are kept."""
    return [Resolved(**one) for one in parameters["interventions"]]
