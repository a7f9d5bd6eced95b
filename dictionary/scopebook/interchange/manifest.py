"""What a Parquet dump says of itself, in `manifest.json`: what is in it, and each file's hash."""

import hashlib
import json
import re
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scopebook.errors import InvalidInputError, UnavailableError
from scopebook.interchange.layout import FORMAT, VERSION
from scopebook.release_names import shown

NAME: Final = "manifest.json"
#: The manifest of the widest release has some thousand files; more is no manifest.
_LONGEST: Final = 64 << 20
#: A file of a table, below the dump's folder: nothing else is ever opened.
_FILE: Final = re.compile(r"([a-z_]{1,40})/[0-9]{5}\.parquet")
_SHA256: Final = r"^[0-9a-f]{64}$"


class ManifestFile(BaseModel):
    """One file of a dump."""

    model_config = ConfigDict(frozen=True)

    name: str
    rows: int = Field(ge=0)
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=_SHA256)

    @property
    def table(self) -> str:
        """The table whose rows it holds."""
        return self.name.split("/", 1)[0]


class DumpedRelease(BaseModel):
    """A release of a dump: what its publisher asks, and its collections' fingerprints."""

    name: str
    model: str
    layers: list[int]
    caution: str | None = None
    #: See `scopebook.fingerprint`; None where a layer was never collected.
    fingerprints: dict[int, str | None] = {}


class Manifest(BaseModel):
    """What a dump holds."""

    format: str
    version: int
    made_by: str
    made_at: str
    releases: list[DumpedRelease]
    #: Over the content, in all and by table; see `scopebook.interchange.content_hash`.
    content_sha256: str = Field(pattern=_SHA256)
    tables: dict[str, str]
    files: list[ManifestFile]

    def files_of(self, table: str) -> list[ManifestFile]:
        """Return a table's files in their order."""
        return [file for file in self.files if file.table == table]

    def rows_of(self, table: str) -> int:
        """Return how many rows the table's files are said to hold."""
        return sum(file.rows for file in self.files_of(table))


def read_manifest(folder: Path) -> tuple[Manifest, str]:
    """Return a dump's manifest and its SHA-256, which names the dump."""
    path = folder / NAME
    if not path.is_file():
        raise InvalidInputError(
            f"{folder} holds no {NAME}: expected a folder that `scopebook export parquet` wrote."
        )
    if path.stat().st_size > _LONGEST:
        raise InvalidInputError(f"{path} is larger than 64 MiB, which no manifest is.")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnavailableError(
            f"{path} cannot be read ({error.strerror}); make it readable."
        ) from error
    manifest = _parsed(path, content)
    if manifest.format != FORMAT or not 1 <= manifest.version <= VERSION:
        raise InvalidInputError(
            f"{path} says {shown(manifest.format)} version {manifest.version}, but this Scopebook "
            f"reads {FORMAT} up to version {VERSION}; export it anew, or upgrade Scopebook."
        )
    for file in manifest.files:
        if _FILE.fullmatch(file.name) is None:
            raise InvalidInputError(
                f"{path} names the file {shown(file.name)}: expected TABLE/00000.parquet below "
                "its own folder, so nothing of it is read."
            )
    return manifest, hashlib.sha256(content).hexdigest()


def _parsed(path: Path, content: bytes) -> Manifest:
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"])) or "the document"
        raise InvalidInputError(
            f"{path} is not the manifest of a dump ({place}: {fault['msg']}); export it anew."
        ) from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, which makes a folder of files a dump."""
    text = json.dumps(manifest.model_dump(), ensure_ascii=False, indent=1)
    (folder / NAME).write_text(text + "\n", encoding="utf-8")


def file_sha256(path: Path) -> str:
    """Return the hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
