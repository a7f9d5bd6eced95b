"""Long work in the terminal: a bar where somebody looks, a line now and then where it is logged."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from scopebook.job_reports import OVER, JobReport
from scopebook.job_stages import StageReport
from scopebook.jobs import READING

#: Seconds between two lines where no terminal is.
LINE_EVERY_S = 10.0


class Shows(Protocol):
    """Shows a job as it is now."""

    def __call__(self, report: JobReport) -> None: ...


def duration(seconds: float) -> str:
    """Return seconds as a person reads them: `42 s`, `5 min 12 s`, `2 h 5 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def speed(report: JobReport) -> str:
    """Return `5,210 tokens/s, 2 min 5 s left`, as far as it is known; empty if nothing is.

    Only while tokens are read: what merges or labels says its own amounts. Of a job that is over
    it is the average.
    """
    parts = []
    if report.tokens_per_s is not None and report.state in OVER:
        parts.append(f"{report.tokens_per_s:,.0f} tokens/s on average")
    elif report.tokens_per_s is not None and _is_reading(report):
        parts.append(f"{report.tokens_per_s:,.0f} tokens/s")
    if report.seconds_left is not None:
        parts.append(f"{duration(report.seconds_left)} left")
    return ", ".join(parts)


def _is_reading(report: JobReport) -> bool:
    """Tell whether the job is at the stage that reads tokens."""
    here = _current(report)
    return here is not None and not set(READING).isdisjoint(here[1].kinds)


def _current(report: JobReport) -> tuple[int, StageReport] | None:
    """Return the first stage that is not done, with its place from 1."""
    for number, part in enumerate(report.stages, start=1):
        if part.states.get("done", 0) < part.steps:
            return number, part
    return None


def stage(report: JobReport) -> str:
    """Return which stage the job is at: `stage 3 of 6, Collect the shards (4 of 7)`."""
    here = _current(report)
    if here is None:
        return "ending"
    number, part = here
    count = f" ({part.states.get('done', 0)} of {part.steps})" if part.steps > 1 else ""
    return f"stage {number} of {len(report.stages)}, {part.title}{count}"


def stage_done(report: JobReport) -> str:
    """Return how far a job is: a share of all its stages, or the stage that it ended in."""
    here = _current(report)
    if report.state in OVER and here is not None:
        return f"ended in stage {here[0]} of {len(report.stages)}"
    return f"{report.progress:.0%}"


def state_word(report: JobReport, part: StageReport, state: str) -> str:
    """Return the state of a stage's steps in words.

    Of a job that is over nothing is queued, and no stage after the one it ended in was begun.
    """
    here = _current(report)
    if report.state not in OVER or here is None:
        return state
    return "not started" if state == "queued" or part.stage > here[1].stage else state


def line(report: JobReport) -> str:
    """Return a job's progress as one plain line."""
    if report.state in OVER:
        # A share of all stages would stand beside `0 of 5,000 tokens` and seem to deny it.
        where = "" if _current(report) is None else f" in {stage(report)}"
        parts = [f"{report.state}{where}"]
    else:
        parts = [f"{report.progress:.0%}", stage(report)]
    parts += filter(None, [report.detail, speed(report), report.error])
    return f"Job {report.id}, {report.title}: {'; '.join(parts)}"


@contextmanager
def showing(console: Console) -> Iterator[Shows]:
    """Yield the function that shows a job's progress on this console."""
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=1.0, speed="")

        def show(report: JobReport) -> None:
            progress.update(
                bar,
                completed=report.progress,
                description=report.title if report.state == "done" else stage(report),
                speed=speed(report),
            )

        yield show


class _Lines:
    """Prints a line at once, and then one every ten seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next = 0.0

    def __call__(self, report: JobReport) -> None:
        if time.monotonic() >= self._next:
            self._console.print(line(report), markup=False, highlight=False, soft_wrap=True)
            self._next = time.monotonic() + LINE_EVERY_S
