"""`scopebook preset`: save what is done to features, and look at its versions."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from scopebook.accounts import local_actor
from scopebook.commands import preset_runs, preset_saving
from scopebook.commands.preset_names import AsJson, Name, preset_alone, preset_named, tell_saved
from scopebook.commands.preset_vectors import take_vectors
from scopebook.commands.waiting import short_name
from scopebook.console import dictionary, err, out, print_json, print_table, table
from scopebook.db.preset_tables import Preset
from scopebook.db.sessions import unit_of_work
from scopebook.db.tables import Release
from scopebook.errors import InvalidInputError
from scopebook.preset_diffs import changes_between, said_of
from scopebook.preset_documents import warnings_of
from scopebook.preset_exports import document_of
from scopebook.preset_imports import import_document
from scopebook.preset_tests import read_test
from scopebook.preset_views import AUDIENCES, Status, list_presets, list_versions
from scopebook.presets import change_preset, decide, fork_preset
from scopebook.registration import VECTOR_ENDING
from scopebook.search_filters import chosen

presets = typer.Typer(help="Keep what is done to features, and take it to other tools.")
presets.command("create")(preset_saving.create)
presets.command("save")(preset_saving.save)
presets.command("test")(preset_runs.run_tests)
presets.command("prune")(preset_runs.prune)
presets.command("targets")(preset_runs.targets)
presets.command("export")(preset_runs.export)


@presets.command("list")
def list_all(
    release: Annotated[str | None, typer.Option(help="Only those for it.")] = None,
    archived: Annotated[bool, typer.Option("--archived", help="Those that were put away.")] = False,
    as_json: AsJson = False,
) -> None:
    """List presets, newest first."""
    with dictionary() as factory, unit_of_work(factory) as session:
        found, _ = list_presets(
            session, local_actor(session), release=release, archived=archived, limit=10_000
        )
    if as_json:
        print_json({"items": found, "next": None})
        return
    shown = table("preset", "version", "features", "status", "release", "by", whole=("preset",))
    for one in found:
        version = f"{one.version}" + (f" (approved {one.approved})" if one.approved else "")
        name, owner = Text(one.name), Text(one.owner)
        shown.add_row(name, version, str(one.features), one.status, Text(one.release), owner)
    print_table(shown)


@presets.command("show")
def show(name: Name, as_json: AsJson = False) -> None:
    """Show a version of a preset; with --json its preset.json."""
    with dictionary() as factory, unit_of_work(factory) as session:
        actor = local_actor(session)
        preset, number = preset_named(session, actor, name)
        document = document_of(session, actor, preset.id, number)
        release = session.get_one(Release, session.get_one(Preset, preset.id).release_id)
        warnings = warnings_of(session, document, release)
        versions = list_versions(session, actor, preset.id)
    if as_json:
        print_json(document)
    else:
        _print(document)
        decided = {one.number: one for one in versions}[number]
        out.print(Text(f"Version {number} of {preset.version}, {decided.status}, by "), end="")
        out.print(Text(f"{decided.author}. {decided.note}"))
    for warning in warnings:
        err.print(Text(f"Warning: {warning}", style="yellow"), soft_wrap=True)


def _print(document: dict[str, Any]) -> None:
    out.print(Text(document["name"], style="bold"))
    if document["description"]:
        out.print(Text(document["description"]))
    shown = table("feature", "label", "what is done", whole=("feature",))
    for one in document["interventions"]:
        shown.add_row(Text(short_name(one["id"])), Text(one["label"] or ""), Text(said_of(one)))
    print_table(shown)
    for group in document["groups"]:
        out.print(Text(f"Group {group['name']}: changes × {group['strength']:g}"))
    for test in map(read_test, document["tests"]):
        out.print(Text(f"Test {test.name}: {test.sentence}"))
    if document["notice"]["caution"]:
        err.print(Text(document["notice"]["caution"], style="dim"), soft_wrap=True)


@presets.command("diff")
def diff(
    name: Annotated[str, typer.Argument(help="A preset's name.")],
    before: Annotated[int, typer.Argument(min=1, help="A version.")],
    after: Annotated[int, typer.Argument(min=1, help="Another one.")],
    as_json: AsJson = False,
) -> None:
    """Say what two versions of a preset do differently."""
    with dictionary() as factory, unit_of_work(factory) as session:
        actor = local_actor(session)
        preset = preset_alone(session, actor, name)
        old, new = (document_of(session, actor, preset.id, one) for one in (before, after))
    changes = changes_between(old, new)
    if as_json:
        print_json({"before": before, "after": after, "changes": changes})
        return
    shown = table("what", f"version {before}", f"version {after}")
    for one in changes:
        shown.add_row(*(Text(text or "") for text in (one.what, one.before, one.after)))
    print_table(shown)


@presets.command("approve")
def approve(
    name: Name,
    note: Annotated[str, typer.Option(help="Why.")] = "",
    take_back: Annotated[bool, typer.Option("--take-back", help="It is a draft again.")] = False,
) -> None:
    """Approve a version of a preset, or take that back."""
    with dictionary() as factory, unit_of_work(factory) as session:
        actor = local_actor(session)
        preset, number = preset_named(session, actor, name)
        status: Status = "draft" if take_back else "approved"
        decide(session, actor, preset.id, preset.revision, number, status, note)
    err.print(Text(f"{preset.name} @ {number} is {status} now."))


@presets.command("fork")
def fork(name: Name, new_name: Annotated[str, typer.Argument(help="What it is called.")]) -> None:
    """Make a preset of one's own from a version."""
    with dictionary() as factory, unit_of_work(factory) as session:
        actor = local_actor(session)
        preset, number = preset_named(session, actor, name)
        made = fork_preset(session, actor, preset.id, number, new_name)
    tell_saved(made)


@presets.command("change")
def change(
    name: Annotated[str, typer.Argument(help="A preset's name.")],
    new_name: Annotated[str | None, typer.Option("--name", help="What it is called now.")] = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    visible_to: Annotated[
        str | None, typer.Option(help=f"The least role that sees it: {', '.join(AUDIENCES)}.")
    ] = None,
    archived: Annotated[
        bool | None, typer.Option("--archive/--unarchive", help="Put it away, or back.")
    ] = None,
) -> None:
    """Change what a preset says of itself; its versions stay what they are."""
    audience = None if visible_to is None else chosen("--visible-to", [visible_to], AUDIENCES)[0]
    given = {
        "name": new_name,
        "description": description,
        "visible_to": audience,
        "archived": archived,
    }
    changes = {key: value for key, value in given.items() if value is not None}
    with dictionary() as factory, unit_of_work(factory) as session:
        actor = local_actor(session)
        preset = preset_alone(session, actor, name)
        changed = change_preset(session, actor, preset.id, preset.revision, changes)
    tell_saved(changed)


@presets.command("import")
def take_in(
    file: Annotated[
        Path, typer.Argument(help="A preset.json, Neuronpedia's JSON of steering, or a .gguf.")
    ],
    name: Annotated[str | None, typer.Option(help="Instead of its own name.")] = None,
    model: Annotated[
        str | None, typer.Option(help="For a control vector, a .gguf file: which model it steers.")
    ] = None,
) -> None:
    """Make a preset of a preset.json, for the very SAEs that it names, or of Neuronpedia's JSON."""
    if file.suffix == VECTOR_ENDING:
        tell_saved(take_vectors(file, model=model, name=name))
        return
    document = read_json(file)
    with dictionary() as factory, unit_of_work(factory) as session:
        made = import_document(session, local_actor(session), document, name=name)
    tell_saved(made)


def read_json(file: Path) -> dict[str, Any]:
    """Return the JSON object of a file; refuse what is none."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidInputError(
            f"{file} is no JSON file that can be read ({type(error).__name__}); give a preset.json."
        ) from error
    if not isinstance(found, dict):
        raise InvalidInputError(f"{file} holds no JSON object; give a preset.json.")
    return found
