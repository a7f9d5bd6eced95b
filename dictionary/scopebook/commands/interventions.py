"""How commands are told what is to be done to which features."""

import math
from typing import Annotated, Final

import typer

from scopebook.errors import InvalidInputError
from scopebook.search_filters import chosen
from scopebook.steering import UNITS, Intervention, Op, Unit

_NAMED: Final = "FEATURE=VALUE, repeated for more."
Several = list[str] | None
Mute = Annotated[Several, typer.Option(help="A feature that must not fire.")]
Add = Annotated[Several, typer.Option(help=f"Add its direction: {_NAMED}")]
Set = Annotated[Several, typer.Option("--set", help=f"Let it fire with a value: {_NAMED}")]
MinSet = Annotated[Several, typer.Option(help=f"Let it fire with a value at least: {_NAMED}")]
Scale = Annotated[Several, typer.Option(help=f"Multiply what it fires with: {_NAMED}")]
Project = Annotated[
    Several, typer.Option(help=f"Leave so much of the residual along its direction: {_NAMED}")
]
OfUnit = Annotated[str, typer.Option(help=f"Of --add, --set, --min-set: {', '.join(UNITS)}.")]


def interventions(mute: Several, given: dict[Op, Several], unit: str) -> list[Intervention]:
    """Return what the options say, features to be muted first."""
    [of_unit] = chosen("--unit", [unit], UNITS)
    muted = [Intervention(feature=name, op="ablate") for name in mute or ()]
    others = [_intervention(op, one, of_unit) for op, texts in given.items() for one in texts or ()]
    return muted + others


def _intervention(op: Op, given: str, unit: Unit) -> Intervention:
    name, separator, value = given.rpartition("=")
    number = finite(value)
    if not separator or number is None:
        raise InvalidInputError(
            f"{given!r} is no FEATURE=VALUE; give a feature's id and a number, such as "
            "MODEL/LAYER-SET/INDEX=-0.8."
        )
    return Intervention(feature=name, op=op, value=number, unit=unit)


def finite(given: str) -> float | None:
    """Return a number that was typed; None: it is none, or not finite."""
    try:
        number = float(given)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
