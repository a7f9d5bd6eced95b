"""`scopebook up`: start everything on this machine, watch it, and stop it in good order."""

import logging
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.exc import SQLAlchemyError

from scopebook.console import err, watch_job
from scopebook.db.migrate import upgrade
from scopebook.db.sessions import Sessions, sessions_for, unit_of_work
from scopebook.demo import request_demo
from scopebook.embedded.instance import Instance
from scopebook.embedded.stopping import keep_up
from scopebook.errors import ScopebookError
from scopebook.first_start import open_the_door
from scopebook.settings import Settings, settings, use_settings

log = logging.getLogger(__name__)


def up(
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port of the page.")] = None,
    host: Annotated[str | None, typer.Option(help="Address that the page listens on.")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="The folder that holds all state of the instance.")
    ] = None,
    first_admin: Annotated[
        str | None,
        typer.Option(
            help="Make this account where there is none, and print the link that sets its password."
        ),
    ] = None,
    no_demo: Annotated[
        bool, typer.Option("--no-demo", help="Do not build the demo dictionary.")
    ] = False,
) -> None:
    """Start Scopebook on this machine and keep it up until Ctrl-C."""
    given = {"port": port, "host": host, "data_dir": data_dir, "first_admin": first_admin}
    given_ones = {name: value for name, value in given.items() if value is not None}
    chosen = settings().model_copy(update=given_ones)
    said: list[str] = []
    instance = Instance(chosen, migrate=partial(_prepare, chosen, said.append), say=_say)

    def when_ready() -> None:
        for sentence in said:
            _say(sentence)
        if not no_demo:
            _ask_for_demo(instance)

    clean = keep_up(instance, when_ready=when_ready, say=_say)
    err.show_cursor()  # a progress bar that was cut off has hidden it
    if not clean:
        raise typer.Exit(1)


def _prepare(chosen: Settings, tell: Callable[[str], None], database_url: str) -> None:
    """Bring the database up to date, and see to who may come in before anybody can."""
    upgrade(database_url)
    with unit_of_work(sessions_for(database_url)) as session:
        tell(open_the_door(session, chosen))


def _say(sentence: str) -> None:
    err.print(sentence, markup=False, highlight=False, soft_wrap=True)


def _settings_in_force(instance: Instance) -> Settings:
    servers = {
        "database_url": instance.running.database_url,
        "broker_url": instance.running.broker_url,
    }
    return instance.settings.model_copy(update=servers)


def _ask_for_demo(instance: Instance) -> None:
    """Ask for the demo dictionary and show its progress beside the watch."""
    use_settings(_settings_in_force(instance))
    factory = sessions_for(instance.running.database_url)
    try:
        with unit_of_work(factory) as session:
            job = request_demo(session)
            job_id, ready = job.id, job.state == "done"
    except ScopebookError as error:
        _say(f"The demo dictionary is not built: {error}")
        return
    if not ready:
        threading.Thread(target=_show_demo, args=(factory, job_id), daemon=True).start()


def _show_demo(factory: Sessions, job_id: int) -> None:
    try:
        watch_job(factory, job_id)
    except ScopebookError as error:
        _say(f"The demo dictionary could not be built: {error}")
    except SQLAlchemyError as error:
        # The database restarts or stops; the job goes on, or stands there for the next start.
        log.debug("The progress of the demo is no longer shown: %s", error)
    else:
        _say("The demo dictionary is ready.")
