"""Read a dump in Neuronpedia's layout: explanations as imported labels, activations as examples.

Its features are held against an SAE that is registered here; where nothing was collected for it,
the dump's activations and statistics become a collection. A batch of lines, or a file of
activations, is one transaction, so that a killed import goes on where it was.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from scopebook.db.label_tables import Label
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.db.tables import FEATURE_BITS, Evidence, Release, Run, Sae
from scopebook.interchange.import_progress import (
    DumpRow,
    Place,
    Progress,
    Told,
    begin_import,
    end_import,
    keep_rows,
    kept_rows,
)
from scopebook.interchange.import_report import ImportReport
from scopebook.interchange.json_lines import read_lines
from scopebook.interchange.neuronpedia_collection import (
    Collection,
    begin_collection,
    vocabulary,
    write_examples,
)
from scopebook.interchange.neuronpedia_files import Source, dump_sha256, find_sources, read_index
from scopebook.interchange.neuronpedia_labels import COLUMNS as LABEL_COLUMNS
from scopebook.interchange.neuronpedia_labels import ExplanationsOf
from scopebook.interchange.neuronpedia_out import FORMAT
from scopebook.interchange.neuronpedia_statistics import COLUMNS as EVIDENCE_COLUMNS
from scopebook.interchange.neuronpedia_statistics import statistics
from scopebook.interchange.row_checks import RefusedRowError
from scopebook.interchange.row_writer import Ready, write_rows
from scopebook.labelings import settle_labels

#: Lines of one transaction.
TOGETHER = 1_024
#: Of each source, by its place: the run, the corpus and the cut that it fills.
_KEPT: Final = ("run", "corpus", "cut")


@dataclass(kw_only=True)
class _Reading:
    """An import under way."""

    sources: list[Source]
    progress: Progress
    #: By the source's place; a source of an SAE that has a collection has none.
    collections: dict[int, Collection] = field(default_factory=dict)

    def lines(self, at: int, table: str) -> Iterator[tuple[Path, Iterator[DumpRow]]]:
        """Yield a source's files of a table, each with its lines."""
        source = self.sources[at]
        for path in source.files(table):
            yield path, _rows(source, path)

    def good(self, table: str, source: Source, rows: Sequence[DumpRow]) -> list[DumpRow]:
        """Return the rows that name one of the source's features; the others are refused."""
        found = []
        for row in rows:
            fault = _fault(source, row)
            if fault is None:
                found.append(row)
            else:
                self.progress.refuse(table, row.place, fault)
        return found


def import_neuronpedia(
    factory: Sessions, path: Path, *, release: str | None = None, told: Told | None = None
) -> ImportReport:
    """Read every source below a folder, for the release named or those that the sources name."""
    path = path.expanduser()
    with factory() as session:
        sources = find_sources(session, path, release)
        session.expunge_all()
    progress = begin_import(
        factory, sha256=dump_sha256(sources), kind=FORMAT, source=path.absolute(), told=told
    )
    reading = _Reading(sources=sources, progress=progress)
    _begin_collections(reading)
    for at in range(len(sources)):
        _read(reading, at, "features", _write_features)
    for at in range(len(sources)):
        _read_activations(reading, at)
    for at in range(len(sources)):
        _read(reading, at, "explanations", _write_explanations)
    _publish(reading)
    return _report(factory, path, reading)


def _rows(source: Source, path: Path) -> Iterator[DumpRow]:
    label = source.label(path)
    for line in read_lines(path):
        values = line.value or {}
        known = {**values, "index": read_index(values.get("index")), "problem": line.problem}
        yield DumpRow(Place(label, line.number), known)


def _fault(source: Source, row: DumpRow) -> str | None:
    values = row.values
    if values["problem"] is not None:
        return str(values["problem"])
    for key, expected in (("layer", source.name), ("modelId", source.model)):
        if values.get(key, expected) != expected:
            return f"its {key} is {str(values[key])[:60]!r}, and the source's is {expected!r}"
    if values["index"] is None or not 0 <= values["index"] < source.sae.d_sae:
        return f"its index is not one of the SAE's {source.sae.d_sae:,} features"
    return None


def _begin_collections(reading: _Reading) -> None:
    with reading.progress.phase("ground") as session:
        if session is not None:
            for at, source in enumerate(reading.sources):
                if source.files("activations") and _has_none(session, source):
                    found = begin_collection(session, source)
                    ids = (found.run_id, found.corpus_id, found.tokenisation_id)
                    for kind, row_id in zip(_KEPT, ids, strict=True):
                        keep_rows(session, reading.progress.import_id, kind, [(at, row_id)])
                elif source.files("activations"):
                    reading.progress.note(
                        f"Layer {source.sae.layer} of {source.release} has examples of its own, "
                        f"so the activations of {source.name} were left out."
                    )
    with reading.progress.factory() as session:
        runs, corpora, cuts = (
            kept_rows(session, reading.progress.import_id, kind) for kind in _KEPT
        )
        for at, run_id in runs.items():
            tokens = session.get_one(Run, run_id).tokens_seen or 0
            reading.collections[at] = Collection(
                run_id=run_id, corpus_id=corpora[at], tokenisation_id=cuts[at], tokens_seen=tokens
            )


def _has_none(session: Session, source: Source) -> bool:
    """Return whether nothing was collected for the source's SAE."""
    first = source.sae.id << FEATURE_BITS
    evidence = select(Evidence.run_id).where(
        Evidence.feature_id >= first, Evidence.feature_id < first + (1 << FEATURE_BITS)
    )
    return session.scalar(evidence.limit(1)) is None


def _key(at: int, table: str) -> str:
    """Return under which name a source's table is counted."""
    return table if at == 0 else f"{table} {at + 1}"


def _read(reading: _Reading, at: int, table: str, write: Any) -> None:
    skip = reading.progress.of(_key(at, table)).read
    batch: list[DumpRow] = []

    def take() -> None:
        with reading.progress.batch() as session:
            good = reading.good(_key(at, table), reading.sources[at], batch)
            write(session, reading, at, good)
            reading.progress.of(_key(at, table)).read += len(batch)
        reading.progress.tell(_key(at, table))
        batch.clear()

    for _, rows in reading.lines(at, table):
        for row in rows:
            if skip:
                skip -= 1
                continue
            batch.append(row)
            if len(batch) == TOGETHER:
                take()
    if batch:
        take()


def _ready(reading: _Reading, table: str, rows: Sequence[DumpRow], values_of: Any) -> list[Ready]:
    found: list[Ready] = []
    for row in rows:
        try:
            values = values_of(row)
        except RefusedRowError as refused:
            reading.progress.refuse(table, row.place, str(refused))
            continue
        if values is None:
            reading.progress.of(table).known += 1
        else:
            found.append((row, values))
    return found


def _write(
    session: Session, reading: _Reading, table: str, target: Any, columns: Any, rows: list[Ready]
) -> None:
    def refuse(place: Place, reason: str) -> None:
        reading.progress.refuse(table, place, reason)

    written = write_rows(session, target, columns, rows, refuse)
    reading.progress.of(table).written += len(written)


def _write_features(session: Session, reading: _Reading, at: int, rows: list[DumpRow]) -> None:
    collection, sae = reading.collections.get(at), reading.sources[at].sae
    table = _key(at, "features")
    if collection is None:
        reading.progress.of(table).left_out += len(rows)
        return

    def values_of(row: DumpRow) -> Sequence[Any]:
        return statistics(
            row.values,
            run_id=collection.run_id,
            feature_id=sae.id << FEATURE_BITS | row.values["index"],
            tokens_seen=collection.tokens_seen,
        )

    ready = _ready(reading, table, rows, values_of)
    _write(session, reading, table, Evidence, EVIDENCE_COLUMNS, ready)


def _write_explanations(session: Session, reading: _Reading, at: int, rows: list[DumpRow]) -> None:
    table = _key(at, "explanations")
    made = ExplanationsOf(session, reading.sources[at], rows)
    ready = _ready(reading, table, rows, made.values_of)
    _write(session, reading, table, Label, LABEL_COLUMNS, ready)


def _read_activations(reading: _Reading, at: int) -> None:
    table, source = _key(at, "activations"), reading.sources[at]
    counts = reading.progress.of(table)
    collection, before = reading.collections.get(at), counts.read
    with reading.progress.factory() as session:
        ids = vocabulary(session, source) if collection else {}
    for _, rows in reading.lines(at, table.split()[0]):
        lines = 0

        def counted(rows: Iterator[DumpRow] = rows) -> Iterator[DumpRow]:
            nonlocal lines
            for row in rows:
                lines += 1
                yield from reading.good(table, source, [row])

        if before:
            # A file is one transaction, so what was read ends where a file ends.
            before -= sum(1 for _ in rows)
            continue
        with reading.progress.batch() as session:
            if collection is None:
                counts.left_out += sum(1 for _ in counted())
            else:
                refuse = _refuser(reading, table)
                kept = write_examples(session, source, collection, counted(), ids, refuse)
                counts.written += kept.written
                counts.known += kept.repeated
                counts.left_out += kept.dropped
            counts.read += lines
        reading.progress.tell(table)


def _refuser(reading: _Reading, table: str) -> Any:
    return lambda row, reason: reading.progress.refuse(table, row.place, reason)


def _publish(reading: _Reading) -> None:
    with reading.progress.batch() as session:
        for at, collection in reading.collections.items():
            session.execute(
                update(Sae)
                .where(Sae.id == reading.sources[at].sae.id)
                .values(current_run_id=collection.run_id)
            )
        settle_labels(session, [source.sae.id for source in reading.sources])
        end_import(session, reading.progress.import_id)


def _report(factory: Sessions, path: Path, reading: _Reading) -> ImportReport:
    progress = reading.progress
    padding = sum(c.left_out for table, c in progress.counts.items() if "activations" in table)
    notes = list(progress.notes)
    if reading.collections and padding:
        notes.append(
            f"{padding:,} activations in which nothing fires, or of features whose examples were "
            "in already, were dropped."
        )
    layers: dict[str, list[int]] = {}
    for source in reading.sources:
        layers.setdefault(source.release, []).append(source.sae.layer)
    new = {reading.sources[at].sae.id for at in reading.collections}
    with unit_of_work(factory) as session:
        releases = session.execute(
            select(Release.name, Release.caution).where(Release.name.in_(layers))
        ).all()
    refused = sum(counts.refused for counts in progress.counts.values())
    return ImportReport(
        path=str(path),
        format=FORMAT,
        releases=sorted(layers),
        layers_new=_layers(reading.sources, new, inside=True),
        layers_known=_layers(reading.sources, new, inside=False),
        tables=progress.counts,
        refused=refused,
        refusals=progress.refusals.first(),
        refusals_file=str(progress.refusals.path) if refused else None,
        resumed=progress.resumed,
        equal=None,
        differing=[],
        notes=notes,
        cautions=[f"{row.name}: {row.caution}" for row in releases if row.caution],
    )


def _layers(sources: Sequence[Source], new: set[int], *, inside: bool) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for source in sources:
        if (source.sae.id in new) == inside:
            found.setdefault(source.release, []).append(source.sae.layer)
    return found
