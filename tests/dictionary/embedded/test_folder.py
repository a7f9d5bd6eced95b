import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.dictionary.embedded.processes import as_somebody, open_folder

from scopebook.embedded import disk
from scopebook.embedded.folder import DataFolder, Holder, RunningInstance
from scopebook.embedded.sockets import socket_folder
from scopebook.errors import InstanceError

PREPARE = """
import sys
from pathlib import Path
from scopebook.embedded.folder import DataFolder
from scopebook.errors import InstanceError
try:
    DataFolder(Path(sys.argv[1])).prepare()
except InstanceError as error:
    sys.exit(str(error))
"""


def _ready(folder: DataFolder) -> RunningInstance:
    running = RunningInstance(pid=os.getpid(), kind="up", database_url="postgresql+psycopg://@/x")
    assert folder.take(running)
    folder.announce(running)
    return running


def test_a_ready_instance_is_found_and_only_its_owner_may_read_where(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)

    running = _ready(folder)

    assert DataFolder(tmp_path).running() == running
    assert (tmp_path / "instance.json").stat().st_mode & 0o777 == 0o600
    folder.release()
    assert DataFolder(tmp_path).running() is None


def test_a_folder_is_taken_once(tmp_path: Path) -> None:
    folder, other = DataFolder(tmp_path), DataFolder(tmp_path)
    assert folder.take(Holder(pid=os.getpid(), kind="up"))

    taken = other.take(Holder(pid=1, kind="command"))

    assert not taken
    assert other.holder() == Holder(pid=os.getpid(), kind="up")
    folder.release()
    assert other.take(Holder(pid=1, kind="command"))


def test_what_a_killed_owner_wrote_is_not_believed(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from scopebook.embedded.folder import *;"
        "folder = DataFolder(Path(sys.argv[1]));"
        "running = RunningInstance(pid=os.getpid(), kind='up', database_url='x');"
        "folder.take(running); folder.announce(running); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    folder = DataFolder(tmp_path)
    assert (tmp_path / "instance.json").exists()

    assert folder.running() is None
    assert folder.take(Holder(pid=os.getpid(), kind="up"))
    assert folder.running() is None
    assert folder.clear_stale()


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")

    with pytest.raises(InstanceError, match="a file stands where a folder should be"):
        DataFolder(tmp_path / "data").prepare()


def test_a_folder_that_the_user_may_not_write_to_is_refused() -> None:
    with open_folder() as parent:
        folder = parent / "data"
        folder.mkdir()
        folder.chmod(0o555)

        refused = subprocess.run(
            [*as_somebody(), sys.executable, "-c", PREPARE, str(folder)],
            capture_output=True,
            text=True,
            check=False,
        )

        assert refused.returncode == 1
        assert f"{folder} cannot be used: this user may not write there" in refused.stderr


def test_a_disk_with_little_room_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "free_bytes", lambda _: 300_000_000)

    with pytest.raises(InstanceError, match="has 300 MB left and Scopebook needs at least 1 GB"):
        DataFolder(tmp_path).prepare()


def test_sockets_lie_in_a_short_private_folder_that_is_the_same_each_time(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a-rather-long-name"] * 8)

    first, second = socket_folder(deep, "postgres"), socket_folder(deep, "postgres")

    assert first == second
    assert len(str(first / ".s.PGSQL.5432.lock")) < 104
    assert first.stat().st_mode & 0o777 == 0o700
    first.rmdir()


def test_a_long_temporary_folder_is_not_used_for_sockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 60)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))

    folder = socket_folder(tmp_path, "valkey")

    assert not folder.is_relative_to(long)
    folder.rmdir()


def test_a_socket_folder_that_is_a_link_of_somebody_else_is_not_used(tmp_path: Path) -> None:
    planned = socket_folder(tmp_path, "valkey")
    planned.rmdir()
    planned.symlink_to(tmp_path)

    folder = socket_folder(tmp_path, "valkey")

    assert folder != planned
    assert not folder.is_symlink()
    planned.unlink()
    folder.rmdir()
