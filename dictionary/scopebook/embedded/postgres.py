"""A PostgreSQL of our own: made, started, watched over and stopped with the wheel's programs."""

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg

from scopebook.embedded import sizing
from scopebook.embedded.binaries import major_version, pg_bindir, readable_bindir
from scopebook.embedded.children import last_line, spawn, stop_process
from scopebook.embedded.disk import free_bytes, require_free_space, write_private
from scopebook.embedded.locks import FileLock
from scopebook.embedded.postgres_home import PostgresHome, find_home, make_private
from scopebook.embedded.sockets import socket_folder
from scopebook.errors import InstanceError

DATABASE = "scopebook"
_PORT = 5432  # only a part of the socket's name where no network port is opened
_SUPERUSER = "postgres"
#: Recovery after a crash brings the whole data directory to disk first.
_READY_S = 180.0
_OLD_SERVER_S = 60.0
_BUILTIN_LOCALES_SINCE = 17
_STOP = ((signal.SIGINT, 60.0), (signal.SIGQUIT, 10.0))


class EmbeddedPostgres:
    """One PostgreSQL server over one folder, reachable by a Unix socket and, if it has one, a port.

    `start` may be called again after the server has died; `stop` ends it and frees the folder.
    """

    name = "database"

    def __init__(self, home: Path, *, bindir: Path | None = None, port: int | None = None) -> None:
        self._data_dir = home.resolve()
        self._listens = port is not None
        self._port = str(port or _PORT)
        self._wanted_bindir = bindir
        self.log = self._data_dir / "logs" / "postgres.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: FileLock | None = None
        self._sockets: Path | None = None

    def start(self) -> None:
        """Bring the server up and return when it answers; make its data on the first call."""
        self._data_dir.mkdir(parents=True, exist_ok=True)
        require_free_space(self._data_dir)
        home = find_home(self._data_dir)
        require_free_space(home.place)
        self._take_lock(home)
        try:
            self._start(home)
        except BaseException:
            self.stop()
            raise

    def _start(self, home: PostgresHome) -> None:
        bindir = self._wanted_bindir or pg_bindir()
        _refuse_other_version(home.pgdata, bindir)
        if home.user:
            bindir = readable_bindir(bindir, home.user)
        sockets = self._socket_folder(home)
        if not home.pgdata.exists():
            self._initialise(home, bindir, sockets)
        _clear_what_a_crash_left(home.pgdata, sockets / f".s.PGSQL.{self._port}.lock")
        self._launch(home, bindir, sockets)
        self._wait_until_ready(bindir, sockets)
        self._make_database()

    def stop(self) -> None:
        """End the server, fast but clean, and free the folder."""
        if self._process is not None:
            stop_process(self._process, _STOP)
            self._process = None
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def kill(self) -> None:
        """End the server at once; its next start recovers."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGQUIT)

    def remove(self) -> None:
        """Delete a stopped server's data, wherever it lies."""
        home = find_home(self._data_dir)
        shutil.rmtree(home.place)

    @property
    def pid(self) -> int | None:
        """The server's process id, while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def alive(self) -> bool:
        """Tell whether the server runs."""
        return self.pid is not None

    def url(self, database: str = DATABASE) -> str:
        """Return the SQLAlchemy URL of a database of this server."""
        credentials = f"{_SUPERUSER}:{quote(self._password())}"
        sockets = quote(str(self._sockets))
        return f"postgresql+psycopg://{credentials}@/{database}?host={sockets}&port={self._port}"

    def tcp_url(self, host: str) -> str:
        """Return the SQLAlchemy URL of its database by the port that it listens on."""
        credentials = f"{_SUPERUSER}:{quote(self._password())}"
        return f"postgresql+psycopg://{credentials}@{host}:{self._port}/{DATABASE}"

    def _socket_folder(self, home: PostgresHome) -> Path:
        # Kept over a restart, since the URL that others were given holds it.
        if self._sockets is None or not self._sockets.is_dir():
            self._sockets = socket_folder(home.place, "postgres", user=home.user)
        return self._sockets

    def _password(self) -> str:
        path = self._data_dir / "postgres-password"
        try:
            return path.read_text().strip()
        except FileNotFoundError as error:
            raise InstanceError(
                f"{path} is missing, and without it nobody can log in to the database beside it; "
                "bring the file back from a backup."
            ) from error

    def _take_lock(self, home: PostgresHome) -> None:
        lock = self._lock or FileLock(home.place / "lock")
        try:
            free = lock.take()
        except PermissionError as error:
            raise InstanceError(
                f"The database in {home.place} belongs to another user; start Scopebook as the "
                "user who made it, or choose another data folder."
            ) from error
        if not free:
            raise InstanceError(f"Another process already runs the database in {home.place}.")
        self._lock = lock

    def _initialise(self, home: PostgresHome, bindir: Path, sockets: Path) -> None:
        # Made beside its final name: a data directory with that name is always a whole one.
        partial = home.place / "pgdata.new"
        shutil.rmtree(partial, ignore_errors=True)
        make_private(partial, home.user)
        password = secrets.token_urlsafe(24)
        write_private(self._data_dir / "postgres-password", password)
        password_file = sockets / "password"
        write_private(password_file, password)
        if home.user:
            os.chown(password_file, home.user.uid, home.user.gid)
        try:
            self._run_initdb(bindir, partial, password_file, home)
        finally:
            password_file.unlink(missing_ok=True)
        partial.rename(home.pgdata)

    def _run_initdb(
        self, bindir: Path, pgdata: Path, password_file: Path, home: PostgresHome
    ) -> None:
        command = [str(bindir / "initdb"), "-D", str(pgdata), "-U", _SUPERUSER, "-E", "UTF8"]
        command += ["--auth=scram-sha-256", f"--pwfile={password_file}", "--no-sync"]
        command += _locale_options(bindir)
        log = self._data_dir / "logs" / "initdb.log"
        log.unlink(missing_ok=True)
        made = spawn(command, log=log, env=_server_env(), dies_with=signal.SIGKILL, user=home.user)
        if made.wait() != 0:
            shutil.rmtree(pgdata, ignore_errors=True)
            raise InstanceError(_why_initdb_failed(log.read_text(errors="replace"), home.place))

    def _launch(self, home: PostgresHome, bindir: Path, sockets: Path) -> None:
        options = {
            "listen_addresses": "127.0.0.1" if self._listens else "",
            "unix_socket_directories": str(sockets),
            "port": self._port,
            "log_line_prefix": "%m [%p] ",
            **sizing.postgres_settings(free_bytes(home.place)),
        }
        command = [str(bindir / "postgres"), "-D", str(home.pgdata)]
        for name, setting in options.items():
            command += ["-c", f"{name}={setting}"]
        self._process = spawn(
            command,
            log=self.log,
            env=_server_env(),
            dies_with=signal.SIGINT,  # a fast shutdown: nothing to recover at the next start
            user=home.user,
        )

    def _wait_until_ready(self, bindir: Path, sockets: Path) -> None:
        command = [str(bindir / "pg_isready"), "-q", "-h", str(sockets), "-p", self._port]
        until = time.monotonic() + _READY_S
        while subprocess.run(command, env=_server_env(), cwd="/").returncode != 0:
            if not self.alive():
                raise InstanceError(
                    f"The database stopped while it started; {self.log} ends with: "
                    f"{last_line(self.log)}"
                )
            if time.monotonic() > until:
                raise InstanceError(
                    f"The database did not answer within {_READY_S:.0f} s; see {self.log}."
                )
            time.sleep(0.03)

    def _make_database(self) -> None:
        url = self.url("postgres").replace("+psycopg", "", 1)
        with psycopg.connect(url, autocommit=True) as connection:
            known = connection.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]
            ).fetchone()
            if known is None:
                connection.execute(f"CREATE DATABASE {DATABASE}")


def _server_env() -> Mapping[str, str]:
    # PGPORT, PGDATA and their like of another server must not reach ours.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "LC_ALL": "C"}


def _locale_options(bindir: Path) -> list[str]:
    if major_version(bindir) < _BUILTIN_LOCALES_SINCE:
        return ["--locale=C.UTF-8"]
    return ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]


def _why_initdb_failed(output: str, place: Path) -> str:
    if "No space left on device" in output:
        return (
            f"The disk of {place} is full, so that no database could be made there; free at least "
            "1 GB or choose another data folder."
        )
    lines = [line for line in output.splitlines() if "error" in line.lower()] or [output.strip()]
    return f"No database could be made in {place}: {lines[-1]}"


def _refuse_other_version(pgdata: Path, bindir: Path) -> None:
    mark = pgdata / "PG_VERSION"
    if not mark.exists():
        return
    found, ours = mark.read_text().strip(), major_version(bindir)
    if found != str(ours):
        raise InstanceError(
            f"The database in {pgdata} was made by PostgreSQL {found} and this Scopebook brings "
            f"PostgreSQL {ours}; name programs of version {found} by SCOPEBOOK_PG_BINDIR, or "
            "choose another data folder. Nothing was changed."
        )


def _works_in(pgdata: Path, process: psutil.Process) -> bool:
    try:
        if "postgres" not in process.name():
            return False
        # The words of a server are open to all; the place of its backends only to its own user.
        return str(pgdata) in process.cmdline() or process.cwd() == str(pgdata)
    except (psutil.Error, OSError):
        return False


def _clear_what_a_crash_left(pgdata: Path, socket_lock: Path) -> None:
    """Wait for the processes of an earlier server to end, then drop pid files that mislead.

    We hold the lock, so whatever still works in the directory has lost its supervisor: a server
    that is shutting down, or backends whose server was killed.
    """
    left = [process for process in psutil.process_iter() if _works_in(pgdata, process)]
    _, left = psutil.wait_procs(left, timeout=_OLD_SERVER_S if left else 0)
    for number in (signal.SIGQUIT, signal.SIGKILL):
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        _, left = psutil.wait_procs(left, timeout=10)
    for stale in (pgdata / "postmaster.pid", socket_lock):
        if stale.exists() and _names_another_process(stale):
            stale.unlink()


def _names_another_process(pid_file: Path) -> bool:
    """Tell whether a pid file's number now belongs to a process that is not our server.

    PostgreSQL would take that for a running server. It sees for itself that a number is nobody's,
    and then still needs the file to know of backends that have not ended.
    """
    try:
        return psutil.pid_exists(abs(int(pid_file.read_text().split()[0])))
    except (ValueError, IndexError):
        return True
