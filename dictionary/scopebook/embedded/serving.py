"""The bundled PostgreSQL as a server of its own, on a port of this machine."""

import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from scopebook.embedded.disk import write_private
from scopebook.embedded.folder import DataFolder
from scopebook.embedded.ports import require_free_port
from scopebook.embedded.postgres import EmbeddedPostgres
from scopebook.embedded.watching import Watched

#: Holds the address with its password, for `SCOPEBOOK_DATABASE_URL_FILE`.
ADDRESS = "database-url"
_HOST = "127.0.0.1"
_LOOK_EVERY_S = 0.2
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def _stop(_number: int, _frame: FrameType | None) -> None:
    """End the wait, once: what comes while the server stops must not leave it running."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def serve_database(data_dir: Path, port: int, *, say: Callable[[str], None]) -> None:
    """Run the database of a data folder until SIGTERM or Ctrl-C; start it again where it dies.

    It listens on the loopback only: the bundled server has no TLS.
    """
    for number in _SIGNALS:
        signal.signal(number, _stop)
    folder = DataFolder(data_dir)
    folder.prepare()
    require_free_port(_HOST, port)
    server = EmbeddedPostgres(folder.path, port=port)
    try:
        server.start()
        address = folder.path / ADDRESS
        write_private(address, server.tcp_url(_HOST))
        say(f"PostgreSQL listens on {_HOST}:{port}; its address with the password is in {address}.")
        watched = Watched(server)
        while True:
            watched.look()
            time.sleep(_LOOK_EVERY_S)
    except KeyboardInterrupt:
        say("PostgreSQL has stopped.")
    finally:
        server.stop()
