"""The instance that commands share while no `scopebook up` runs.

The first command that needs one starts it; it lives in a process of its own, since it must
outlast that command if another one has joined. It ends when nobody holds the users' lock, which
the kernel frees even of a command that was killed.
"""

import sys
import time

from scopebook.embedded.folder import TAKEN
from scopebook.embedded.instance import Instance
from scopebook.embedded.stopping import stop_signals
from scopebook.errors import ConflictError, ScopebookError

_LOOK_EVERY_S = 0.1


def serve(instance: Instance) -> None:
    """Keep the instance up while commands use it; start its workers when one asks for them."""
    users, work_users = instance.folder.users(), instance.folder.work_users()
    # Taken and kept until this process ends: a command that comes now waits, then starts anew.
    while not users.take():
        instance.look()
        if instance.running.broker_url is None and not work_users.take():
            instance.start_work()
        work_users.release()
        time.sleep(_LOOK_EVERY_S)


def run(instance: Instance) -> int:
    """Start the instance, serve, stop it; return the exit code."""
    try:
        with stop_signals(instance), instance:
            serve(instance)
    except ConflictError:
        return TAKEN
    except KeyboardInterrupt:
        return 0
    except ScopebookError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0
