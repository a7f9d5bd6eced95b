"""What the commands that delete share: say what goes, ask, do it, and wait for its end."""

import sys
from collections.abc import Callable

import typer
from sqlalchemy.orm import Session

from scopebook.accounts import Actor, local_actor
from scopebook.console import err, leaving, print_json, watch_job
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.deletion_preview import Deletion
from scopebook.errors import InvalidInputError


def delete(
    factory: Sessions,
    found: Deletion,
    request: Callable[[Session, Actor], int],
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Delete what a preview tells of, once that was said and agreed to; wait until it is gone."""
    for sentence in found.sentences:
        err.print(sentence, markup=False, highlight=False, soft_wrap=True)
    if dry_run:
        if as_json:
            print_json(found)
        return
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
