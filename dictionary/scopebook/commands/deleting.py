"""What the commands that delete share: say what goes, ask, do it, and wait for its end."""

import sys
from collections.abc import Callable
from typing import Annotated

import typer
from sqlalchemy.orm import Session

from scopebook.accounts import Actor, local_actor
from scopebook.console import dictionary, err, leaving, print_json, watch_job
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.deletion_preview import Deletion
from scopebook.errors import InvalidInputError

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only say what would go, and delete nothing.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Preview = Callable[[Session], Deletion]
Request = Callable[[Session, Actor], int]


def delete(preview: Preview, request: Request, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Delete what a preview tells of, once that was said and agreed to; wait until it is gone."""
    with dictionary(work=not dry_run) as factory:
        with unit_of_work(factory) as session:
            found = preview(session)
        _tell(found)
        if not dry_run:
            _delete(factory, found, request, yes=yes, as_json=as_json)
        elif as_json:
            print_json(found)


def _tell(found: Deletion) -> None:
    for sentence in found.sentences:
        err.print(sentence, markup=False, highlight=False, soft_wrap=True)


def _delete(
    factory: Sessions, found: Deletion, request: Request, *, yes: bool, as_json: bool
) -> None:
    if not yes:
        _ask(found.what)
    with unit_of_work(factory) as session:
        job_id = request(session, local_actor(session))
    with leaving(job_id):
        report = watch_job(factory, job_id)
    if as_json:
        print_json(report)
    else:
        err.print(f"{report.title}: done.", markup=False, highlight=False, soft_wrap=True)


def _ask(what: str) -> None:
    """Ask at a terminal; a script has to say --yes."""
    if not sys.stdin.isatty():
        raise InvalidInputError(
            f"Nobody is there to be asked whether {what} is to be deleted for good; say --yes, or "
            "look first with --dry-run."
        )
    typer.confirm(f"Delete {what} for good?", abort=True, err=True)
