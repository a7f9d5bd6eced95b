"""`scopebook batch`: ask a language model by files, at the price that hosts ask for batches."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.orm import Session

from scopebook.batch_requests import read_batch, told_results, write_batch
from scopebook.commands.labels import ended_lines
from scopebook.console import dictionary, err, leaving, print_json, watch_job
from scopebook.db.sessions import unit_of_work
from scopebook.release_names import chosen_layers
from scopebook.settings import settings

batches = typer.Typer(
    help="Label by batch files: `write` the requests, have them answered, `read` the answers.",
    no_args_is_help=True,
)
Release = Annotated[str, typer.Argument(help="A release that is sorted into senses.")]
Folder = Annotated[Path, typer.Argument(help="A folder of the machine that the workers run on.")]
Model = Annotated[str | None, typer.Option(help="The model's name at the host.")]
Layers = Annotated[str | None, typer.Option(help="E.g. 11,12 or 20-23; all if unset.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@batches.command()
def write(
    release: Release,
    folder: Folder,
    llm: Model = None,
    layers: Layers = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Ask about the first so many features of a layer.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the requests of each layer to FOLDER/layer-N/batch-0001.jsonl and on.

    The format is OpenAI's, which other hosts and `vllm run-batch` read as well.
    """
    asked = partial(
        write_batch,
        release_name=release,
        layers=chosen_layers(layers),
        model=_model(llm),
        folder=folder.absolute(),
        limit=limit,
    )
    _follow(asked, release, as_json=as_json)


@batches.command()
def read(
    release: Release,
    folder: Folder,
    llm: Model = None,
    layers: Layers = None,
    skip_missing: Annotated[
        bool, typer.Option("--skip-missing", help="Go without what has no answer.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read the answers in FOLDER, check them as all labels, and put them in force.

    Every file NAME.jsonl there counts that is not a request file: output and error files, in
    any order.
    """
    asked = partial(
        read_batch,
        release_name=release,
        layers=chosen_layers(layers),
        model=_model(llm),
        folder=folder.absolute(),
        skip_missing=skip_missing,
    )
    _follow(asked, release, as_json=as_json)


def _model(llm: str | None) -> str:
    return llm or settings().llm_model or ""


def _follow(asked: Callable[[Session], int], release: str, *, as_json: bool) -> None:
    """Ask for the job, watch it to its end, and say what came of it."""
    with dictionary(work=True) as factory:
        with unit_of_work(factory) as session:
            job_id = asked(session)
        with leaving(job_id):
            report = watch_job(factory, job_id)
        with factory() as session:
            said = [f"{title}." for title in told_results(session, job_id)]
            said += ended_lines(session, release, job_id)
    if as_json:
        print_json(report)
        return
    for line in said:
        err.print(line, markup=False, highlight=False, soft_wrap=True)
