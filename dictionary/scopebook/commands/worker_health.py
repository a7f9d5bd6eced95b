"""`scopebook worker-health`: whether the worker of this host lives and reads from its queues."""

import socket
from typing import Annotated

import typer
from sqlalchemy.exc import SQLAlchemyError

from scopebook.console import out, print_json
from scopebook.db.sessions import sessions_for, unit_of_work
from scopebook.embedded.work_checks import patient_url
from scopebook.errors import UnavailableError
from scopebook.heartbeats import ALIVE_S, WorkerView, list_workers
from scopebook.jobs import LIVE
from scopebook.settings import settings


def worker_health(
    queue: Annotated[
        list[str] | None,
        typer.Option(help="A queue that must be read from; several by giving it again."),
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="The host to ask about; this one, unless it is given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Tell whether the worker of this host lives and reads from its queues; exit code 1 if not."""
    here = host or socket.gethostname()
    workers = [worker for worker in _workers() if worker.host == here]
    missing = _missing(here, workers, queue or [])
    alive = [worker for worker in workers if worker.alive]
    if as_json:
        print_json({"healthy": missing is None, "says": missing, "workers": alive})
    else:
        queues = ", ".join(sorted({name for worker in alive for name in worker.queues}))
        says = missing or f"{len(alive)} worker processes of {here} read from {queues}."
        out.print(says, markup=False, highlight=False, soft_wrap=True)
    if missing:
        raise typer.Exit(1)


def _workers() -> list[WorkerView]:
    url = patient_url(settings())
    if url is None:
        raise UnavailableError(
            "No database is set, in which workers tell that they live: set SCOPEBOOK_DATABASE_URL, "
            "or start an instance by `scopebook up`."
        )
    factory = sessions_for(url)
    try:
        with unit_of_work(factory) as session:
            return list_workers(session)
    except SQLAlchemyError as error:
        raise UnavailableError(
            "The database does not say whether the worker lives; `scopebook doctor` tells what is "
            "wrong with it."
        ) from error
    finally:
        factory.kw["bind"].dispose()


def _missing(here: str, workers: list[WorkerView], queues: list[str]) -> str | None:
    """Return a sentence about what is missing; None: nothing."""
    alive = [worker for worker in workers if worker.alive]
    if not alive:
        last = max((worker.seen_at for worker in workers), default=None)
        seen = f"the last was seen at {last:%Y-%m-%d %H:%M:%S %Z}" if last else "none ever was"
        return (
            f"No worker process of {here} has told that it lives for {ALIVE_S:.0f} s ({seen}); "
            "start the worker, or look into its log."
        )
    consuming = [worker for worker in alive if worker.consuming]
    if not consuming:
        return (
            f"The worker of {here} lives and is not in touch with its broker: it has just started, "
            "or `scopebook doctor` tells whether that answers."
        )
    read = {name for worker in consuming for name in worker.queues}
    if unread := [name for name in queues if name not in read]:
        return (
            f"The worker of {here} reads from {', '.join(sorted(read))}, and not from "
            f"{', '.join(unread)}; start one by `{_starting(unread)}`."
        )
    return None


def _starting(queues: list[str]) -> str:
    # Workers for people who wait do nothing else.
    others = [name for name in queues if name != LIVE]
    return f"scopebook worker --queues {','.join(others) or LIVE}"
