"""A backup or a restore that is killed leaves nothing half: it says so, and is done again."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.dictionary.backups.conftest import Instance, Make
from tests.dictionary.backups.test_backups import ADAPTED
from tests.full_disk import files_limited_to

from running import run
from scopebook.backups.making import make_backup
from scopebook.backups.restoring import restore_backup
from scopebook.db.migrate import upgrade
from scopebook.errors import ConflictError, NotFoundError, UnavailableError

ROOT = Path(__file__).parents[3]


def kill(what: str, one: Instance, path: Path, moment: str) -> None:
    """Do it in a process of its own that is killed when it comes to `moment`."""
    program = ROOT / "tests/dictionary/backups/killed.py"
    one.leave()
    done = subprocess.run(
        [sys.executable, program, what, one.url, one.data_dir, path, moment],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    time.sleep(0.3)  # the server needs a moment to see that its client is gone


@pytest.mark.parametrize("name", ["b.zip", "b"])
@pytest.mark.parametrize("moment", ["copying artifacts/panels/1.npz", "copying table label"])
def test_a_killed_backup_is_not_there_and_is_made_again(
    full: Instance, instance: Make, tmp_path: Path, name: str, moment: str
) -> None:
    path = tmp_path / "backups" / name

    kill("backup", full, path, moment)

    assert not path.exists()
    with pytest.raises(NotFoundError, match="There is no"):
        restore_backup(instance("unused").enter(), path)
    make_backup(full.enter(), path)
    assert [found.name for found in path.parent.iterdir()] == [name]
    other = instance("other")
    restore_backup(other.enter(), path)
    assert other.hashes(but=ADAPTED) == full.hashes(but=ADAPTED)


@pytest.mark.parametrize(
    "moment",
    [
        "putting data/saes/release/2.safetensors in place",
        "loading table account",
        "loading table webhook",
        "building indexes and checking references",
    ],
)
def test_a_killed_restore_says_so_and_is_done_again(
    full: Instance, instance: Make, tmp_path: Path, moment: str
) -> None:
    path = tmp_path / "b.zip"
    make_backup(full.enter(), path)
    other = instance("other")

    kill("restore", other, path, moment)

    with pytest.raises(ConflictError, match=r"A restore of .*b\.zip was begun at .* not ended"):
        upgrade(other.url)
    told = run(
        other.data_dir, "jobs", SCOPEBOOK_DATABASE_URL=other.url, SCOPEBOOK_BROKER_URL="redis://x"
    )
    assert (told.returncode, told.stdout) == (1, "")
    assert "has not ended, so this instance is empty" in told.stderr
    restore_backup(other.enter(), path)
    assert other.hashes(but=ADAPTED) == full.hashes(but=ADAPTED)
    assert other.files() == full.files()
    upgrade(other.url)


def test_a_restore_that_is_killed_before_it_touches_anything_leaves_no_mark(
    full: Instance, instance: Make, tmp_path: Path
) -> None:
    path = tmp_path / "b.zip"
    make_backup(full.enter(), path)
    other = instance("other")
    before = other.hashes()

    kill("restore", other, path, "checking tables/label.copy.zst")

    assert (other.hashes(), other.files()) == (before, {})
    upgrade(other.url)


@pytest.mark.parametrize("name", ["b.zip", "b"])
def test_a_full_disk_leaves_no_backup(full: Instance, tmp_path: Path, name: str) -> None:
    factory = full.enter()

    with files_limited_to(1 << 17), pytest.raises(UnavailableError, match="could not be written"):
        make_backup(factory, tmp_path / name)

    assert [path.name for path in tmp_path.iterdir()] == ["full"]
