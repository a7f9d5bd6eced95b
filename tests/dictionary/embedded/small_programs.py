"""Small programs in place of the API and the workers, for tests of what runs them.

As a script it is `scopebook up`, or with `background` the instance that commands share, with
these programs and without migrations.
"""

import os
import signal
import sys

from scopebook.embedded import sharing
from scopebook.embedded.instance import Instance
from scopebook.embedded.programs import Program, Programs, accepts
from scopebook.embedded.stopping import keep_up
from scopebook.errors import InvalidInputError, ScopebookError
from scopebook.settings import Settings, settings

ANSWER = """
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), BaseHTTPRequestHandler).serve_forever()
"""
WAIT = "import time; time.sleep(600)"
IGNORE = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
#: A worker with a pool process, which the kernel ends with its parent as Celery's.
WORK = """
import ctypes, os, time
if os.fork() == 0:
    ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
time.sleep(600)
"""
_PATIENTLY = ((signal.SIGTERM, 300.0),)


def _python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-S", "-c", code, *arguments]


def small_programs(settings: Settings) -> Programs:
    host, port = settings.host, settings.port
    api = Program("api", _python(ANSWER, host, str(port)), ready=lambda: accepts(host, port))
    stubborn = os.environ.get("SMALL_PROGRAMS") == "stubborn"
    sweep = Program("sweep", _python(IGNORE + WAIT if stubborn else WAIT), _PATIENTLY)
    return Programs(work=(Program("workers", _python(WORK)), sweep), api=(api,))


def no_migrations(_database_url: str) -> None:
    """Leave the database as it is."""


def say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")


def small_up() -> int:
    instance = Instance(settings(), migrate=no_migrations, table=small_programs, say=say)
    try:
        return 0 if keep_up(instance, when_ready=lambda: None, say=say) else 1
    except ScopebookError as error:
        say(f"scopebook: {error}")
        return 2 if isinstance(error, InvalidInputError) else 1


def small_background() -> int:
    instance = Instance(
        settings(),
        migrate=no_migrations,
        table=small_programs,
        with_workers=False,
        with_api=False,
        kind="command",
    )
    return sharing.run(instance)


if __name__ == "__main__":
    sys.exit(small_background() if "background" in sys.argv else small_up())
