"""`scopebook doctor`: what is wrong with machine, servers and work, and what mends it."""

from typing import Annotated

import typer

from scopebook.console import out, print_json
from scopebook.embedded.checks import Check, machine_checks
from scopebook.embedded.server_checks import server_checks
from scopebook.embedded.work_checks import work_checks
from scopebook.settings import settings

_MARKS = {"fine": "ok", "note": "--", "missing": "!!"}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Say what is missing or stuck, and the command that mends it; exit code 1 if anything is."""
    looks = [*machine_checks(settings()), *server_checks(settings())]
    checks = [look() for look in looks]
    if any(check.name == "Database" and check.state == "fine" for check in checks):
        checks += work_checks(settings())
    fine = all(check.state != "missing" for check in checks)
    if as_json:
        print_json({"fine": fine, "checks": checks})
    else:
        for check in checks:
            _print(check)
    if not fine:
        raise typer.Exit(1)


def _print(check: Check) -> None:
    lines = [f"{_MARKS[check.state]}  {check.name:<20} {check.says}"]
    if check.mend:
        lines.append(f"{'':24} mend it: {check.mend}")
    for line in lines:
        out.print(line, markup=False, highlight=False, soft_wrap=True)
