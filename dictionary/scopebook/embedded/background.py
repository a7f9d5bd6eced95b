"""The process of the shared instance; `connection` starts it."""

import sys
from functools import partial

from scopebook.db.migrate import upgrade
from scopebook.embedded.instance import Instance
from scopebook.embedded.sharing import run
from scopebook.log_setup import set_up_logs
from scopebook.settings import settings


def main() -> int:
    """Run the instance of the settings until the last command has left; return the exit code."""
    set_up_logs()
    # A command that does not restore a backup looks for itself whether one was not ended.
    migrate = partial(upgrade, also_unfinished=True)
    return run(
        Instance(settings(), migrate=migrate, with_workers=False, with_api=False, kind="command")
    )


if __name__ == "__main__":
    sys.exit(main())
