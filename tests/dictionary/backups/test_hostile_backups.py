"""A backup that was cut off, changed or made up is refused before anything is touched."""

import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from tests.dictionary.backups.conftest import Instance, Make

from scopebook.backups.making import make_backup
from scopebook.backups.restoring import restore_backup
from scopebook.errors import InvalidInputError, ScopebookError

Manifest = dict[str, Any]


@pytest.fixture
def folder(any_backup: Path, tmp_path: Path) -> Path:
    """A backup that lies in a folder, to be changed."""
    return Path(shutil.copytree(any_backup, tmp_path / "backup"))


@pytest.fixture
def refused(empty: Instance) -> Callable[..., None]:
    """Check that a backup is refused, and that the instance is as it was."""
    before = empty.hashes(), empty.files()

    def check(path: Path, match: str) -> None:
        with pytest.raises(ScopebookError, match=match) as raised:
            restore_backup(empty.enter(), path)
        assert "\n" not in str(raised.value)
        assert (empty.hashes(), empty.files()) == before

    return check


def rewrite(folder: Path, change: Callable[[Manifest], None]) -> None:
    """Change the manifest, with the hash over itself that it then has to have."""
    path = folder / "manifest.json"
    said = json.loads(path.read_text())
    del said["sha256"]
    change(said)
    canonical = json.dumps(said, sort_keys=True, separators=(",", ":"))
    said["sha256"] = hashlib.sha256(canonical.encode()).hexdigest()
    path.write_text(json.dumps(said))


def described(path: Path) -> Manifest:
    content = path.read_bytes()
    return {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def part_of(said: Manifest, table: str) -> Manifest:
    return next(part for part in said["tables"] if part["table"] == table)


def replace_table(folder: Path, table: str, content: bytes, **said_of_it: Any) -> None:
    """Put other rows in a table's place, described as a backup describes them."""
    path = folder / f"tables/{table}.copy.zst"
    path.write_bytes(zstandard.compress(content))
    facts = {"text_bytes": len(content), **described(path), **said_of_it}
    rewrite(folder, lambda said: part_of(said, table).update(facts))


def test_a_file_cut_off_anywhere_is_refused(
    original: Instance, refused: Callable[..., None], tmp_path: Path
) -> None:
    path = tmp_path / "b.zip"
    make_backup(original.enter(), path)
    original.leave()
    whole = path.read_bytes()

    for length in (0, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        refused(path, "no backup of Scopebook, or not a whole one")


def test_one_changed_byte_is_refused(folder: Path, refused: Callable[..., None]) -> None:
    for name in ("tables/label.copy.zst", "artifacts/panels/1.npz"):
        path = folder / name
        whole = path.read_bytes()
        changed = bytearray(whole)
        changed[len(changed) // 2] ^= 1
        path.write_bytes(changed)
        refused(folder, f"{name} in .* is not as it was written")
        path.write_bytes(whole)


def test_a_changed_manifest_is_refused(folder: Path, refused: Callable[..., None]) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"revision": "00', '"revision": "90'))

    refused(folder, "manifest.json in .* is not as `scopebook backup` writes it")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"[" * 100_000, b"\xff", b"null"])
def test_what_is_no_manifest_is_refused(
    folder: Path, refused: Callable[..., None], content: bytes
) -> None:
    (folder / "manifest.json").write_bytes(content)

    refused(folder, r"manifest\.json")


@pytest.mark.parametrize(
    "name",
    ["../outside", "/etc/cron.d/x", "a/../../b", "a\\..\\b", "a//b", "C:evil", "x\0y", "", "."],
)
def test_a_path_that_leads_elsewhere_is_refused(
    folder: Path, refused: Callable[..., None], name: str
) -> None:
    rewrite(folder, lambda said: said["files"][0].update(path=name))

    refused(folder, "is not as `scopebook backup` writes it")


def test_a_file_of_the_data_folder_that_is_no_weight_is_refused(
    folder: Path, refused: Callable[..., None]
) -> None:
    (folder / "data/instance.json").write_text("{}")
    more = {"root": "data", "path": "instance.json", **described(folder / "data/instance.json")}
    rewrite(folder, lambda said: said["files"].append(more))

    refused(folder, "is not as `scopebook backup` writes it")


def test_links_are_not_followed(folder: Path, refused: Callable[..., None], tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    path = folder / "artifacts/panels/1.npz"
    path.unlink()
    path.symlink_to(secret)
    refused(folder, "no plain file; a backup has no links")

    path.unlink()
    shutil.rmtree(folder / "artifacts")
    (folder / "artifacts").symlink_to(tmp_path)
    refused(folder, "no plain file; a backup has no links")


def test_what_unpacks_to_more_than_it_says_is_refused(
    folder: Path, refused: Callable[..., None]
) -> None:
    replace_table(folder, "label_word", b"\\N" * (50 << 20), text_bytes=10)

    refused(folder, "tables/label_word.copy.zst in .* is not as it was written")


def test_what_says_that_it_is_huge_is_refused(folder: Path, refused: Callable[..., None]) -> None:
    rewrite(folder, lambda said: said["files"][0].update(size_bytes=1 << 60))
    refused(folder, "is missing, is not in its manifest or has another size")

    shown = folder / "artifacts/huge"
    with shown.open("wb") as file:
        file.truncate(1 << 43)  # takes no room
    rewrite(folder, lambda said: said["files"][0].update(size_bytes=0))
    refused(folder, "is missing, is not in its manifest or has another size")


@pytest.mark.parametrize("name", ["more", "tables/other.copy.zst"])
def test_a_file_that_the_manifest_does_not_name_is_refused(
    folder: Path, refused: Callable[..., None], name: str
) -> None:
    (folder / name).write_text("more")

    refused(folder, f"'{name}' in .* is missing, is not in its manifest")


def test_a_newer_schema_and_a_newer_format_are_refused(
    folder: Path, refused: Callable[..., None]
) -> None:
    rewrite(folder, lambda said: said.update(revision="9999", scopebook="7.0"))
    refused(folder, "was made by Scopebook 7.0 at revision 9999")

    rewrite(folder, lambda said: said.update(version=2))
    refused(folder, "a backup in format 2 and this Scopebook reads 1")


def zipped(folder: Path, path: Path, compression: int) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder).as_posix())


def test_a_zip_file_of_another_make_is_refused(
    folder: Path, refused: Callable[..., None], tmp_path: Path
) -> None:
    zipped(folder, tmp_path / "deflated.zip", zipfile.ZIP_DEFLATED)
    refused(tmp_path / "deflated.zip", "twice, compressed or encrypted")

    zipped(folder, tmp_path / "twice.zip", zipfile.ZIP_STORED)
    with (
        zipfile.ZipFile(tmp_path / "twice.zip", "a") as archive,
        pytest.warns(UserWarning, match="Duplicate"),
    ):
        archive.writestr("manifest.json", "{}")
    refused(tmp_path / "twice.zip", "twice, compressed or encrypted")


@pytest.mark.parametrize(
    ("table", "content", "said", "match"),
    [
        ("label_word", b"no tab\n", {}, "does not fit the tables of revision"),
        ("label_word", b"a\tb\nc\td\n", {"rows": 5}, "2 rows and not the 5"),
        ("label_word", b"a\tb\n", {"rows": 1, "columns": ["word", "stem"]}, "other columns"),
        ("queue_skip", b"999\t999\t2026-01-01 00:00:00+00\n", {"rows": 1}, "does not fit"),
        ("tag", b"1\tx\t\\N\tnever\t\\N\n", {"rows": 1}, "does not fit the tables"),
    ],
    ids=["one-column", "rows", "columns", "reference", "no-time"],
)
def test_rows_that_do_not_fit_leave_the_instance_empty_and_it_says_so(
    folder: Path,
    instance: Make,
    any_backup: Path,
    table: str,
    content: bytes,
    said: Manifest,
    match: str,
) -> None:
    replace_table(folder, table, content, **said)
    other = instance("other")
    before = other.hashes()

    with pytest.raises(InvalidInputError, match=match) as raised:
        restore_backup(other.enter(), folder)

    assert "\n" not in str(raised.value)
    assert other.hashes(but=("unfinished_restore",)) == before
    restore_backup(other.enter(), any_backup)


def test_a_table_too_many_or_too_few_is_refused(folder: Path, instance: Make) -> None:
    def forget(said: Manifest) -> None:
        said["tables"] = [part for part in said["tables"] if part["table"] != "review"]

    (folder / "tables/review.copy.zst").unlink()
    rewrite(folder, forget)

    with pytest.raises(InvalidInputError, match=r"does not hold the tables .* \(see review\)"):
        restore_backup(instance("other").enter(), folder)
