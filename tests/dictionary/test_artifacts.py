import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from scopebook.artifacts import open_artifact, write_artifact
from scopebook.errors import UnavailableError
from scopebook.settings import Settings, settings, use_settings


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path) -> Iterator[None]:
    before = settings()
    use_settings(Settings(data_dir=tmp_path))
    yield
    use_settings(before)


def write_greeting(file: BinaryIO) -> None:
    file.write(b"good day")


def test_an_artifact_is_read_as_it_was_written() -> None:
    name = write_artifact("runs/1/shard.npz", write_greeting)

    with open_artifact(name) as file:
        assert file.read() == b"good day"


def test_an_object_store_is_named_by_its_url() -> None:
    use_settings(Settings(artifacts_url="memory://bucket"))

    name = write_artifact("runs/1/shard.npz", write_greeting)

    with open_artifact(name) as file:
        file.seek(5)
        assert file.read() == b"day"


def test_what_was_not_finished_leaves_nothing(tmp_path: Path) -> None:
    def break_off(file: BinaryIO) -> None:
        file.write(b"half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_artifact("shard.npz", break_off)

    assert list((tmp_path / "artifacts").iterdir()) == []


def test_a_full_disk_is_told_with_what_to_do() -> None:
    def find_no_space(_file: BinaryIO) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(UnavailableError, match=r"No space left on device.*free space there"):
        write_artifact("shard.npz", find_no_space)


def test_a_missing_artifact_is_named() -> None:
    with pytest.raises(UnavailableError, match=r"gone\.npz cannot be read .*collect again"):
        open_artifact("gone.npz")


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EDQUOT, "free space there"),
        (errno.EACCES, "let the user of the workers write there"),
        (errno.EROFS, "let the user of the workers write there"),
        (errno.ENOTDIR, "mend what stands in the way"),
        (errno.EIO, "mend what stands in the way"),
    ],
)
def test_only_a_full_disk_is_told_to_be_freed(number: int, remedy: str) -> None:
    def refuse(_file: BinaryIO) -> None:
        raise OSError(number, os.strerror(number))

    with pytest.raises(UnavailableError) as refusal:
        write_artifact("shard.npz", refuse)

    assert f"({os.strerror(number)}); {remedy}, then retry the job." in str(refusal.value)
