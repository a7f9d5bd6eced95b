"""A program that reads a dump and is killed by itself, as `kill -9` does, at a chosen place.

usage: killed_import.py DATABASE_URL DUMP DATA_DIR TABLE BATCH before|after
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from scopebook.db.sessions import sessions_for
from scopebook.interchange import evidence_in, importing
from scopebook.interchange.parquet_in import import_parquet
from scopebook.settings import settings, use_settings

url, dump, data_dir, table, batch, moment = sys.argv[1:]
use_settings(settings().model_copy(update={"data_dir": Path(data_dir)}))
# So that a table of a few features takes several batches.
evidence_in.TOGETHER = 1
seen = 0


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def reached(name: str) -> bool:
    global seen
    seen += name == table
    return name == table and seen == int(batch)


write = importing.Importing.write


def write_and_die(self: Any, session: Any, name: str, *rest: Any) -> Any:
    written = write(self, session, name, *rest)
    if moment == "before" and reached(name):
        die()  # the rows are written, and not committed
    return written


importing.Importing.write = write_and_die  # type: ignore[method-assign]


def told(name: str, rows: int) -> None:
    if moment == "after" and reached(name):
        die()


import_parquet(sessions_for(url), Path(dump), told=told)
