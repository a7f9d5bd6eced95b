"""The programs an instance runs beside its servers: workers, the sweep and the API."""

import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import ip_address
from typing import NoReturn

from pydantic import SecretStr

from scopebook.api_processes import common_variables
from scopebook.jobs import LIVE, QUEUES
from scopebook.secret_files import variable, without_files
from scopebook.settings import Settings

_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_EVERY_PROGRAM = {
    # Threads that spin while they wait cost half of the speed on busy cores.
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
    # `python -m` would import from whatever folder the command was called in.
    "PYTHONSAFEPATH": "1",
    "PYTHONUNBUFFERED": "1",
}


@dataclass(frozen=True)
class Program:
    """One row of the table of programs."""

    name: str
    argv: Sequence[str]
    stop_signals: Sequence[tuple[signal.Signals, float]] = ((signal.SIGTERM, 5.0),)
    #: Tells whether it answers; without one the start does not wait for it.
    ready: Callable[[], bool] | None = None
    #: What people are told that it is; none: its name.
    title: str | None = None
    #: Makes what it needs for a start; returns what its environment has beside that of all.
    variables: Callable[[], Mapping[str, str]] = dict


@dataclass(frozen=True)
class Programs:
    """What an instance runs: `work` on demand or always, `api` for `scopebook up` only."""

    work: Sequence[Program]
    api: Sequence[Program]


def programs(settings: Settings) -> Programs:
    """Return the table of the real programs."""
    live = (inference_workers(settings),) if settings.inference_workers else ()
    return Programs(work=(workers(settings), *live, sweep()), api=(api(settings),))


def workers(settings: Settings) -> Program:
    """Celery's workers for the queues of steps; how many is for their own application to say."""
    return _celery(settings, "workers", ["-Q", ",".join(QUEUES)])


def inference_workers(settings: Settings) -> Program:
    """Celery's workers for what people wait for; a name of their own tells them from the others."""
    count = str(settings.inference_workers)
    options = ["-Q", LIVE, "-c", count, "-n", "inference@%h"]
    return replace(_celery(settings, "inference", options), title="inference worker")


def workers_of(
    settings: Settings, queues: Sequence[str], *, processes: int | None, name: str | None
) -> Program:
    """Celery's workers for some queues of a team's instance; named after them where no name is."""
    options = ["-Q", ",".join(queues), "-n", f"{name or '-'.join(queues)}@%h"]
    if processes:
        options += ["-c", str(processes)]
    return _celery(settings, "workers", options)


def _celery(settings: Settings, name: str, options: Sequence[str]) -> Program:
    argv = [sys.executable, "-m", "celery", "-A", "scopebook_workers.app:app", "worker"]
    argv += ["--pool", "prefork", *options, "--without-mingle", "--without-gossip"]
    argv += ["-l", settings.log_level]
    # Time to give back what they are at; what they do not give back, its lease does.
    return Program(name, argv, ((signal.SIGTERM, 15.0),))


def sweep() -> Program:
    """The loop that sends notices for steps that are due."""
    return Program("sweep", [sys.executable, "-m", "scopebook.cli", "sweep"])


def api(settings: Settings) -> Program:
    """The HTTP API with the built frontend."""
    argv = [sys.executable, "-m", "scopebook_api.serving"]
    together = common_variables if settings.api_processes > 1 else dict
    ready = partial(accepts, settings.host, settings.port)
    return Program("api", argv, ready=ready, variables=together)


def is_loopback(host: str) -> bool:
    """Tell whether an address or a name means this machine and cannot be reached from others."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def accepts(host: str, port: int) -> bool:
    """Tell whether something accepts connections there."""
    try:
        socket.create_connection((_WILDCARDS.get(host, host), port), timeout=2.0).close()
    except OSError:
        return False
    return True


def api_url(settings: Settings) -> str:
    """Return the address to open in a browser."""
    local = settings.host in _WILDCARDS or settings.host in _LOOPBACK
    return f"http://{'localhost' if local else settings.host}:{settings.port}"


def page_url(settings: Settings) -> str:
    """Return where people reach the pages, as it stands in links."""
    return (settings.public_url or api_url(settings)).rstrip("/")


def exported(settings: Settings) -> dict[str, str]:
    """Return the settings that differ from their defaults as `SCOPEBOOK_*` variables."""
    variables = {}
    for name in settings.model_fields_set:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        if value is not None:
            variables[variable(name)] = str(value)
    return variables


def environment(settings: Settings, database_url: str, broker_url: str | None) -> Mapping[str, str]:
    """Return the environment of the programs: the caller's, and where the servers are."""
    servers = {"database_url": database_url, "broker_url": broker_url}
    chosen = settings.model_copy(update=servers)
    inherited = without_files(os.environ, chosen.model_fields_set)
    return {**inherited, **exported(chosen), **_EVERY_PROGRAM}


def become(program: Program, chosen: Mapping[str, object]) -> NoReturn:
    """Go on as a program in this very process, so that signals and its end are its own.

    It reads its settings from the environment as we did; `chosen` are those that a command's
    options have changed. What it says goes to stderr.
    """
    given = {variable(name): str(value) for name, value in chosen.items()}
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    argv = list(program.argv)
    os.execve(argv[0], argv, {**os.environ, **given, **_EVERY_PROGRAM, **program.variables()})
