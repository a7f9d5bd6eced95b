"""The servers of a team's instance, as each of its parts needs them before it starts."""

import time
from collections.abc import Callable, Sequence

from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError

from scopebook.db.migrate import upgrade
from scopebook.embedded import server_checks
from scopebook.embedded.checks import Check
from scopebook.errors import ConflictError, InvalidInputError, UnavailableError
from scopebook.secret_files import variable
from scopebook.settings import Settings

_LOOK_EVERY_S = 1.0
_OF = {
    "database_url": "a PostgreSQL 15 or newer with pgvector",
    "broker_url": "a Redis, a Valkey or a RabbitMQ",
}


def require_servers(settings: Settings, *, wait_s: float) -> None:
    """Return once the database answers and is up to date and the broker answers.

    Refuse what is not named at once, and what has not come after `wait_s` seconds.
    """
    require_names(settings, "database_url", "broker_url")
    _wait(
        [lambda: server_checks.database(settings), lambda: server_checks.broker(settings)], wait_s
    )


def migrate(settings: Settings, *, wait_s: float) -> str:
    """Bring a database up to date that answers within `wait_s` seconds; return its address."""
    url = require_names(settings, "database_url")
    _wait([lambda: server_checks.database_answers(settings)], wait_s)
    try:
        upgrade(url)
    except CommandError as error:
        raise ConflictError(
            "The database was made by a newer Scopebook than this one; install that one. "
            "Nothing was changed."
        ) from error
    except SQLAlchemyError as error:
        raise UnavailableError(
            f"The database could not be brought up to date: {server_checks.reason(error)}; "
            "nothing was changed."
        ) from error
    return url


def require_names(settings: Settings, *names: str) -> str:
    """Return the address of the last of these servers; refuse one that no setting names."""
    url = None
    for name in names:
        url = getattr(settings, name)
        if not url:
            raise InvalidInputError(
                f"{variable(name)} is not set; let it name {_OF[name]}, or let "
                f"{variable(name)}_FILE name a file that does."
            )
    assert url is not None
    return str(url)


def _wait(looks: Sequence[Callable[[], Check]], wait_s: float) -> None:
    until = time.monotonic() + wait_s
    while True:
        missing = next((check for look in looks if (check := look()).state == "missing"), None)
        if missing is None:
            return
        if time.monotonic() >= until:
            raise UnavailableError(f"The {missing.name.lower()} {missing.says}; {_mend(missing)}.")
        time.sleep(_LOOK_EVERY_S)


def _mend(check: Check) -> str:
    mend = check.mend or "see `scopebook doctor`"
    return f"run `{mend}`" if mend.startswith("scopebook ") else mend
