"""`scopebook add`: register a release from the hub or a folder."""

from pathlib import Path
from typing import Annotated

import typer

from scopebook.console import dictionary, err, print_json, watch_job
from scopebook.db.sessions import unit_of_work
from scopebook.errors import InvalidInputError
from scopebook.hub import plan_download
from scopebook.registration import request_release
from scopebook.release_names import chosen_layers, no_model_named
from scopebook.releases import find_release, list_releases


def add(
    release: Annotated[
        str, typer.Argument(help="A hub id or a folder, of Qwen-Scope or in SAELens's format.")
    ],
    model: Annotated[
        str | None,
        typer.Option(help="The model to run: a hub id or a folder; if unset, what the SAEs name."),
    ] = None,
    layers: Annotated[str | None, typer.Option(help="E.g. 11,12 or 20-23; all if unset.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it takes; download nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Fetch, check and register a release of SAEs."""
    chosen = chosen_layers(layers)
    release, model = _absolute(release), _absolute(model) if model else None
    plan = plan_download(release, chosen)
    if dry_run:
        if as_json:
            print_json(plan)
        else:
            err.print(str(plan), markup=False, highlight=False)
        return
    err.print(str(plan), markup=False, highlight=False)
    if model is None and plan.base_model is None:
        raise InvalidInputError(no_model_named(plan.release))
    with dictionary(work=True) as factory:
        with unit_of_work(factory) as session:
            job_id = request_release(session, release, model=model, layers=chosen).id
        watch_job(factory, job_id)
        # A folder is registered under its own name, a repository under its whole id.
        name = Path(plan.release).name if Path(plan.release).is_absolute() else plan.release
        with unit_of_work(factory) as session:
            name = find_release(session, name).name
            report = next(item for item in list_releases(session) if item.name == name)
    if as_json:
        print_json(report)
    else:
        layers_here = ", ".join(str(sae.layer) for sae in report.saes)
        err.print(
            f"{report.name} is registered with layers {layers_here}; collect it with "
            f"`scopebook collect {report.name} CORPUS`.",
            markup=False,
            highlight=False,
        )


def _absolute(source: str) -> str:
    """Return a folder's full path, which also a worker in another folder finds; a hub id as is."""
    path = Path(source).expanduser()
    return str(path.resolve()) if path.exists() else source
