"""`scopebook backup` and `scopebook restore`: everything of an instance, away and back."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from scopebook.backups.making import BackupReport, make_backup
from scopebook.backups.restoring import RestoreReport, restore_backup
from scopebook.console import dictionary, err, print_json
from scopebook.sizes import size_text

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def backup(
    path: Annotated[
        Path, typer.Argument(help="What to write: one file if it ends in .zip, else a folder.")
    ],
    allow_missing: Annotated[
        bool,
        typer.Option("--allow-missing", help="Go without files that the dictionary names no more."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write everything of the instance to one file or folder, also while it is in use.

    It holds the hashes of passwords and tokens, and the secrets of webhooks: keep it as you keep
    the database.
    """
    with dictionary() as factory, _showing() as told:
        report = make_backup(factory, path, allow_missing=allow_missing, told=told)
    if as_json:
        print_json(report)
    else:
        _say_made(report)


def restore(
    path: Annotated[Path, typer.Argument(help="What `scopebook backup` wrote.")],
    over_artifacts: Annotated[
        bool,
        typer.Option(
            "--over-artifacts",
            help="Restore beside artifacts that are there, which no other instance may use.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring a backup back into an empty instance that nobody uses; all of it or nothing."""
    with dictionary(restoring=True) as factory, _showing() as told:
        report = restore_backup(factory, path, over_artifacts=over_artifacts, told=told)
    if as_json:
        print_json(report)
    else:
        _say_restored(report)


@contextmanager
def _showing() -> Iterator[Callable[[str], None]]:
    """Show what is being done in one line that changes."""
    with err.status("beginning") as status:
        yield lambda said: status.update(escape(said))


def _say(sentence: str) -> None:
    err.print(sentence, markup=False, highlight=False, soft_wrap=True)


def _say_missing(missing: list[str], remedy: str) -> None:
    for name in missing:
        _say(f"Missing: {name}")
    if missing:
        _say(f"{len(missing):,} files that the dictionary names are not in the backup; {remedy}.")


def _say_made(report: BackupReport) -> None:
    _say(
        f"{report.path}: {report.rows:,} rows of {report.tables} tables and {report.files:,} "
        f"files, {size_text(report.size_bytes)}."
    )
    _say_missing(report.missing, "weights come back by `scopebook add`")
    _say(
        "It holds all texts, the hashes of passwords and tokens and the secrets of webhooks: keep "
        "it where only you can read it."
    )


def _say_restored(report: RestoreReport) -> None:
    made = f"{report.made_at:%Y-%m-%d %H:%M %Z}"
    _say(
        f"Restored from {report.path}, made at {made}: {report.rows:,} rows of {report.tables} "
        f"tables and {report.files:,} files."
    )
    if report.revision != report.newest_revision:
        _say(f"The schema was brought from {report.revision} to {report.newest_revision}.")
    if report.requeued:
        _say(f"{report.requeued:,} steps that were at work then are due again.")
    _say_missing(report.missing, "weights come back by `scopebook add`")
