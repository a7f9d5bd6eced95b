"""`scopebook jobs`: watch, cancel and retry long work."""

import time
from typing import Annotated

import typer
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from scopebook.console import (
    dictionary,
    leaving,
    out,
    print_json,
    print_table,
    read_whole_job,
    table,
    watch_job,
)
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.job_reports import JobReport, list_jobs
from scopebook.progress_lines import line, speed, stage_done, state_word
from scopebook.steps import cancel_job, retry_job

_LOOK_INTERVAL_S = 1.0


jobs = typer.Typer(help="List long work; `show`, `cancel` and `retry` take a job by its number.")
JobId = Annotated[int, typer.Argument(metavar="ID", help="A job, by its number.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@jobs.callback(invoke_without_command=True)
def browse(
    context: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """List long work, newest first."""
    if context.invoked_subcommand is not None:
        return
    with dictionary() as factory:
        if as_json:
            print_json({"items": _read(factory), "next": None})
        elif watch:
            with Live(_table(_read(factory)), console=out) as live:
                while True:
                    time.sleep(_LOOK_INTERVAL_S)
                    live.update(_table(_read(factory)))
        else:
            print_table(_table(_read(factory)))


@jobs.command()
def show(job_id: JobId, as_json: AsJson = False) -> None:
    """Show one job: its stages, its workers, and what failed and why."""
    with dictionary() as factory:
        report = read_whole_job(factory, job_id)
    _print(report, as_json)


@jobs.command()
def cancel(job_id: JobId, as_json: AsJson = False) -> None:
    """Cancel what is queued and stop what runs; what is done stays done."""
    with dictionary() as factory:
        with unit_of_work(factory) as session:
            cancel_job(session, job_id)
        report = read_whole_job(factory, job_id)
    _print(report, as_json)


@jobs.command()
def retry(
    job_id: JobId,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show its progress until it ends; starts workers.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Queue the failed and cancelled steps of a job again."""
    with dictionary(work=watch) as factory:
        with unit_of_work(factory) as session:
            retry_job(session, job_id)
        if watch:
            with leaving(job_id):
                watch_job(factory, job_id)
        report = read_whole_job(factory, job_id)
    _print(report, as_json)


def _print(report: JobReport, as_json: bool) -> None:
    """Print one job as a person reads it, or as JSON."""
    if as_json:
        print_json(report)
        return
    lines = [line(report)]
    for part in report.stages:
        states = ", ".join(
            f"{count} {state_word(report, part, state)}" for state, count in part.states.items()
        )
        lines.append(f"  {part.title}: {states}")
    for worker in report.workers:
        does = worker.title + (f": {worker.detail}" if worker.detail else "")
        lines.append(f"  {worker.name}: {does}{'' if worker.alive else ' (no sign of life)'}")
    for step in report.steps:
        if step.error:
            lines.append(f"  {step.title}, attempt {step.attempt}: {step.error}")
    out.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def _read(factory: Sessions) -> list[JobReport]:
    with unit_of_work(factory) as session:
        return list_jobs(session)[0]


def _table(reports: list[JobReport]) -> Table:
    listed = table("job", "what", "state", "done", "speed", "at the moment", whole=("job", "state"))
    for report in reports:
        listed.add_row(
            str(report.id),
            escape(report.title),
            report.state,
            stage_done(report),
            speed(report),
            escape(report.error or report.detail or ""),
        )
    return listed
