"""How a database is connected to, and how long this program waits for one that it cannot hear.

Whoever's network is cut off is told nothing: packets vanish, and a read waits for an answer until
the kernel gives up, which by its own rules is after hours. A lease lasts a minute.
"""

from typing import Any, Final

from sqlalchemy import URL, Engine, create_engine, make_url

#: Parameters of libpq; those that a database's address names itself count instead.
PATIENCE: Final = {
    # Seconds until a server that says nothing to a knock is taken to be away.
    "connect_timeout": "10",
    # A connection on which nobody has spoken for 10 s is asked for a sign: thrice, 5 s apart.
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    # Milliseconds until what was sent and not acknowledged ends the connection (on Linux).
    "tcp_user_timeout": "25000",
}


def patient(database_url: str | URL) -> URL:
    """Return the address with the limits of `PATIENCE` that it does not name itself."""
    url = make_url(database_url)
    return url.update_query_dict(
        {name: limit for name, limit in PATIENCE.items() if name not in url.query}
    )


def engine_over(database_url: str | URL, **options: Any) -> Engine:
    """Return an engine that gives up connections on which nobody answers.

    Raises ArgumentError where the address is none.
    """
    return create_engine(patient(database_url), **options)
