"""The parts of a team's instance, each in the foreground: for containers and other supervisors.

Where `scopebook up` starts servers and programs and watches them, these run one part each over
servers that others run. A part refuses with one sentence what it cannot work with, writes its log
to stderr and ends on SIGTERM.
"""

import logging
import signal
import threading
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from scopebook.api_processes import counted_in
from scopebook.console import err
from scopebook.db.sessions import sessions, sessions_for, unit_of_work
from scopebook.deliveries import deliver_until
from scopebook.embedded import programs
from scopebook.embedded.checks import extra
from scopebook.embedded.serving import serve_database
from scopebook.errors import InvalidInputError, UnavailableError
from scopebook.first_start import make_first_admin, watch_the_door
from scopebook.jobs import LIVE, QUEUES
from scopebook.servers import migrate as bring_up_to_date
from scopebook.servers import require_servers
from scopebook.settings import settings, use_settings
from scopebook.sweep import sweep as sweep_until

log = logging.getLogger(__name__)

Wait = Annotated[
    float, typer.Option(min=0, help="Seconds to wait for servers that do not answer yet.")
]


def migrate(
    first_admin: Annotated[
        str | None,
        typer.Option(
            help="Make this account where there is none, and print the link that sets its password."
        ),
    ] = None,
    wait: Wait = 60.0,
) -> None:
    """Bring the database up to date, and make the first admin; again, it changes nothing."""
    chosen = settings()
    if first_admin is not None:
        chosen = chosen.model_copy(update={"first_admin": first_admin})
    url = bring_up_to_date(chosen, wait_s=wait)
    with unit_of_work(sessions_for(url)) as session:
        link = make_first_admin(session, chosen)
    _say("The database is up to date.")
    if link:
        _say(link)


def serve(
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port of the page.")] = None,
    host: Annotated[str | None, typer.Option(help="Address that the page listens on.")] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="How many answer side by side; one by default.")
    ] = None,
    wait: Wait = 30.0,
) -> None:
    """Serve the API and the pages over the servers of the settings."""
    given = {"port": port, "host": host, "api_processes": processes}
    given_ones = {name: value for name, value in given.items() if value is not None}
    chosen = settings().model_copy(update=given_ones)
    _require("api")
    counted_in(chosen)
    require_servers(chosen, wait_s=wait)
    with unit_of_work(sessions()) as session:
        said = watch_the_door(session, chosen)
    _say(said)
    programs.become(programs.api(chosen), given_ones)


def worker(
    queues: Annotated[
        str, typer.Option(help=f"Which work it does: {', '.join(QUEUES)}, or {LIVE} by itself.")
    ] = ",".join(QUEUES),
    processes: Annotated[
        int | None,
        typer.Option(min=1, help="How many at once; else one per GPU, or two, and one for live."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Tells workers of the same queues on one machine apart.")
    ] = None,
    wait: Wait = 30.0,
) -> None:
    """Do the work of some queues over the servers of the settings."""
    chosen, wanted = settings(), _queues(queues)
    _require("workers")
    require_servers(chosen, wait_s=wait)
    if wanted == [LIVE]:
        processes = processes or chosen.inference_workers or 1
    found = programs.workers_of(chosen, wanted, processes=processes, name=name)
    programs.become(found, {})


def sweep(wait: Wait = 30.0) -> None:
    """Tell the workers of steps that are due, and webhooks of events; one serves an instance."""
    require_servers(settings(), wait_s=wait)
    stop = threading.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: stop.set())
    every = settings().sweep_interval_s
    log.info("The sweep looks every %s s.", every)
    # Beside it, since receivers may be slow; what it has in hand when it ends is sent again.
    deliver = partial(deliver_until, sessions(), interval_s=every, stop=stop)
    threading.Thread(target=deliver, name="webhooks", daemon=True).start()
    sweep_until(sessions(), interval_s=every, stop=stop)


def database(
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port it listens on.")] = 5432,
    data_dir: Annotated[
        Path | None, typer.Option(help="The folder that holds the database.")
    ] = None,
) -> None:
    """Run the PostgreSQL that comes with Scopebook as a server for this machine."""
    if data_dir is not None:
        use_settings(settings().model_copy(update={"data_dir": data_dir.resolve()}))
    serve_database(settings().data_dir, port, say=_say)


def _queues(names: str) -> list[str]:
    """Return the queues of a list, each once; refuse what is none, and what would wait too long."""
    wanted = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    unknown = [name for name in wanted if name not in (*QUEUES, LIVE)]
    if unknown or not wanted:
        raise InvalidInputError(
            f"“{names}” is no list of queues; name some of {', '.join(QUEUES)}, or {LIVE} alone."
        )
    if LIVE in wanted and len(wanted) > 1:
        raise InvalidInputError(
            f"The queue {LIVE} has workers of its own, so that no collection keeps people waiting; "
            f"start one by --queues {LIVE} and another by --queues "
            f"{','.join(name for name in wanted if name != LIVE)}."
        )
    return wanted


def _require(name: str) -> None:
    check = extra(name)
    if check.state == "missing":
        raise UnavailableError(f"This part needs packages that are {check.says}; {check.mend}.")


def _say(sentence: str) -> None:
    err.print(sentence, markup=False, highlight=False, soft_wrap=True)
