"""What several API processes of one instance share: where they count requests, and for Prometheus.

All else that is common to them stands in the database: logins, presence, news, what is asked of
inference workers.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

import psutil

from scopebook.errors import InvalidInputError
from scopebook.settings import Settings

#: prometheus_client's own variable: the folder in which processes count together.
METRICS_DIR: Final = "PROMETHEUS_MULTIPROC_DIR"
_FOLDERS: Final = "scopebook-api-"
_MEMORY: Final = "memory://"


def counted_in(settings: Settings) -> str:
    """Return where requests are counted, as the package `limits` writes addresses.

    Several processes that count each for itself would let through so many times as much, so that
    without a place of their own they count in the broker; InvalidInputError if that is no Redis.
    """
    if settings.api_processes == 1 or settings.rate_limit_storage != _MEMORY:
        return settings.rate_limit_storage
    broker = settings.broker_url or ""
    scheme, _, rest = broker.partition("://")
    if scheme in ("redis", "rediss"):
        return broker
    if scheme == "redis+socket":
        # Kombu's way to write a Redis of this machine.
        database = parse_qs(urlsplit(f"//{rest}").query).get("virtual_host", ["0"])[0]
        return f"redis+unix://{rest.partition('?')[0]}?db={database}"
    raise InvalidInputError(
        f"SCOPEBOOK_API_PROCESSES={settings.api_processes}: several processes count requests "
        "together in a Redis, and the broker is none; name one in SCOPEBOOK_RATE_LIMIT_STORAGE, "
        "e.g. redis://127.0.0.1:6379, or serve by one process."
    )


def common_variables() -> dict[str, str]:
    """Return what the environment of several API processes needs; makes the folder it names.

    The folder is named after this process, which outlives the others; those of processes that are
    gone are removed.
    """
    place = Path(tempfile.gettempdir())
    for folder in place.glob(f"{_FOLDERS}*"):
        if not folder.is_symlink() and _is_left_behind(folder):
            shutil.rmtree(folder, ignore_errors=True)
    # Its name cannot be guessed, and only this user can enter it.
    return {METRICS_DIR: tempfile.mkdtemp(prefix=f"{_FOLDERS}{os.getpid()}-", dir=place)}


def _is_left_behind(folder: Path) -> bool:
    pid = folder.name.removeprefix(_FOLDERS).partition("-")[0]
    try:
        mine = folder.stat().st_uid == os.getuid()
    except FileNotFoundError:
        return False
    return mine and pid.isdigit() and not psutil.pid_exists(int(pid))
