"""How commands speak: tables and JSON on stdout, progress and errors on stderr."""

import json
import sys
import time
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from scopebook.backups.marker import check_finished
from scopebook.db.sessions import Sessions, sessions_for, unit_of_work
from scopebook.embedded.connection import connect
from scopebook.embedded.folder import DataFolder, Holder
from scopebook.job_ends import job_error
from scopebook.job_reports import OVER, JobReport, read_job
from scopebook.progress_lines import showing
from scopebook.settings import settings, use_settings

out = Console()
err = Console(stderr=True)

_LOOK_INTERVAL_S = 0.3
#: A database that was killed needs so long to come back.
_PATIENCE_S = 60.0
#: Wider than any table.
_NO_LIMIT = 100_000
#: What shells expect of a program that Ctrl-C ended.
_INTERRUPTED = 130


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


def table(*headings: str, whole: Container[str] = ()) -> Table:
    """Return a table that breaks what is too long over lines, and cuts nothing off.

    The columns in `whole` are short and stay in one line.
    """
    columns = [Column(name, overflow="fold", no_wrap=name in whole) for name in headings]
    return Table(*columns)


def print_table(filled: Table) -> None:
    """Print a table on stdout: as wide as the terminal, and as wide as it likes where none is."""
    if not out.is_terminal:
        # A pipe has no width, and names that are broken over lines cannot be searched for.
        anything = out.options.update(max_width=_NO_LIMIT)
        out.width = max(out.width, out.measure(filled, options=anything).maximum)
    out.print(filled)


@contextmanager
def dictionary(*, work: bool = False, restoring: bool = False) -> Iterator[Sessions]:
    """Give a command its dictionary: of the running instance, or of one started for its time.

    `work` also starts workers where none run. One into which a backup was not restored to its end
    is for who is `restoring` only.
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
        factory = sessions_for(instance.database_url)
        if not restoring:
            with unit_of_work(factory) as session:
                check_finished(session)
        yield factory


def watch_job(
    factory: Sessions, job_id: int, *, news: Callable[[Session], list[str]] | None = None
) -> JobReport:
    """Show a job's progress until it ends; raise its error if it failed.

    `news` returns lines that are worth keeping; each is printed once.
    """
    told: set[str] = set()
    with showing(err) as show:
        heard = time.monotonic()
        while True:
            try:
                with unit_of_work(factory) as session:
                    report = read_job(session, job_id, others=0)
                    fresh = [text for text in (news(session) if news else []) if text not in told]
            except OperationalError:
                # The database restarts; the job goes on, and so does the watch.
                if time.monotonic() - heard > _PATIENCE_S:
                    raise
                time.sleep(_LOOK_INTERVAL_S)
                continue
            heard = time.monotonic()
            for text in fresh:
                err.print(text, markup=False, highlight=False, soft_wrap=True)
            told.update(fresh)
            show(report)
            if report.state in OVER:
                break
            time.sleep(_LOOK_INTERVAL_S)
    if report.state != "done":
        with unit_of_work(factory) as session:
            raise job_error(session, job_id)
    return read_whole_job(factory, job_id)


def read_whole_job(factory: Sessions, job_id: int) -> JobReport:
    """Return one job as `--json` prints it."""
    with unit_of_work(factory) as session:
        return read_job(session, job_id)


@contextmanager
def leaving(job_id: int) -> Iterator[None]:
    """Say on Ctrl-C what becomes of the job inside the block, and end with exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        sentence = what_becomes_of(job_id, DataFolder(settings().data_dir).holder())
        err.print(sentence, markup=False, highlight=False, soft_wrap=True)
        raise SystemExit(_INTERRUPTED) from None


def what_becomes_of(job_id: int, holder: Holder | None) -> str:
    """Say what a job does after its command was left; `holder` runs the embedded instance."""
    cancel = f"`scopebook jobs cancel {job_id}` ends it"
    if holder is not None and holder.kind == "command":
        return (
            f"Job {job_id} stops with this command and goes on at the next start, "
            f"e.g. of `scopebook up`; what is done stays done, and {cancel}."
        )
    return (
        f"Job {job_id} goes on in the running instance: `scopebook jobs --watch` shows it, "
        f"and {cancel}."
    )
