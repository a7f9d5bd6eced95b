"""How a broker is connected to, Redis or RabbitMQ, and how long anybody waits for one.

As with the database (`scopebook.db.connecting`), a program whose network is cut off is told
nothing, so each connection has limits of its own.
"""

import socket
from typing import Any, Final

from kombu import Connection

#: Seconds that a worker waits for a broker that says nothing; it has nothing else to do.
WORKER_S: Final = 25.0
#: Seconds that a sender waits: people wait with it, and the sweep comes back to what it gives up.
SENDER_S: Final = 5.0


def transport_options(url: str | None, *, patience_s: float) -> dict[str, Any]:
    """Return Kombu's options for a broker: no connection is waited for longer than so many seconds.

    Kombu hands them to the client of the broker's kind, each of which calls them otherwise.
    """
    if _speaks_amqp(url):
        # The server says that it has a notice, or it was none: what is sent into a connection
        # that died unnoticed would be taken for sent.
        return {"confirm_publish": True, "socket_settings": _socket_options(patience_s)}
    # No `retry_on_timeout`: when a worker's connection for commands to workers ended, its client
    # would connect anew, not subscribe again, and read without a limit what never comes.
    return {
        "socket_timeout": patience_s,
        "socket_connect_timeout": min(patience_s, 5.0),
        "socket_keepalive": True,
        "socket_keepalive_options": _socket_options(patience_s),
        # What is acknowledged is forgotten, and the server not told: where it does not answer, a
        # worker would keep the notice for unacknowledged, and take none for it, for ever.
        "ack_emulation": False,
    }


def _speaks_amqp(url: str | None) -> bool:
    return (url or "").partition("://")[0] in ("amqp", "amqps", "pyamqp")


def _socket_options(patience_s: float) -> dict[int, int]:
    """Return the options of a TCP connection, by which the kernel finds out that nobody answers."""
    wanted = {
        # A connection on which nobody speaks is asked for a sign: thrice in the time that is left.
        "TCP_KEEPIDLE": max(1, round(patience_s / 2)),
        "TCP_KEEPINTVL": max(1, round(patience_s / 6)),
        "TCP_KEEPCNT": 3,
        # Milliseconds until what was sent and not acknowledged ends it; Linux has it.
        "TCP_USER_TIMEOUT": round(1000 * patience_s),
    }
    return {getattr(socket, name): n for name, n in wanted.items() if hasattr(socket, name)}


def knock(url: str, *, within_s: int) -> None:
    """Return once a broker answers; raise whatever its client does when it has not in time."""
    options = transport_options(url, patience_s=within_s)
    with Connection(url, connect_timeout=within_s, transport_options=options) as connection:
        connection.ensure_connection(max_retries=1, timeout=within_s)
