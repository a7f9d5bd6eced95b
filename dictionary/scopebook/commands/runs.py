"""`scopebook collect` and `scopebook runs`: gather evidence, and choose which run is shown."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table
from sqlalchemy.orm import Session

from scopebook.console import (
    dictionary,
    err,
    leaving,
    print_json,
    print_table,
    table,
    watch_job,
)
from scopebook.db.sessions import unit_of_work
from scopebook.release_names import chosen_layers
from scopebook.run_reports import RunReport, list_runs, use_run
from scopebook.runs import collect_once

#: Runs of a release that are looked through for the one that is shown.
_LOOKED_THROUGH = 1000

runs = typer.Typer(help="List runs; `use` chooses the one whose evidence is shown.")


def collect(
    release: Annotated[str, typer.Argument(help="A registered release.")],
    corpus: Annotated[str, typer.Argument(help="A registered corpus.")],
    layers: Annotated[str | None, typer.Option(help="E.g. 11,12 or 20-23; all if unset.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Stop after so many.")] = None,
    label: Annotated[bool, typer.Option(help="Label by keywords afterwards.")] = True,
    anew: Annotated[
        bool, typer.Option("--anew", help="Read all of it, though the same was collected before.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Collect the contexts that fire each feature, then label by keywords.

    Of a corpus that has grown only the new part is read.
    """
    with dictionary(work=True) as factory:
        with unit_of_work(factory) as session:
            job_id, is_new = collect_once(
                session,
                release,
                corpus,
                chosen_layers(layers),
                max_tokens=max_tokens,
                label=label,
                anew=anew,
            )
        with leaving(job_id):
            report = watch_job(factory, job_id)
        with unit_of_work(factory) as session:
            before = (
                "" if is_new else _nothing_to_do(session, job_id, corpus, chosen_layers(layers))
            )
    if as_json:
        print_json(report)
    elif is_new:
        err.print(f"{report.title}: done.", markup=False)
    else:
        err.print(before, markup=False, highlight=False, soft_wrap=True)


def _nothing_to_do(session: Session, job_id: int, corpus: str, layers: Sequence[int] | None) -> str:
    """Say which run has collected what is asked for, and whether the dictionary shows it."""
    run = next(run for run in list_runs(session, job=job_id)[0] if run.corpus == corpus)
    sentence = (
        f"Nothing to do: run {run.id} (of job {job_id}) has collected {run.release} over {corpus}, "
        "and the corpus holds nothing new; --anew reads it again."
    )
    hidden = sorted(set(run.layers if layers is None else layers) - set(run.shown))
    if hidden:
        others = [
            other.id
            for other in list_runs(session, release=run.release, limit=_LOOKED_THROUGH)[0]
            if set(hidden) & set(other.shown)
        ]
        named = " and ".join(f"run {number}" for number in others) or "no run"
        sentence += (
            f" For layer {_layers(hidden)} the dictionary shows {named}; "
            f"`scopebook runs use {run.id}` shows run {run.id}."
        )
    return sentence


@runs.callback(invoke_without_command=True)
def browse(
    context: typer.Context,
    release: Annotated[str | None, typer.Option(help="Only runs of this release.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List runs, newest first, with the layers for which the dictionary shows them."""
    if context.invoked_subcommand is not None:
        return
    with dictionary() as factory, unit_of_work(factory) as session:
        found, following = list_runs(session, release=release)
    if as_json:
        print_json({"items": found, "next": following})
    else:
        print_table(_table(found))


@runs.command()
def use(
    run_id: Annotated[int, typer.Argument(metavar="ID", help="A run, by its number.")],
    layers: Annotated[str | None, typer.Option(help="E.g. 11,12; all of the run if unset.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Let the dictionary show this run's evidence."""
    with dictionary() as factory, unit_of_work(factory) as session:
        run = use_run(session, run_id, chosen_layers(layers))
    if as_json:
        print_json(run)
    else:
        err.print(
            f"The dictionary shows run {run.id} ({run.corpus}) for layer {_layers(run.shown)} "
            f"of {run.release}.",
            markup=False,
            soft_wrap=True,
        )


def _table(found: list[RunReport]) -> Table:
    listed = table(
        "run",
        "release",
        "corpus",
        "layers",
        "tokens",
        "state",
        "shown for",
        "job",
        whole=("run", "tokens", "state", "job"),
    )
    for run in found:
        listed.add_row(
            str(run.id),
            escape(run.release),
            escape(run.corpus),
            _layers(run.layers),
            "" if run.tokens_seen is None else f"{run.tokens_seen:,}",
            run.state,
            _layers(run.shown) or "-",
            str(run.job_id),
        )
    return listed


def _layers(layers: Sequence[int]) -> str:
    """Return layers as `--layers` takes them, from three in a row as a range: `1, 20-23`."""
    spans: list[list[int]] = []
    for layer in sorted(layers):
        if spans and layer == spans[-1][-1] + 1:
            spans[-1].append(layer)
        else:
            spans.append([layer])
    return ", ".join(
        f"{span[0]}-{span[-1]}" if len(span) > 2 else ", ".join(map(str, span)) for span in spans
    )
