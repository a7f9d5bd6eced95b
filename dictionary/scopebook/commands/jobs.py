"""`scopebook jobs` and `scopebook sweep`: watch long work, and keep it going."""

import logging
import signal
import threading
import time
from typing import Annotated

import typer
from rich.live import Live
from rich.table import Table

from scopebook.console import dictionary, out, print_json
from scopebook.db.sessions import Sessions, sessions, unit_of_work
from scopebook.job_reports import JobReport, list_jobs
from scopebook.settings import settings
from scopebook.sweep import sweep as sweep_until

_LOOK_INTERVAL_S = 1.0


def jobs(
    watch: Annotated[bool, typer.Option("--watch", help="Go on until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List long work, newest first."""
    with dictionary() as factory:
        if as_json:
            print_json({"items": _read(factory), "next": None})
        elif watch:
            with Live(_table(_read(factory)), console=out) as live:
                while True:
                    time.sleep(_LOOK_INTERVAL_S)
                    live.update(_table(_read(factory)))
        else:
            out.print(_table(_read(factory)))


def _read(factory: Sessions) -> list[JobReport]:
    with unit_of_work(factory) as session:
        return list_jobs(session)[0]


def _table(reports: list[JobReport]) -> Table:
    table = Table("job", "what", "state", "done", "at the moment")
    for report in reports:
        table.add_row(
            str(report.id),
            report.title,
            report.state,
            f"{report.progress:.0%}",
            report.error or report.detail or "",
        )
    return table


def sweep() -> None:
    """Tell the workers of steps that are due, until SIGTERM; one sweep serves an instance."""
    stop = threading.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: stop.set())
    logging.getLogger(__name__).info("The sweep looks every %s s.", settings().sweep_interval_s)
    sweep_until(sessions(), interval_s=settings().sweep_interval_s, stop=stop)
