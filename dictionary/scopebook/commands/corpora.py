"""`scopebook corpus`: register text and list what is registered."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from scopebook.console import dictionary, err, out, print_json
from scopebook.corpora import add_corpus
from scopebook.db.sessions import unit_of_work
from scopebook.inventory import list_corpora


def add(
    name: Annotated[str, typer.Argument(help="What to call it.")],
    source: Annotated[Path, typer.Argument(help="A file or a folder of text.")],
    text_field: Annotated[str, typer.Option(help="The field that holds the text.")] = "text",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Register a body of text."""
    with dictionary() as factory, unit_of_work(factory) as session:
        report = add_corpus(session, name, source, text_field=text_field)
    if as_json:
        print_json(report)
        return
    err.print(str(report), markup=False, highlight=False)


def browse(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the registered corpora."""
    with dictionary() as factory, unit_of_work(factory) as session:
        reports = list_corpora(session)
    if as_json:
        print_json({"items": reports, "next": None})
        return
    table = Table("corpus", "documents", "size", "tags")
    for report in reports:
        tags = ", ".join(f"{tag} {count}" for tag, count in report.tags.items())
        table.add_row(
            report.name, f"{report.documents:,}", f"{report.size_bytes / 1e6:.1f} MB", tags
        )
    out.print(table)
