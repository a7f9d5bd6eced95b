"""`scopebook preset test`, `prune`, `targets` and `export`: what a worker does with a version."""

import json
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from rich.text import Text
from sqlalchemy import select

from scopebook.accounts import local_actor
from scopebook.artifacts import open_artifact, remedy_of
from scopebook.commands.preset_names import AsJson, Name, preset_named
from scopebook.commands.waiting import short_name
from scopebook.console import (
    dictionary,
    err,
    leaving,
    out,
    print_json,
    print_table,
    table,
    watch_job,
)
from scopebook.db.preset_tables import PresetExport, PresetReport
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.errors import InvalidInputError, UnavailableError
from scopebook.preset_exports import (
    TargetView,
    document_of,
    request_exports,
    request_pruning,
    request_tests,
    targets_of,
)


def run_tests(name: Name, as_json: AsJson = False) -> None:
    """Run the tests of a version; exit 1 if one does not hold."""
    with dictionary(work=True) as factory:
        with unit_of_work(factory) as session:
            actor = local_actor(session)
            preset, number = preset_named(session, actor, name)
            job_id = request_tests(session, actor, preset.id, number).id
        found = _report(factory, job_id)
    if as_json:
        print_json({"preset": preset.name, "version": number, **found})
    else:
        _print_tests(found["tests"])
    if not all(one["holds"] for one in found["tests"]):
        raise typer.Exit(1)


def _print_tests(tests: Sequence[dict[str, Any]]) -> None:
    shown = table("test", "expected", "unsteered", "steered", "")
    for one in tests:
        verdict = Text("holds", style="green") if one["holds"] else Text("fails", style="red")
        numbers = (f"{one[key]:.3g}" for key in ("unsteered", "steered"))
        shown.add_row(Text(one["name"]), Text(one["sentence"]), *numbers, verdict)
    print_table(shown)
    for one in tests:
        for texts in one["texts"][:1]:
            out.print(Text(f"{one['name']}: {texts['prompt']}", style="bold"))
            out.print(Text(f"  unsteered: {texts['unsteered']}"))
            out.print(Text(f"  steered:   {texts['steered']}"))


def prune(
    name: Name,
    of_test: Annotated[str, typer.Option("--test", help="The test that must go on to hold.")],
    group: Annotated[str | None, typer.Option(help="Whose features; all if unset.")] = None,
    as_json: AsJson = False,
) -> None:
    """Find the smallest part of a group of features that still passes a test."""
    with dictionary(work=True) as factory:
        with unit_of_work(factory) as session:
            actor = local_actor(session)
            preset, number = preset_named(session, actor, name)
            asked = request_pruning(session, actor, preset.id, number, test=of_test, group=group)
            job_id = asked.id
        found = _report(factory, job_id)
    if as_json:
        print_json({"preset": preset.name, "version": number, **found})
        return
    out.print(
        Text(
            f"{found['sentence']}: {found['unsteered']:.3g} unsteered, {found['whole']:.3g} with "
            f"all, {found['pruned']:.3g} with those that are kept."
        ),
        soft_wrap=True,
    )
    shown = table("feature", "alone", "all without it", "", whole=("feature",))
    for one in found["members"]:
        kept = "kept" if one["kept"] else "not needed"
        numbers = (f"{one[key]:.3g}" for key in ("alone", "without"))
        shown.add_row(Text(short_name(one["feature"])), *numbers, kept)
    print_table(shown)


def _report(factory: Sessions, job_id: int) -> dict[str, Any]:
    """Wait for a job and return what it found."""
    with leaving(job_id):
        watch_job(factory, job_id)
    with unit_of_work(factory) as session:
        found = session.scalars(
            select(PresetReport.found).where(PresetReport.job_id == job_id)
        ).one()
    assert isinstance(found, dict)
    return found


def targets(name: Name, as_json: AsJson = False) -> None:
    """List the tools that a version can be exported for, and what stands against the others."""
    with dictionary() as factory, unit_of_work(factory) as session:
        actor = local_actor(session)
        preset, number = preset_named(session, actor, name)
        found = targets_of(document_of(session, actor, preset.id, number))
    if as_json:
        print_json({"items": found, "next": None})
        return
    for one in found:
        _print_target(one)


def _print_target(target: TargetView) -> None:
    out.print(Text(f"{target.name}: {target.title}", style="bold"))
    out.print(Text(f"  {target.good_for}"))
    for reason in target.refusals:
        out.print(Text(f"  Cannot be exported: {reason}", style="red"))
    for loss in target.losses:
        out.print(Text(f"  {loss}", style="dim"))


def export(
    name: Name,
    target: Annotated[
        list[str], typer.Option("--target", help="A tool; `preset targets` names them. Repeat it.")
    ],
    folder: Annotated[
        Path, typer.Option("--out", help="The folder that the files' folders come into.")
    ] = Path(),
    as_json: AsJson = False,
) -> None:
    """Write a version for other tools: a folder each, with what proves that it steers alike."""
    _check_folder(folder)
    with dictionary(work=True) as factory:
        with unit_of_work(factory) as session:
            actor = local_actor(session)
            preset, number = preset_named(session, actor, name)
            job_id = request_exports(session, actor, preset.id, number, target).id
        with leaving(job_id):
            watch_job(factory, job_id)
        written = _take_out(factory, job_id, folder)
    if as_json:
        print_json({"preset": preset.name, "version": number, "exports": written})
        return
    for one in written:
        out.print(Text(one["folder"]), soft_wrap=True)
    err.print("README.md in each says how to load it; `python verify.py` proves that it steers.")


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise InvalidInputError(f"{folder} is a file; name a folder for the exports.")


def _take_out(factory: Sessions, job_id: int, folder: Path) -> list[dict[str, str]]:
    with unit_of_work(factory) as session:
        rows = session.execute(
            select(PresetExport.target, PresetExport.artifact, PresetExport.sha256)
            .where(PresetExport.job_id == job_id)
            .order_by(PresetExport.id)
        ).all()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [
            {
                "target": row.target,
                "folder": str(_unpack(row.artifact, folder)),
                "sha256": row.sha256,
            }
            for row in rows
        ]
    except OSError as error:
        raise UnavailableError(
            f"The export could not be written to {folder} ({error.strerror or error}); "
            f"{remedy_of(error)}, then export again."
        ) from error


def _unpack(artifact: str, folder: Path) -> Path:
    """Write a bundle's folder, whole or not at all; one of its name is replaced if it is one."""
    with (
        TemporaryDirectory(prefix=".scopebook-", dir=folder) as scratch,
        open_artifact(artifact) as file,
        zipfile.ZipFile(file) as packed,
    ):
        packed.extractall(scratch)
        [made] = Path(scratch).iterdir()
        place = folder / made.name
        if place.exists():
            if _preset_in(place) != _preset_in(made):
                raise InvalidInputError(
                    f"{place} is there already and is no export of this preset; move it away, or "
                    "name another folder with --out."
                )
            shutil.rmtree(place)
        made.rename(place)
    return place


def _preset_in(folder: Path) -> str | None:
    """Return the id of the preset that a folder is an export of; None: it is none."""
    try:
        found = json.loads((folder / "preset.json").read_text(encoding="utf-8"))
        return str(found["id"]) if (folder / "MANIFEST.sha256").is_file() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
