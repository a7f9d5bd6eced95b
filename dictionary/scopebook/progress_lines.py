"""Long work in the terminal: a bar where somebody looks, a line now and then where it is logged."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from scopebook.job_reports import OVER, JobReport

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
    """Return `5,210 tokens/s, 2 min 5 s left`, as far as it is known; empty if nothing is."""
    parts = []
    if report.tokens_per_s is not None:
        parts.append(f"{report.tokens_per_s:,.0f} tokens/s")
    if report.seconds_left is not None:
        parts.append(f"{duration(report.seconds_left)} left")
    return ", ".join(parts)


def stage(report: JobReport) -> str:
    """Return which stage the job is at: `stage 3 of 6, Collect the shards (4 of 7)`."""
    for number, part in enumerate(report.stages, start=1):
        done = part.states.get("done", 0)
        if done < part.steps:
            count = f" ({done} of {part.steps})" if part.steps > 1 else ""
            return f"stage {number} of {len(report.stages)}, {part.title}{count}"
    return "ending"


def line(report: JobReport) -> str:
    """Return a job's progress as one plain line."""
    parts = [f"{report.progress:.0%}", report.state if report.state in OVER else stage(report)]
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
