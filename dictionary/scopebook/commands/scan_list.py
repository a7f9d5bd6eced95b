"""`scopebook scans`: list scans, and delete one."""

from typing import Annotated

import typer
from rich.markup import escape

from scopebook.commands.deleting import DryRun, Yes, delete
from scopebook.console import dictionary, print_json, print_table, table
from scopebook.db.sessions import unit_of_work
from scopebook.deletion_preview import preview_scan
from scopebook.deletions import request_scan_deletion
from scopebook.scan_reports import list_scans

scans = typer.Typer(help="List scans; `remove` deletes one with what it found.")


@scans.callback(invoke_without_command=True)
def browse(
    context: typer.Context,
    release: Annotated[str | None, typer.Option(help="Of this release only.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="So many at most.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List scans, newest first."""
    if context.invoked_subcommand is not None:
        return
    with dictionary() as factory, unit_of_work(factory) as session:
        reports, following = list_scans(session, release=release, limit=limit)
    if as_json:
        print_json({"items": reports, "next": following})
        return
    listed = table("scan", "text", "release", "state", "when", whole=("scan", "state", "when"))
    for report in reports:
        when = f"{report.created_at:%Y-%m-%d %H:%M}"
        listed.add_row(
            *(str(report.id), escape(report.dataset), escape(report.release), report.state, when)
        )
    print_table(listed)


@scans.command()
def remove(
    scan_id: Annotated[int, typer.Argument(metavar="ID", help="A scan, by its number.")],
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Delete a scan with what it found, and its text where no other scan has it.

    A registered corpus that was scanned stays. Again, it goes on with what has stopped.
    """
    delete(
        lambda session: preview_scan(session, scan_id),
        lambda session, by: request_scan_deletion(session, scan_id, by=by),
        dry_run=dry_run,
        yes=yes,
        as_json=as_json,
    )
