"""Which files the rows of a snapshot name, and where they are read from."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final, Literal, cast

import fsspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.artifacts import open_artifact
from scopebook.backups.layout import DATA_FOLDERS, checked_path
from scopebook.db.base import Base
from scopebook.db.label_tables import Embedder
from scopebook.db.tables import Sae
from scopebook.errors import UnavailableError
from scopebook.settings import settings

#: Columns that hold names of artifacts, by their own name; those of these two hold whole paths.
_COLUMNS: Final = ("artifact", "features_artifact", "hits_artifact", "guide")
_WHOLE_PATHS: Final = ("sae", "embedder")


@dataclass(frozen=True)
class NamedFile:
    """A file that rows name."""

    root: Literal["artifacts", "data"]
    path: str
    open: Callable[[], AbstractContextManager[BinaryIO]]
    #: What people are told where it is gone.
    place: str


@dataclass
class NamedFiles:
    """All files that the rows of a snapshot name."""

    files: dict[tuple[str, str], NamedFile] = field(default_factory=dict)
    saes: dict[int, str] = field(default_factory=dict)
    embedders: dict[int, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def add(self, file: NamedFile) -> None:
        """Add a file; two rows may name the same."""
        self.files[file.root, file.path] = file


def named_files(session: Session) -> NamedFiles:
    """Return what the rows name that this session sees."""
    found = NamedFiles()
    for name in _artifacts(session):
        place = f"{settings().artifacts}/{name}"
        found.add(NamedFile("artifacts", name, lambda name=name: open_artifact(name), place))  # type: ignore[misc]
    for sae_id, artifact in session.execute(select(Sae.id, Sae.artifact).order_by(Sae.id)):
        if artifact:
            _add_sae(found, sae_id, Path(artifact))
    for embedder_id, folder in session.execute(select(Embedder.id, Embedder.artifact)):
        if folder is not None:
            _add_embedder(found, embedder_id, folder)
    return found


def artifact_columns() -> Iterator[Any]:
    """Yield every column that holds the name of an artifact."""
    for table in Base.metadata.sorted_tables:
        if table.name not in _WHOLE_PATHS:
            yield from (table.c[name] for name in _COLUMNS if name in table.c)


def _artifacts(session: Session) -> Iterator[str]:
    for column in artifact_columns():
        named = select(column).where(column.is_not(None), column != "").distinct()
        yield from session.scalars(named.order_by(column))


def _add_sae(found: NamedFiles, sae_id: int, path: Path) -> None:
    """Add an SAE's weights, under the name that they have in the data folder if they lie there."""
    data = settings().data_dir.expanduser().resolve()
    inside = path.is_relative_to(data) and path.relative_to(data).parts[0] in DATA_FOLDERS
    name = path.relative_to(data).as_posix() if inside else f"saes/restored/{sae_id}/{path.name}"
    try:
        checked_path(name)
    except ValueError:  # such as `a:b.gguf`, which not every system can have
        name = f"saes/restored/{sae_id}/weights.safetensors"
    found.saes[sae_id] = name
    opened = cast("Callable[[], AbstractContextManager[BinaryIO]]", lambda: path.open("rb"))
    found.add(NamedFile("data", name, opened, str(path)))


def _add_embedder(found: NamedFiles, embedder_id: int, folder: str) -> None:
    """Add the export of an embedder: a folder, named by where it lies as a whole."""
    name = f"embedders/{PurePosixPath(folder).name}"
    found.embedders[embedder_id] = name
    files, root = fsspec.url_to_fs(folder)
    inside = sorted(files.find(root)) if files.exists(root) else []
    if not inside:
        found.missing.append(folder)
    for path in inside:
        below = path[len(root) :].strip("/")
        if not PurePosixPath(below).name.startswith("."):  # what a killed worker left
            opened = cast(
                "Callable[[], AbstractContextManager[BinaryIO]]",
                lambda path=path: files.open(path, "rb"),
            )
            found.add(NamedFile("artifacts", f"{name}/{below}", opened, path))


def opened_or_none(file: NamedFile) -> AbstractContextManager[BinaryIO] | None:
    """Open a file; None where it is gone."""
    try:
        return file.open()
    except FileNotFoundError:
        return None
    except UnavailableError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise
    except OSError as error:
        raise UnavailableError(
            f"{file.place} cannot be read ({error.strerror or error}); let this user read it, then "
            "make the backup again."
        ) from error
