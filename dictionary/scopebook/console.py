"""How commands speak: tables and JSON on stdout, progress and errors on stderr."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from sqlalchemy.exc import OperationalError

from scopebook.db.sessions import Sessions, sessions_for, unit_of_work
from scopebook.embedded.connection import connect
from scopebook.errors import ScopebookError
from scopebook.job_reports import JobReport, read_job
from scopebook.settings import settings, use_settings

out = Console()
err = Console(stderr=True)

_LOOK_INTERVAL_S = 0.3
#: A database that was killed needs so long to come back.
_PATIENCE_S = 60.0
_OVER = ("done", "failed", "cancelled")


def print_json(value: object) -> None:
    """Print one JSON document on stdout, and nothing else."""
    json.dump(value, sys.stdout, ensure_ascii=False, default=_plain, indent=2)
    sys.stdout.write("\n")


def _plain(value: object) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form")


@contextmanager
def dictionary(*, work: bool = False) -> Iterator[Sessions]:
    """Give a command its dictionary: of the running instance, or of one started for its time.

    `work` also starts workers where none run.
    """
    with connect(settings(), work=work) as instance:
        use_settings(
            settings().model_copy(
                update={
                    "database_url": instance.database_url,
                    "broker_url": instance.broker_url,
                }
            )
        )
        yield sessions_for(instance.database_url)


def watch_job(factory: Sessions, job_id: int) -> JobReport:
    """Show a job's progress until it ends; raise its error if it failed."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=not err.is_terminal,
    ) as progress:
        bar = progress.add_task("", total=1.0)
        heard = time.monotonic()
        while True:
            try:
                with unit_of_work(factory) as session:
                    report = read_job(session, job_id)
            except OperationalError:
                # The database restarts; the job goes on, and so does the watch.
                if time.monotonic() - heard > _PATIENCE_S:
                    raise
                time.sleep(_LOOK_INTERVAL_S)
                continue
            heard = time.monotonic()
            progress.update(
                bar, completed=report.progress, description=report.detail or report.title
            )
            if report.state in _OVER:
                break
            time.sleep(_LOOK_INTERVAL_S)
    if report.state != "done":
        raise ScopebookError(report.error or f"Job {job_id} was cancelled.")
    return report
