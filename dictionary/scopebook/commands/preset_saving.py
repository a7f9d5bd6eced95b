"""`scopebook preset create` and `save`: features, what is done to them, and tests."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text
from sqlalchemy.orm import Session

from scopebook.accounts import Actor, local_actor
from scopebook.commands.interventions import (
    Add,
    MinSet,
    Mute,
    OfUnit,
    Project,
    Scale,
    Set,
    finite,
    interventions,
)
from scopebook.commands.preset_names import AsJson, preset_alone, tell_saved
from scopebook.commands.waiting import wait_for
from scopebook.console import dictionary, err, print_json
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.errors import InvalidInputError
from scopebook.inference_requests import GoingOn, Prompt
from scopebook.preset_documents import draft_of
from scopebook.preset_drafts import DraftIntervention, Group, PresetDraft, check_draft
from scopebook.preset_reading import read_tests
from scopebook.preset_tests import PresetTest
from scopebook.preset_views import AUDIENCES, PresetView, read_version
from scopebook.presets import create_preset, save_version
from scopebook.search_filters import chosen
from scopebook.steering import PROMPT_POSITIONS, Op, Positions, SteerRequest, ask_steering

_InGroup = Annotated[
    str | None,
    typer.Option("--group", help="NAME or NAME=STRENGTH: all these features are one concept."),
]
_Tests = Annotated[
    Path | None, typer.Option("--tests", help="A JSON file with a list of tests; see docs.")
]
_Why = Annotated[str, typer.Option(help="Why this version is made.")]
_Prompt = Annotated[
    str, typer.Option(help="Which tokens of the prompt are steered: all, last or none.")
]
_Written = Annotated[bool, typer.Option(help="Steer what is written, too.")]


def create(
    name: Annotated[str, typer.Argument(help="What it is called.")],
    mute: Mute = None,
    add: Add = None,
    set_: Set = None,
    min_set: MinSet = None,
    scale: Scale = None,
    project: Project = None,
    unit: OfUnit = "max_act",
    group: _InGroup = None,
    prompt: _Prompt = "all",
    written: _Written = True,
    tests: _Tests = None,
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    visible_to: Annotated[
        str, typer.Option(help=f"The least role that sees it: {', '.join(AUDIENCES)}.")
    ] = "viewer",
    note: _Why = "",
    as_json: AsJson = False,
) -> None:
    """Save what is to be done to features as a preset."""
    given: dict[Op, list[str] | None] = {"add": add, "set": set_, "min_set": min_set}
    given |= {"scale": scale, "project": project}
    [audience] = chosen("--visible-to", [visible_to], AUDIENCES)
    draft = _draft(mute, given, unit, group, Positions(prompt=_positions(prompt), written=written))
    draft = replace(draft, tests=_read_tests(tests) or ())
    with dictionary(work=_needs_norms(draft)) as factory:
        _measure_norms(factory, draft)
        with unit_of_work(factory) as session:
            made = create_preset(
                session,
                local_actor(session),
                name,
                draft,
                description=description,
                visible_to=audience,
                note=note,
            )
    _tell(made, as_json=as_json)


def save(
    name: Annotated[str, typer.Argument(help="A preset's name.")],
    mute: Mute = None,
    add: Add = None,
    set_: Set = None,
    min_set: MinSet = None,
    scale: Scale = None,
    project: Project = None,
    unit: OfUnit = "max_act",
    group: _InGroup = None,
    prompt: Annotated[str | None, typer.Option(help="As with `create`; else as before.")] = None,
    written: Annotated[bool | None, typer.Option(help="The same.")] = None,
    tests: _Tests = None,
    note: _Why = "",
    as_json: AsJson = False,
) -> None:
    """Add a version to a preset: what is given here stands for what the newest one does.

    Without features these stay, as tests and positions do that are not given.
    """
    given: dict[Op, list[str] | None] = {"add": add, "set": set_, "min_set": min_set}
    given |= {"scale": scale, "project": project}
    with dictionary(work=True) as factory:
        with unit_of_work(factory) as session:
            actor = local_actor(session)
            preset = preset_alone(session, actor, name)
            before = _newest(session, actor, preset)
        where = Positions(
            prompt=before.positions.prompt if prompt is None else _positions(prompt),
            written=before.positions.written if written is None else written,
            special=before.positions.special,
        )
        has_features = bool(mute) or any(given.values())
        draft = _draft(mute, given, unit, group, where) if has_features else before
        read = _read_tests(tests)
        draft = replace(draft, positions=where, tests=before.tests if read is None else read)
        _measure_norms(factory, draft)
        with unit_of_work(factory) as session:
            actor = local_actor(session)
            saved = save_version(session, actor, preset.id, preset.revision, draft, note)
    _tell(saved, as_json=as_json)


def _newest(session: Session, actor: Actor, preset: PresetView) -> PresetDraft:
    document = read_version(session, actor, preset.id, preset.version).document
    assert document is not None
    return draft_of(document)


def _positions(given: str) -> Any:
    [found] = chosen("--prompt", [given], PROMPT_POSITIONS)
    return found


def _draft(
    mute: list[str] | None,
    given: dict[Op, list[str] | None],
    unit: str,
    group: str | None,
    positions: Positions,
) -> PresetDraft:
    groups = [] if group is None else [_group(group)]
    of = groups[0].name if groups else None
    return PresetDraft(
        interventions=[
            DraftIntervention(intervention=one, group=of)
            for one in interventions(mute, given, unit)
        ],
        groups=groups,
        positions=positions,
    )


def _group(given: str) -> Group:
    name, separator, strength = given.rpartition("=")
    if not separator:
        return Group(name=given)
    number = finite(strength)
    if number is None:
        raise InvalidInputError(f"--group {given!r} has no number as its strength; give NAME=0.8.")
    return Group(name=name, strength=number)


def _read_tests(file: Path | None) -> list[PresetTest] | None:
    """Return the tests of a file; None where none is named."""
    if file is None:
        return None
    try:
        given = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidInputError(
            f"{file} is no JSON file that can be read ({type(error).__name__}); give a list of "
            "tests."
        ) from error
    return read_tests(given, str(file))


def _needs_norms(draft: PresetDraft) -> bool:
    """Tell whether strengths are shares of a residual's norm, which only a model can tell."""
    return any(one.intervention.unit == "resid_norm" for one in draft.interventions)


def _measure_norms(factory: Sessions, draft: PresetDraft) -> None:
    """Let the model be steered once, by which the residual's norms are measured and kept."""
    check_draft(draft)
    if not _needs_norms(draft):
        return
    wanted = SteerRequest(
        interventions=draft.enabled(),
        prompt=Prompt(text="The"),
        going_on=GoingOn(tokens=1),
    )
    with unit_of_work(factory) as session:
        asked = ask_steering(session, local_actor(session), wanted)
    wait_for(factory, asked)


def _tell(preset: PresetView, *, as_json: bool) -> None:
    if as_json:
        print_json(preset)
    else:
        tell_saved(preset)
    if preset.visible_to != "viewer":
        err.print(Text(f"Who sees it: {preset.visible_to}."))
