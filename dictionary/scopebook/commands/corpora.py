"""`scopebook corpus`: register text, list what is registered, delete it again."""

from typing import Annotated

import typer
from rich.markup import escape

from scopebook.commands.deleting import DryRun, Yes, delete
from scopebook.console import dictionary, err, print_json, print_table, table
from scopebook.corpora import CorpusReport, add_corpus
from scopebook.db.sessions import unit_of_work
from scopebook.deletion_preview import preview_corpus
from scopebook.deletions import request_corpus_deletion
from scopebook.inventory import list_corpora
from scopebook.sizes import size_text
from scopebook.texts import Reading

corpus = typer.Typer(help="Bodies of text that features are collected over.", no_args_is_help=True)


@corpus.command()
def add(
    name: Annotated[str, typer.Argument(help="What to call it.")],
    source: Annotated[
        str,
        typer.Argument(
            help="A file (text, .jsonl, .csv, .tsv, .parquet; also .gz, .zst), a folder, or "
            "hf:OWNER/NAME, a data set of the Hugging Face hub."
        ),
    ],
    text_field: Annotated[str, typer.Option(help="The field that holds the text.")] = "text",
    extend: Annotated[
        bool, typer.Option("--extend", help="Append the new texts to a corpus that is there.")
    ] = False,
    split: Annotated[str | None, typer.Option(help="Which split of a data set; train.")] = None,
    config: Annotated[str | None, typer.Option(help="Which config of a data set.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Read so many records only.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Register a body of text."""
    reading = Reading(text_field=text_field, split=split, config=config, limit=limit)
    with (
        dictionary() as factory,
        unit_of_work(factory) as session,
        err.status(escape(name)) as status,
    ):

        def show(so_far: CorpusReport) -> None:
            status.update(f"{so_far.documents:,} documents, {so_far.characters:,} characters")

        report = add_corpus(session, name, source, reading=reading, extend=extend, progress=show)
    if as_json:
        print_json(report)
        return
    err.print(str(report), markup=False, highlight=False, soft_wrap=True)


@corpus.command("list")
def browse(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the registered corpora."""
    with dictionary() as factory, unit_of_work(factory) as session:
        reports = list_corpora(session)
    if as_json:
        print_json({"items": reports, "next": None})
        return
    listed = table(
        "corpus", "documents", "near-duplicates", "size", "tags", whole=("documents", "size")
    )
    for report in reports:
        tags = ", ".join(f"{tag} {count}" for tag, count in report.tags.items())
        listed.add_row(
            escape(report.name),
            f"{report.documents:,}",
            f"{report.near_duplicates:,}",
            size_text(report.size_bytes),
            escape(tags),
        )
    print_table(listed)


@corpus.command()
def remove(
    name: Annotated[str, typer.Argument(help="A registered corpus.")],
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Delete a corpus with its collections and everything else that was made of its text.

    Again, it goes on with a deletion that has stopped.
    """
    delete(
        lambda session: preview_corpus(session, name),
        lambda session, by: request_corpus_deletion(session, name, by=by),
        dry_run=dry_run,
        yes=yes,
        as_json=as_json,
    )
