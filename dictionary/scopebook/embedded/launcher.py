"""Start one command so that it cannot outlive the process that asked for it.

Run as a script, by the plain interpreter and without Scopebook's packages: it starts in
milliseconds, and the change of user happens here instead of between fork and exec of a process
that has threads. On Linux the kernel tells the command that its parent died; elsewhere this
process stays and watches.
"""

import argparse
import ctypes
import os
import signal
import sys
import time
from types import FrameType

_PR_SET_PDEATHSIG = 1
_POLL_S = 0.2
_GRACE_S = 10.0
_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--signal", type=int, required=True)
    parser.add_argument("--user", help="uid:gid to run as")
    parser.add_argument("--watch", action="store_true", help="stay and watch, without the kernel")
    parser.add_argument("command", nargs="+")
    return parser.parse_args()


def _become(user: str) -> None:
    uid, gid = (int(part) for part in user.split(":"))
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def _exec(command: list[str]) -> None:
    # Python ignores SIGPIPE, and a shell's background job ignores SIGINT: both would be inherited.
    for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execv(command[0], command)
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        os._exit(127)


def _exec_with_death_signal(options: argparse.Namespace) -> None:
    # After the change of user, which clears the setting.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, options.signal, 0, 0, 0)
    if os.getppid() != options.parent:
        os._exit(1)  # the parent died before the kernel knew of our wish
    _exec(options.command)


def _exec_and_watch(options: argparse.Namespace) -> int:
    child = os.fork()
    if child == 0:
        _exec(options.command)

    def forward(number: int, _frame: FrameType | None) -> None:
        os.kill(child, number)

    for number in _FORWARDED:
        signal.signal(number, forward)
    while os.getppid() == options.parent:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(_POLL_S)
    return _end(child, options.signal)


def _end(child: int, number: int) -> int:
    os.kill(child, number)
    for _ in range(int(_GRACE_S / _POLL_S)):
        if os.waitpid(child, os.WNOHANG)[0]:
            return 1
        time.sleep(_POLL_S)
    os.kill(child, signal.SIGKILL)
    return 1


def main() -> int:
    """Become the command, or watch over it where the kernel does not."""
    options = _options()
    if options.user:
        _become(options.user)
    if options.watch or not sys.platform.startswith("linux"):
        return _exec_and_watch(options)
    _exec_with_death_signal(options)
    return 127


if __name__ == "__main__":
    code = main()
    sys.exit(code if code >= 0 else 128 - code)
