"""Write a dump: a folder of Parquet files with all that is known of some SAEs' features.

Everything is read in one snapshot, streamed table by table, and hashed on its way.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq
from sqlalchemy import text
from sqlalchemy.orm import Session

from scopebook.db.tables import Release, Sae
from scopebook.errors import NotFoundError
from scopebook.fingerprint import fingerprint
from scopebook.interchange.columns import DumpTable
from scopebook.interchange.content_hash import TableHash, whole_hash
from scopebook.interchange.dump_rows import dump_batches
from scopebook.interchange.layout import FORMAT, TABLES, VERSION
from scopebook.interchange.manifest import (
    DumpedRelease,
    Manifest,
    ManifestFile,
    file_sha256,
    write_manifest,
)
from scopebook.interchange.new_folder import check_new, new_folder
from scopebook.interchange.numbering import Numbers, number_rows
from scopebook.releases import find_saes

#: A file ends after so many rows; those of examples are about 1 KB each.
ROWS_OF_FILE: Final = 1 << 18

#: Hears which table is written, and how many of its rows are.
Told = Callable[[str, int], None]


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """What was written."""

    path: str
    format: str
    releases: list[str]
    layers: dict[str, list[int]]
    rows: dict[str, int]
    bytes: int
    content_sha256: str
    #: What publishers of the releases ask of those who use them.
    cautions: list[str]


def steady(session: Session) -> None:
    """Let the whole transaction see one state; must be the first thing said in it."""
    session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))


def export_parquet(
    session: Session,
    path: Path,
    *,
    release: str | None = None,
    layers: Sequence[int] | None = None,
    told: Told | None = None,
) -> ExportReport:
    """Write the dump of a release, of some of its layers, or of all there is, to a new folder."""
    check_new(path)
    saes = chosen_saes(session, release, layers)
    numbers = number_rows(session, saes)
    with new_folder(path) as folder:
        hashes, files = {}, []
        for table in TABLES:
            digest, written = _write_table(session, numbers, table, folder, told)
            hashes[table.name] = digest
            files += written
        manifest = Manifest(
            format=FORMAT,
            version=VERSION,
            made_by=f"scopebook {version('scopebook')}",
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            releases=_releases(session, numbers),
            content_sha256=whole_hash(hashes),
            tables=hashes,
            files=files,
        )
        write_manifest(folder, manifest)
    return _report(path, manifest)


def chosen_saes(session: Session, release: str | None, layers: Sequence[int] | None) -> list[Sae]:
    """Return the SAEs to write; there must be one at least."""
    saes = find_saes(session, release=release, layers=layers)
    if not saes:
        raise NotFoundError("There is no release here to export; add one with `scopebook add`.")
    return saes


def _write_table(
    session: Session, numbers: Numbers, table: DumpTable, folder: Path, told: Told | None
) -> tuple[str, list[ManifestFile]]:
    taken = TableHash(table)
    (folder / table.name).mkdir()
    writer = _Parts(folder, table)
    try:
        for batch in dump_batches(session, numbers, table.name):
            taken.add(batch)
            writer.write(batch)
            if told is not None:
                told(table.name, taken.rows)
    finally:
        writer.close()
    return taken.hexdigest(), writer.files


class _Parts:
    """The files of one table; the next begins where one has enough rows, so there is one always."""

    def __init__(self, folder: Path, table: DumpTable) -> None:
        self._folder = folder
        self._table = table
        self._names: list[str] = []
        self._rows: list[int] = []
        self._open()

    def _open(self) -> None:
        name = f"{self._table.name}/{len(self._names):05d}.parquet"
        self._names.append(name)
        self._rows.append(0)
        self._writer = pq.ParquetWriter(
            self._folder / name,
            self._table.schema,
            compression="zstd",
            write_page_checksum=True,
        )

    def write(self, batch: Any) -> None:
        """Write the next rows."""
        if self._rows[-1] >= ROWS_OF_FILE:
            self._writer.close()
            self._open()
        self._writer.write_batch(batch)
        self._rows[-1] += batch.num_rows

    def close(self) -> None:
        """End the last file."""
        self._writer.close()

    @property
    def files(self) -> list[ManifestFile]:
        """The files as the manifest names them."""
        return [
            ManifestFile(
                name=name,
                rows=rows,
                bytes=(self._folder / name).stat().st_size,
                sha256=file_sha256(self._folder / name),
            )
            for name, rows in zip(self._names, self._rows, strict=True)
        ]


def _releases(session: Session, numbers: Numbers) -> list[DumpedRelease]:
    found = []
    for release_id in dict.fromkeys(sae.release_id for sae in numbers.saes):
        saes = [sae for sae in numbers.saes if sae.release_id == release_id]
        release = session.get_one(Release, release_id)
        found.append(
            DumpedRelease(
                name=release.name,
                model=saes[0].model,
                layers=[sae.layer for sae in saes],
                caution=release.caution,
                fingerprints={sae.layer: _fingerprint(session, sae) for sae in saes},
            )
        )
    return found


def _fingerprint(session: Session, sae: Any) -> str | None:
    if session.get_one(Sae, sae.id).current_run_id is None:
        return None
    return fingerprint(session, sae.release, [sae.layer]).layers[sae.layer]


def _report(path: Path, manifest: Manifest) -> ExportReport:
    return ExportReport(
        path=str(path),
        format=manifest.format,
        releases=[release.name for release in manifest.releases],
        layers={release.name: release.layers for release in manifest.releases},
        rows={table: manifest.rows_of(table) for table in manifest.tables},
        bytes=sum(file.bytes for file in manifest.files),
        content_sha256=manifest.content_sha256,
        cautions=[f"{one.name}: {one.caution}" for one in manifest.releases if one.caution],
    )
