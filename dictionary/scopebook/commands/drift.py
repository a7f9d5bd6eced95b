"""`scopebook drift`: what two labelings of one layer say of the same features."""

from typing import Annotated

import typer

from scopebook.console import dictionary, out, print_json, print_table, table
from scopebook.errors import InvalidInputError
from scopebook.label_drift import DriftReport, newest_two
from scopebook.label_drift import drift as compare


def drift(
    release: Annotated[str, typer.Argument(help="A release that was labelled more than once.")],
    layer: Annotated[int, typer.Option(help="Which of its layers.")],
    first: Annotated[int | None, typer.Option(help="A labeling by its id.")] = None,
    second: Annotated[int | None, typer.Option(help="Another one.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="List so many features.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Compare two labelings, the last two if none are named; farthest drifted features first.

    Labels are compared by their vectors, since free wording is rarely the same twice, and by
    scores on the same windows.
    """
    if (first is None) != (second is None):
        raise InvalidInputError("Two labelings are compared; give both --first ID and --second ID.")
    with dictionary() as factory, factory() as session:
        if first is None or second is None:
            first, second = newest_two(session, release, layer)
        found = compare(session, first, second, limit=limit)
    if as_json:
        print_json(found)
        return
    rows = table(
        "feature",
        "cosine",
        f"{first}: {found.first_method}",
        f"{second}: {found.second_method}",
        whole=("feature", "cosine"),
    )
    for item in found.items:
        rows.add_row(item.id, f"{item.cosine:.2f}", item.first, item.second)
    if found.items:
        print_table(rows)
    for sentence in _sentences(found):
        out.print(sentence, markup=False, highlight=False, soft_wrap=True)


def _sentences(found: DriftReport) -> list[str]:
    median = "" if found.median_cosine is None else f", median cosine {found.median_cosine:.2f}"
    said = [f"{found.same:,} of {found.compared:,} labels mean the same{median}."]
    if found.gained or found.lost:
        said.append(f"{found.gained:,} features gained a label, {found.lost:,} lost theirs.")
    other = {pair: n for pair, n in found.outcomes.items() if pair != "ok, ok"}
    if other:
        said.append("Otherwise: " + "; ".join(f"{pair} {n:,}" for pair, n in other.items()) + ".")
    for scorer, (change, count) in found.score_changes.items():
        said.append(f"{scorer}: {change:+.3f} on the same windows of {count:,} labels.")
    return said
