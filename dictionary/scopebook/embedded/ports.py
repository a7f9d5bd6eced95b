"""Is the port free that the API wants, and who has it if not?"""

import errno
import socket
import time

import psutil

from scopebook.errors import InstanceError, InvalidInputError


def require_free_port(host: str, port: int, *, patience_s: float = 0.0) -> None:
    """Refuse a port that is taken; `patience_s` is for one whose owner was just killed."""
    until = time.monotonic() + patience_s
    while (error := _bind_error(host, port)) is not None:
        if error.errno != errno.EADDRINUSE:
            raise InvalidInputError(_why_not(host, port, error)) from error
        if time.monotonic() >= until:
            raise InstanceError(
                f"Port {port} is taken{_by_whom(port)}; stop that, or choose another port by "
                f"--port, for example --port {port + 1 if port < 65535 else port - 1}."
            )
        time.sleep(0.1)


def _bind_error(host: str, port: int) -> OSError | None:
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as probe:
            # As the API binds: connections that linger from an earlier one are no obstacle.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OSError as error:
        return error
    return None


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EACCES:
        return f"Port {port} may not be used by this user; choose one above 1023 by --port."
    return (
        f"{host} is not an address of this machine ({error.strerror}); give 127.0.0.1, 0.0.0.0 or "
        "another of its own by --host."
    )


def _by_whom(port: int) -> str:
    try:
        connections = psutil.net_connections(kind="tcp")
    except (psutil.Error, OSError):
        return ""
    pids = {
        connection.pid
        for connection in connections
        if connection.status == psutil.CONN_LISTEN and connection.laddr[1:2] == (port,)
    }
    for pid in sorted(pid for pid in pids if pid):
        try:
            return f" by {psutil.Process(pid).name()} (pid {pid})"
        except psutil.Error:
            continue
    return ""
