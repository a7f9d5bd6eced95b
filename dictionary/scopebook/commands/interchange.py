"""`scopebook export` and `scopebook import`: take the dictionary away, and bring it back."""

from pathlib import Path
from typing import Annotated

import typer

from scopebook.console import dictionary, err, leaving, print_json, watch_job
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.interchange.import_report import ImportReport
from scopebook.interchange.neuronpedia_in import import_neuronpedia
from scopebook.interchange.neuronpedia_out import export_neuronpedia
from scopebook.interchange.parquet_in import import_parquet
from scopebook.interchange.parquet_out import ExportReport, export_parquet, steady
from scopebook.interchange.vectors import request_vectors
from scopebook.release_names import chosen_layers
from scopebook.sizes import size_text

exports = typer.Typer(help="Write the dictionary to files.", no_args_is_help=True)
imports = typer.Typer(help="Read files into the dictionary.", no_args_is_help=True)

NewPath = Annotated[Path, typer.Argument(help="A folder that is not there yet.")]
Release = Annotated[str | None, typer.Option(help="One release; all if unset.")]
Layers = Annotated[str | None, typer.Option(help="E.g. 11,12 or 20-23; all if unset.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@exports.command("parquet")
def parquet_out(
    path: NewPath, release: Release = None, layers: Layers = None, as_json: AsJson = False
) -> None:
    """Write everything there is to a folder of Parquet files; nothing is lost on the way back.

    docs/interchange.md describes the tables.
    """
    with dictionary() as factory, unit_of_work(factory) as session:
        steady(session)
        report = export_parquet(
            session, path, release=release, layers=chosen_layers(layers), told=_tell
        )
    if as_json:
        print_json(report)
    else:
        _say_exported(report)


@exports.command("neuronpedia")
def neuronpedia_out(
    path: NewPath, release: Release = None, layers: Layers = None, as_json: AsJson = False
) -> None:
    """Write the labels in force and the examples as Neuronpedia's importer takes them.

    That layout has no place for scores, senses, authors and more, which the report lists.
    """
    with dictionary() as factory, unit_of_work(factory) as session:
        steady(session)
        report = export_neuronpedia(
            session, path, release=release, layers=chosen_layers(layers), told=_tell
        )
    if as_json:
        print_json(report)
        return
    rows = ", ".join(f"{count:,} {table}" for table, count in report.rows.items())
    lines = [
        f"{', '.join(report.releases)}: {rows}, {size_text(report.bytes)} in {report.path}.",
        "Not written, since the layout has no place for it:",
        *(f"  {what}" for what in report.cannot_hold),
        *(f"  {count:,} {what}" for what, count in report.not_written.items() if count),
        *report.cautions,
    ]
    for line in lines:
        err.print(line, markup=False, highlight=False, soft_wrap=True)


@imports.command("parquet")
def parquet_in(
    path: Annotated[Path, typer.Argument(help="A folder that `scopebook export parquet` wrote.")],
    release: Annotated[
        str | None, typer.Option(help="Refuse a dump of anything but this release.")
    ] = None,
    verify: Annotated[
        bool, typer.Option(help="Hold what came in against the dump by its hash.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Read a dump: layers that are new come in whole, beside others stand its labels.

    Killed and started again it goes on where it was, and nothing comes in twice.
    """
    with dictionary(work=True) as factory:
        report = import_parquet(factory, path, release=release, verify=verify, told=_tell)
        _embed(factory, report)
    if as_json:
        print_json(report)
    else:
        _say_imported(report)


@imports.command("neuronpedia")
def neuronpedia_in(
    path: Annotated[Path, typer.Argument(help="A folder with `v1/`, or one source of it.")],
    release: Annotated[
        str | None, typer.Option(help="The release here that the sources are of, by layer.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read a dump in Neuronpedia's layout: labels come in as imports, with their method kept.

    Its release must be registered here. Where nothing was collected for a layer, the dump's
    activations become its examples.
    """
    with dictionary(work=True) as factory:
        report = import_neuronpedia(factory, path, release=release, told=_tell)
        _embed(factory, report)
    if as_json:
        print_json(report)
    else:
        _say_imported(report)


def _embed(factory: Sessions, report: ImportReport) -> None:
    with unit_of_work(factory) as session:
        job_id = request_vectors(session, report.releases)
    if job_id is not None:
        with leaving(job_id):
            watch_job(factory, job_id)


def _say_imported(report: ImportReport) -> None:
    lines = [f"{', '.join(report.releases)}: {report.path} is in."]
    for sentence, layers in (
        ("has its collection from the dump", report.layers_new),
        ("has one of its own, so its labels came in as imports", report.layers_known),
    ):
        lines += [
            f"Layer {', '.join(map(str, numbers))} of {release} {sentence}."
            for release, numbers in layers.items()
        ]
    lines += [
        f"  {table}: {counts.written:,} written, {counts.known:,} here already, "
        f"{counts.left_out:,} left out, {counts.refused:,} refused"
        for table, counts in report.tables.items()
        if counts.read
    ]
    lines += [f"Refused: {refusal}" for refusal in report.refusals]
    if report.refusals_file:
        lines.append(f"All {report.refused:,} refusals are in {report.refusals_file}.")
    if report.equal is not None:
        lines.append(
            "By hash, all of it is what was exported."
            if report.equal
            else f"Not as it was exported: {', '.join(report.differing)}."
        )
    for line in [*lines, *report.notes, *report.cautions]:
        err.print(line, markup=False, highlight=False, soft_wrap=True)


def _tell(table: str, rows: int) -> None:
    if err.is_terminal:
        err.print(f"{table}: {rows:,} rows", end="\r", markup=False, highlight=False)


def _say_exported(report: ExportReport) -> None:
    rows = sum(report.rows.values())
    lines = [
        f"{', '.join(report.releases)}: {rows:,} rows, {size_text(report.bytes)} in "
        f"{report.path}; content {report.content_sha256}.",
        *report.cautions,
    ]
    for line in lines:
        err.print(line, markup=False, highlight=False, soft_wrap=True)
