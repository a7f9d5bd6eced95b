"""`scopebook export` and `scopebook import`: take the dictionary away, and bring it back."""

from pathlib import Path
from typing import Annotated

import typer

from scopebook.console import dictionary, err, print_json
from scopebook.db.sessions import unit_of_work
from scopebook.interchange.parquet_out import ExportReport, export_parquet, steady
from scopebook.release_names import chosen_layers

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


def _tell(table: str, rows: int) -> None:
    if err.is_terminal:
        err.print(f"{table}: {rows:,} rows", end="\r", markup=False, highlight=False)


def _say_exported(report: ExportReport) -> None:
    rows = sum(report.rows.values())
    lines = [
        f"{', '.join(report.releases)}: {rows:,} rows, {report.bytes / 1e6:,.1f} MB in "
        f"{report.path}; content {report.content_sha256}.",
        *report.cautions,
    ]
    for line in lines:
        err.print(line, markup=False, highlight=False, soft_wrap=True)
