"""`scopebook scan`: hold a text against a collection; for people, and for CI by `--fail-if`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from sqlalchemy import select

from scopebook.artifacts import remedy_of
from scopebook.console import dictionary, err, leaving, print_json, print_table, table, watch_job
from scopebook.corpora import is_registered
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.db.tables import Corpus
from scopebook.errors import InvalidInputError, UnavailableError
from scopebook.release_names import chosen_layers
from scopebook.scan_datasets import Dataset, add_dataset
from scopebook.scan_reports import Form, ScanReport, export_scan, read_scan
from scopebook.scans import ScanRequest, check_request, registered_dataset, request_scan
from scopebook.texts import Reading

#: Features that the terminal shows.
_SHOWN = 20


Release = Annotated[str, typer.Argument(help="A registered release.")]
Source = Annotated[
    str,
    typer.Argument(
        help="A file (text, .jsonl, .csv, .tsv, .parquet; also .gz, .zst), a folder, "
        "hf:OWNER/NAME, or the name of a registered corpus."
    ),
]
Against = Annotated[
    str | None, typer.Option(help="The corpus whose newest collection is the reference.")
]
Fields = Annotated[
    str | None,
    typer.Option(help="Fields to compare, e.g. prompt,response or messages.user."),
]
FailIf = Annotated[
    list[str] | None,
    typer.Option(
        help='"MODEL/LAYER-SET/INDEX > 0.05", "\'label text\' > 0.05" or '
        '"list:NAME < 0.8": exit 1 if so many of the documents fire it. May be repeated.'
    ),
]


def scan(
    release: Release,
    dataset: Source,
    against: Against = None,
    fields: Fields = None,
    text_field: Annotated[str, typer.Option(help="The field that holds the text.")] = "text",
    layers: Annotated[str | None, typer.Option(help="E.g. 11,12 or 20-23; all if unset.")] = None,
    coverage: Annotated[str | None, typer.Option("--list", help="Features to look for.")] = None,
    fail_if: FailIf = None,
    fdr: Annotated[float, typer.Option(help="The false discovery rate.")] = 0.05,
    out: Annotated[Path | None, typer.Option(help="Write the report, one HTML file.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write all features as CSV.")] = None,
    parquet: Annotated[Path | None, typer.Option(help="Write all features as Parquet.")] = None,
    split: Annotated[str | None, typer.Option(help="Which split of a data set; train.")] = None,
    config: Annotated[str | None, typer.Option(help="Which config of a data set.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Read so many records only.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Tell which features a text fires more and less often than a collected corpus does."""
    wanted = ScanRequest(
        release=release,
        layers=chosen_layers(layers),
        against=against,
        coverage=coverage,
        fail_if=tuple(fail_if or ()),
        fdr=fdr,
    )
    reading = Reading(text_field=text_field, split=split, config=config, limit=limit)
    files: dict[Form, Path | None] = {"html": out, "csv": csv, "parquet": parquet}
    _check_folders(files.values())
    with dictionary(work=True) as factory:
        report = _scan(factory, wanted, dataset, _listed(fields), reading)
        for form, path in files.items():
            if path is not None:
                _write(factory, report.id, form, path)
    if as_json:
        print_json(report)
    else:
        _show(report)
    _end_by_conditions(report)


def _check_folders(paths: Iterable[Path | None]) -> None:
    """Refuse a file that cannot be written, before hours are spent on what it is to hold."""
    for path in paths:
        if path is not None and (path.is_dir() or not path.resolve().parent.is_dir()):
            raise InvalidInputError(
                f"{path} cannot be written; name a file in a folder that is there."
            )


def _end_by_conditions(report: ScanReport) -> None:
    """Say which conditions hold, and end with exit code 1 if one does."""
    failed = [one for one in _found(report)["conditions"] if one["failed"]]
    for one in failed:
        err.print(f"Failed: {one['sentence']}", markup=False, highlight=False, soft_wrap=True)
    if failed:
        raise typer.Exit(1)


def _listed(fields: str | None) -> list[str]:
    return [field.strip() for field in fields.split(",")] if fields else []


def _scan(
    factory: Sessions, wanted: ScanRequest, name: str, fields: list[str], reading: Reading
) -> ScanReport:
    with unit_of_work(factory) as session:
        check_request(session, wanted)
        with err.status(escape(f"Reading {name}")):
            taken = _dataset(session, name, fields, reading)
        asked = request_scan(session, taken, wanted)
        scan_id, job_id = asked.id, asked.job_id
    for problem in taken.problems:
        err.print(f"Left out {problem}", markup=False, highlight=False, soft_wrap=True)
    if taken.bad > len(taken.problems):
        err.print(f"And {taken.bad - len(taken.problems):,} more were left out.", highlight=False)
    with leaving(job_id):
        watch_job(factory, job_id)
    with unit_of_work(factory) as session:
        return read_scan(session, scan_id)


def _dataset(session: Any, name: str, fields: list[str], reading: Reading) -> Dataset:
    """Return a registered corpus of that name, or else what lies at that path."""
    known = select(Corpus.id).where(Corpus.name == name, is_registered())
    if not fields and session.scalar(known) is not None:
        return registered_dataset(session, name)
    return add_dataset(session, name, fields=fields, reading=reading)


def _write(factory: Sessions, scan_id: int, form: Form, path: Path) -> None:
    try:
        with unit_of_work(factory) as session, path.open("wb") as file:
            for piece in export_scan(session, scan_id, form):
                file.write(piece)
    except OSError as error:
        raise UnavailableError(
            f"{path} cannot be written ({error.strerror or error}); {remedy_of(error)}, then "
            f"take it from /api/scans/{scan_id}/export?form={form}."
        ) from error


def _found(report: ScanReport) -> dict[str, Any]:
    return report.summary or {"conditions": []}


def _show(report: ScanReport) -> None:
    found = _found(report)
    listed = table(
        *("label", "feature", "ratio", "95 % interval", "FDR", "documents"),
        whole=("ratio", "95 % interval", "FDR", "documents"),
    )
    rows = found["over"][:_SHOWN]
    for row in rows:
        low, high = (2.0 ** row[name] for name in ("low", "high"))
        listed.add_row(
            escape(row["label"] or ""),
            escape(row["feature"]),
            f"x{2.0 ** row['log2']:.3g}",
            f"{low:.3g} to {high:.3g}",
            f"{row['fdr']:.2g}",
            f"{row['share']:.1%}",
        )
    if rows:
        print_table(listed)
    for line in _sentences(report, found):
        err.print(line, markup=False, highlight=False, soft_wrap=True)


def _sentences(report: ScanReport, found: dict[str, Any]) -> list[str]:
    corpora = ", ".join(sorted({one["corpus"] for one in found["references"]}))
    lines = [
        f"Scan {report.id}: {found['documents']:,} documents, {found['tokens']:,} tokens, held "
        f"against {corpora}: {found['over_total']:,} of {found['tested']:,} features fire more "
        f"often, {found['under_total']:,} less often."
    ]
    near_empty = sum(part["near_empty"] for part in found["parts"])
    if near_empty:
        lines.append(f"In {near_empty:,} documents next to nothing that tells something fires.")
    covered = found["coverage"]
    if covered is not None:
        lines.append(
            f"{covered['documents']:,} documents ({covered['share']:.1%}) fire a feature of the "
            f"list {covered['name']}."
        )
    lines += [f"Passed: {one['sentence']}" for one in found["conditions"] if not one["failed"]]
    return lines
