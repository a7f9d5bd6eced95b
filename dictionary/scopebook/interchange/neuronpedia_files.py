"""Find the sources of a dump in Neuronpedia's layout, and the SAEs that they are here."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.db.tables import Model, Release, Sae
from scopebook.errors import ConflictError, InvalidInputError, NotFoundError
from scopebook.interchange.json_lines import check_lines, read_lines
from scopebook.interchange.manifest import file_sha256
from scopebook.interchange.neuronpedia_layout import model_id, parse_source_id
from scopebook.release_names import shown
from scopebook.releases import find_release

TABLES: Final = ("features", "activations", "explanations")
_BATCH: Final = re.compile(r"batch-([0-9]{1,6})\.jsonl(?:\.gz)?")


@dataclass(frozen=True, kw_only=True)
class Source:
    """One layer of a dump, and the SAE that it is here."""

    folder: Path
    model: str
    name: str
    row: dict[str, Any]
    sae: Sae
    release: str

    def files(self, table: str) -> list[Path]:
        """Return a table's files in order of their numbers."""
        return _batches(self.folder / table)

    def label(self, path: Path) -> str:
        """Return how reports name one of its files."""
        return f"{self.name}/{path.parent.name}/{path.name}"


def find_sources(session: Session, path: Path, release: str | None) -> list[Source]:
    """Return the sources below a folder, each with its SAE; all files are whole.

    Raises:
        InvalidInputError: There is none, or a file is damaged.
        NotFoundError: An SAE is not registered here.
        ConflictError: The SAE here has another width.
    """
    folders = sorted(_source_folders(path), key=_in_order)
    if not folders:
        raise InvalidInputError(
            f"{path} holds no source of Neuronpedia's layout: expected a folder with features, "
            "activations or explanations, and batch-0.jsonl.gz in it."
        )
    sources = [_source(session, folder, release) for folder in folders]
    for source in sources:
        _check_files(source)
    return sources


def _source_folders(path: Path) -> Iterator[Path]:
    if any(_batches(path / table) for table in TABLES):
        yield path
        return
    for pattern in ("*", "*/*", "v1/*/*"):
        for folder in path.glob(pattern):
            if any(_batches(folder / table) for table in TABLES):
                yield folder


def _in_order(folder: Path) -> tuple[str, int, str]:
    parsed = parse_source_id(folder.name)
    return folder.parent.name, parsed[0] if parsed else -1, folder.name


def _batches(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    found = [(match, file) for file in folder.iterdir() if (match := _BATCH.fullmatch(file.name))]
    return [file for match, file in sorted(found, key=lambda pair: int(pair[0][1]))]


def _source(session: Session, folder: Path, release: str | None) -> Source:
    row = _first_row(folder / "source.jsonl")
    name, model = str(row.get("id") or folder.name), str(row.get("modelId") or folder.parent.name)
    parsed = parse_source_id(name)
    if parsed is None:
        raise InvalidInputError(
            f"{folder} names its source {shown(name)}: expected LAYER-SET or LAYER-SET__SUFFIX."
        )
    layer, set_name, _ = parsed
    found = _release(session, model, set_name, release)
    sae = session.scalar(select(Sae).where(Sae.release_id == found.id, Sae.layer == layer))
    if sae is None:
        raise NotFoundError(
            f"Layer {layer} of {found.name} is not registered here, which {folder} is for; add it "
            f"with `scopebook add {found.source} --layers {layer}`."
        )
    return Source(folder=folder, model=model, name=name, row=row, sae=sae, release=found.name)


def _first_row(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    line = next(read_lines(path), None)
    if line is None or line.value is None:
        raise InvalidInputError(f"{path} does not begin with a JSON object; copy it anew.")
    return line.value


def _release(session: Session, model: str, set_name: str, release: str | None) -> Release:
    if release is not None:
        return find_release(session, release)
    rows = session.execute(
        select(Release, Model.name).join(Model, Model.id == Release.model_id)
    ).all()
    for row in rows:
        if (model_id(row.name), row.Release.set_name) == (model.lower(), set_name):
            found: Release = row.Release
            return found
    known = ", ".join(sorted(row.Release.name for row in rows))
    raise NotFoundError(
        f"No release here has the set {set_name} of {model}; "
        + (
            f"name the one that it is with --release (there is {known})."
            if known
            else "add the release with `scopebook add` first: a dump of that layout has no weights."
        )
    )


def _check_files(source: Source) -> None:
    config = source.row.get("saelensConfig")
    width = config.get("d_sae") if isinstance(config, dict) else None
    for table in ("activations", "explanations"):
        for path in source.files(table):
            check_lines(path)
    indices = {
        index
        for path in source.files("features")
        for line in read_lines(path)
        if line.value is not None and (index := read_index(line.value.get("index"))) is not None
    }
    if width is None and indices and len(indices) == max(indices) + 1:
        width = len(indices)
    if width is None and indices and max(indices) >= source.sae.d_sae:
        width = max(indices) + 1
    if isinstance(width, int) and width != source.sae.d_sae:
        raise ConflictError(
            f"{source.folder} is for an SAE of {width:,} features, and layer {source.sae.layer} of "
            f"{source.release} has {source.sae.d_sae:,} here: it is another SAE, whose labels do "
            "not hold for it."
        )


def read_index(value: Any) -> int | None:
    """Return a feature's number, which comes as a number or as text; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    return None


def dump_sha256(sources: Sequence[Source]) -> str:
    """Return a hash over the dump's files and the SAEs that they are read for."""
    whole = hashlib.sha256()
    for source in sources:
        whole.update(f"{source.name} {source.release} {source.sae.layer}\n".encode())
        for table in TABLES:
            for path in source.files(table):
                whole.update(f"{table}/{path.name} {file_sha256(path)}\n".encode())
    return whole.hexdigest()
