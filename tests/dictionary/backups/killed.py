"""A program that makes or restores a backup and kills itself, as `kill -9` does, at some place.

usage: killed.py backup|restore DATABASE_URL DATA_DIR PATH WHAT
It dies when it is told that it begins with WHAT.
"""

import os
import signal
import sys
from pathlib import Path

from scopebook.backups.making import make_backup
from scopebook.backups.restoring import restore_backup
from scopebook.db.sessions import sessions_for
from scopebook.settings import settings, use_settings

what, url, data_dir, path, moment = sys.argv[1:]
chosen = {"data_dir": Path(data_dir), "database_url": url, "artifacts_url": None}
use_settings(settings().model_copy(update=chosen))


def told(said: str) -> None:
    if said == moment:
        os.kill(os.getpid(), signal.SIGKILL)


(make_backup if what == "backup" else restore_backup)(sessions_for(url), Path(path), told=told)
