"""What a running instance, or external servers, say for themselves."""

from collections.abc import Callable

import psutil
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from scopebook.backups.marker import refuse_unfinished
from scopebook.brokers import knock
from scopebook.db.migrate import known_revisions, revisions
from scopebook.embedded.checks import Check, of_a_team
from scopebook.embedded.folder import DataFolder, RunningInstance
from scopebook.errors import ConflictError
from scopebook.settings import Settings

_ANSWER_S = 5


def instance(settings: Settings) -> Check:
    """Does an instance run for the data folder, and with which processes?"""
    folder = DataFolder(settings.data_dir)
    running, holder = folder.running(), folder.holder()
    if running is None and holder is None and of_a_team(settings):
        return Check("Instance", "fine", "its parts run by themselves, over external servers")
    if running is None:
        says = f"starting (pid {holder.pid})" if holder else "none runs for this folder"
        return Check("Instance", "note", says, None if holder else "scopebook up")
    where = running.api_url or "for commands only"
    return Check("Instance", "fine", f"{where}, pid {running.pid}; {_children(running)}")


def _children(running: RunningInstance) -> str:
    try:
        children = psutil.Process(running.pid).children()
        names = [f"{child.name()} (pid {child.pid})" for child in children]
    except psutil.Error:
        return "its processes cannot be seen by this user"
    return ", ".join(names) or "no processes of its own"


def database(settings: Settings) -> Check:
    """Does the database answer, and has it all migrations?"""
    running = DataFolder(settings.data_dir).running()
    url = settings.database_url or (running.database_url if running else None)
    if url is None:
        return Check("Database", "note", "not running; `scopebook up` starts it")
    found = _revisions(url)
    if isinstance(found, Check):
        return found
    present, newest = found
    if present is not None and present not in known_revisions():
        newer = f"is at revision {present}, of a newer Scopebook than this"
        return Check("Database", "missing", newer, "install that version here too")
    if present != newest:
        mend = "scopebook migrate" if settings.database_url else "scopebook up"
        return Check("Database", "missing", f"is at revision {present}, not {newest}", mend)
    try:
        refuse_unfinished(url)
    except ConflictError:
        says = "is empty: a restore was begun and has not ended"
        return Check("Database", "missing", says, "scopebook restore BACKUP")
    return Check("Database", "fine", f"answers, at revision {present}")


def database_answers(settings: Settings) -> Check:
    """Does the database of the settings answer, whatever it holds?"""
    found = _revisions(settings.database_url or "")
    return found if isinstance(found, Check) else Check("Database", "fine", "answers")


def reason(error: SQLAlchemyError) -> str:
    """Return the first line of what the server said."""
    return str(error.__cause__ or error).strip().splitlines()[0]


def _revisions(url: str) -> tuple[str | None, str | None] | Check:
    """Return the database's revision and the newest; a check where it does not answer."""
    try:
        address = make_url(url)
        if address.get_backend_name() != "postgresql":
            raise ValueError("no PostgreSQL")
        patient = address.update_query_dict({"connect_timeout": str(_ANSWER_S)})
        return revisions(patient.render_as_string(hide_password=False))
    except (ArgumentError, ValueError):  # their words hold the address, and so the password
        says = "has an address that is none of a PostgreSQL (postgresql://USER:PASSWORD@HOST/NAME)"
        return Check("Database", "missing", says, "correct SCOPEBOOK_DATABASE_URL")
    except SQLAlchemyError as error:
        says, mend = (
            f"does not answer: {reason(error)}",
            "start it, or correct SCOPEBOOK_DATABASE_URL",
        )
        return Check("Database", "missing", says, mend)


def broker(settings: Settings) -> Check:
    """Does the broker answer?"""
    running = DataFolder(settings.data_dir).running()
    url = settings.broker_url or (running.broker_url if running else None)
    if url is None:
        return Check("Broker", "note", "not running; `scopebook up` starts it")
    try:
        knock(url, within_s=_ANSWER_S)
    except (ValueError, KeyError):  # their words hold the address, and so the password
        says = "has an address that is none of a broker (redis://:PASSWORD@HOST or amqp://...)"
        return Check("Broker", "missing", says, "correct SCOPEBOOK_BROKER_URL")
    except Exception as error:
        # Each transport has errors of its own, and a wrong URL raises others still.
        return Check(
            "Broker",
            "missing",
            f"does not answer: {error}",
            "start it, or correct SCOPEBOOK_BROKER_URL",
        )
    return Check("Broker", "fine", "answers")


def server_checks(settings: Settings) -> list[Callable[[], Check]]:
    """Return the checks that talk to servers."""
    return [lambda: instance(settings), lambda: database(settings), lambda: broker(settings)]
