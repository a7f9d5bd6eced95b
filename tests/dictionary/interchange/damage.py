"""Dumps with something wrong in them, whose manifests say that all is right."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.db.tables import Sae
from scopebook.interchange.content_hash import content_hash
from scopebook.interchange.dump_rows import dump_batches
from scopebook.interchange.layout import BY_NAME, TABLES
from scopebook.interchange.manifest import file_sha256
from scopebook.interchange.numbering import number_rows

Rows = list[dict[str, Any]]


def change_table(dump: Path, table: str, change: Callable[[Any], Any]) -> None:
    """Let `change` make another Arrow table of the first file of a table."""
    path = dump / table / "00000.parquet"
    changed = change(pq.read_table(path))
    pq.write_table(changed, path)
    vouch_for(dump, path, rows=changed.num_rows)


def change_rows(dump: Path, table: str, change: Callable[[Rows], None]) -> None:
    """Let `change` alter the rows of a table in place."""

    def changed(before: Any) -> Any:
        rows = before.to_pylist()
        change(rows)
        return pa.Table.from_pylist(rows, schema=before.schema)

    change_table(dump, table, changed)


def vouch_for(dump: Path, path: Path, *, rows: int | None = None) -> None:
    """Let the manifest name a file as it is now."""
    name = path.relative_to(dump).as_posix()

    def change(manifest: dict[str, Any]) -> None:
        for file in manifest["files"]:
            if file["name"] == name:
                file["sha256"], file["bytes"] = file_sha256(path), path.stat().st_size
                file["rows"] = file["rows"] if rows is None else rows

    change_manifest(dump, change)


def change_manifest(dump: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Let `change` alter the manifest in place."""
    path = dump / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def as_version_1(session: Session, dump: Path) -> None:
    """Make a dump one of the format's first version, in which people's words were for readers."""
    saes = list(session.scalars(select(Sae)))
    tables = content_hash(session, saes, version=1).tables
    numbers = number_rows(session, saes, version=1)
    for name in ("labelings", "labels"):
        rows = pa.Table.from_batches(dump_batches(session, numbers, name))
        change_table(dump, name, lambda _, rows=rows, name=name: rows.select(BY_NAME[name].kept(1)))
    reviews = dump / "reviews/00000.parquet"
    pq.write_table(pa.table({"account": ["ada"], "verdict": ["accept"]}), reviews)
    vouch_for(dump, reviews, rows=1)
    newer = {table.name for table in TABLES if not table.kept(1)} - {"reviews"}
    for name in newer:
        shutil.rmtree(dump / name)

    def change(manifest: dict[str, Any]) -> None:
        manifest["version"], manifest["tables"] = 1, tables
        manifest["files"] = [
            file for file in manifest["files"] if file["name"].split("/")[0] not in newer
        ]

    change_manifest(dump, change)
