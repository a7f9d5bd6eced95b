"""How commands name a preset and its version: `NAME` or `NAME@VERSION`."""

from typing import Annotated, Final

import typer
from rich.text import Text
from sqlalchemy.orm import Session

from scopebook.accounts import Actor
from scopebook.console import err
from scopebook.errors import InvalidInputError, NotFoundError
from scopebook.preset_views import PresetView, find_preset

Name = Annotated[str, typer.Argument(help="A preset's name; NAME@2 is its version 2.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
_LARGEST: Final = 9


def preset_named(session: Session, actor: Actor, given: str) -> tuple[PresetView, int]:
    """Return a preset and the version that is meant; a name may itself hold an @."""
    name, separator, version = given.rpartition("@")
    if not separator or not version.isdecimal() or len(version) > _LARGEST:
        found = find_preset(session, actor, given)
        return found, found.version
    try:
        return find_preset(session, actor, name), int(version)
    except NotFoundError:
        found = find_preset(session, actor, given)
        return found, found.version


def preset_alone(session: Session, actor: Actor, given: str) -> PresetView:
    """Return a preset where a version would mean nothing."""
    found, number = preset_named(session, actor, given)
    if number != found.version:
        raise InvalidInputError(
            f"{given!r} names a version, and this is done to the whole preset; give {found.name!r}."
        )
    return found


def tell_saved(preset: PresetView) -> None:
    """Say what is there now, and what can be done with it."""
    err.print(
        Text(
            f"{preset.name} @ {preset.version} is saved ({preset.features} features, "
            f"{preset.status}); `scopebook preset export` writes it for other tools."
        ),
        soft_wrap=True,
    )
