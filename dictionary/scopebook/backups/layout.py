"""What a backup holds: tables as they are copied out, files by their paths, and a manifest.

manifest.json                   what is in it, with a SHA-256 for each part and one over itself
tables/<table>.copy.zst         the rows in PostgreSQL's text format of COPY
artifacts/<name>                the artifacts that rows name
data/<name>                     the weights of SAEs, which lie in the data folder
"""

import hashlib
import json
from datetime import datetime
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

#: Counted up when an older Scopebook could no longer read it.
VERSION: Final = 1
MANIFEST: Final = "manifest.json"
#: No manifest is longer: it holds a line for each file.
LONGEST_MANIFEST: Final = 1 << 28
#: Rows that are of no use in another place or at a later time: who looks at what, what was asked
#: live, and the logins of browsers, so that a backup brings back none that was ended since.
LEFT_OUT: Final = frozenset({"inference", "presence", "login_session", "one_time_link", "worker"})
#: Folders of the data folder that hold weights of SAEs.
DATA_FOLDERS: Final = ("saes", "vectors")


#: Bytes of a name in a folder that every file system takes.
_PIECE: Final = 240


def checked_path(path: str) -> str:
    """Refuse what could lie elsewhere than under the folder that it is meant for."""
    pieces = path.split("/")
    if (
        not 0 < len(path) <= 1000
        or any(piece in ("", ".", "..") or len(piece.encode()) > _PIECE for piece in pieces)
        or any(ord(character) < 32 or character in "\\:" for character in path)
    ):
        raise ValueError("is no path inside a folder")
    return path


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$")]
Count = Annotated[int, Field(ge=0)]
InFolder = Annotated[str, AfterValidator(checked_path)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class TablePart(_Strict):
    """The rows of a table."""

    table: Name
    columns: list[Name]
    rows: Count
    #: Of the text, before it was compressed.
    text_bytes: Count
    size_bytes: Count
    sha256: Sha256

    @property
    def name(self) -> str:
        """Where it lies in the backup."""
        return f"tables/{self.table}.copy.zst"


class FilePart(_Strict):
    """A file of the instance."""

    root: Literal["artifacts", "data"]
    path: InFolder
    size_bytes: Count
    sha256: Sha256

    @model_validator(mode="after")
    def _in_a_known_folder(self) -> Self:
        if self.root == "data" and self.path.split("/")[0] not in DATA_FOLDERS:
            raise ValueError("is in no folder of weights")
        return self

    @property
    def name(self) -> str:
        """Where it lies in the backup."""
        return f"{self.root}/{self.path}"


class Manifest(_Strict):
    """What a backup says of itself."""

    format: Literal["scopebook-backup"]
    version: int
    #: Which Scopebook wrote it, and at which revision of the schema.
    scopebook: str
    revision: str
    made_at: Annotated[datetime, Field(strict=False)]
    tables: list[TablePart]
    files: list[FilePart]
    #: The last value of each sequence, by `table.column`.
    sequences: dict[str, Count]
    #: Where rows point at whole paths: the file of each SAE, the folder of each embedder, by row.
    saes: Annotated[dict[int, InFolder], Field(strict=False)]
    embedders: Annotated[dict[int, InFolder], Field(strict=False)]
    #: What rows name and could not be found.
    missing: list[str]

    @property
    def parts(self) -> list[TablePart | FilePart]:
        """All of it but the manifest."""
        return [*self.tables, *self.files]


def written(manifest: Manifest) -> bytes:
    """Return the file of a manifest, with a SHA-256 over all else that it says."""
    said = json.loads(manifest.model_dump_json())
    return json.dumps({**said, "sha256": _digest(said)}, indent=1).encode()


def _digest(said: dict[str, object]) -> str:
    canonical = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def read(content: bytes) -> Manifest:
    """Return the manifest of a file; raise ValueError where it is none, or not as it was written.

    The version is for the caller to check (`version_of`), since another one may say other things.
    """
    said = json.loads(content)
    if not isinstance(said, dict) or said.pop("sha256", None) != _digest(said):
        raise ValueError("the manifest is not as it was written")
    return Manifest.model_validate_json(json.dumps(said))


def version_of(content: bytes) -> int | None:
    """Return the format's version, as far as the content is a manifest at all."""
    try:
        said = json.loads(content)
    except (ValueError, RecursionError):
        return None
    is_ours = isinstance(said, dict) and said.get("format") == "scopebook-backup"
    version = said.get("version") if is_ours else None
    return version if isinstance(version, int) else None
