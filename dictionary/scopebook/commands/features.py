"""`scopebook search` and `scopebook feature`: find features and read one."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from scopebook.alike import Alike, labelled_alike
from scopebook.console import dictionary, err, out, print_json
from scopebook.db.sessions import unit_of_work
from scopebook.embedding import query_embedder
from scopebook.examples import Example
from scopebook.feature_page import read_feature
from scopebook.feature_views import FeatureInFull, Statistics
from scopebook.inventory import take_inventory, what_is_missing
from scopebook.release_names import chosen_layers, parse_feature_id
from scopebook.search import ORDERS, Hit, Order, search_features
from scopebook.search_filters import SOURCES, STATES, Filters, chosen, range_of

_EXAMPLES_SHOWN = 5
#: A share of the peak above which a token is marked.
_MARKED = 0.3


def search(
    query: Annotated[str, typer.Argument(help="A concept, words of a label, or a feature's id.")],
    release: Annotated[str | None, typer.Option(help="Only this release.")] = None,
    layer: Annotated[str | None, typer.Option(help="Only these layers, e.g. 11,12.")] = None,
    state: Annotated[
        list[str] | None, typer.Option(help=f"How far the label is: {', '.join(STATES)}.")
    ] = None,
    source: Annotated[
        list[str] | None, typer.Option(help="Whose label: keywords, llm, person, import.")
    ] = None,
    flag: Annotated[list[str] | None, typer.Option(help="Only with this flag.")] = None,
    without_flag: Annotated[list[str] | None, typer.Option(help="Only without it.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Only with one of these tags.")] = None,
    density: Annotated[
        str | None, typer.Option(help="Share of tokens, as a range: 0.0001..0.01, ..0.1.")
    ] = None,
    score: Annotated[str | None, typer.Option(help="Of the label, as a range: 0.8..")] = None,
    sort: Annotated[
        str, typer.Option(help="What comes first: relevance, density, max or score.")
    ] = "relevance",
    limit: Annotated[int, typer.Option(min=1, max=200, help="Hits to print.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Find features by concept."""
    layers = chosen_layers(layer)
    densities, scores = range_of("--density", density), range_of("--score", score)
    wanted = Filters(
        release=release,
        layers=None if layers is None else tuple(layers),
        states=chosen("--state", state, STATES),
        sources=chosen("--source", source, SOURCES),
        flags=tuple(flag or ()),
        without_flags=tuple(without_flag or ()),
        tags=tuple(tag or ()),
        density_min=densities[0],
        density_max=densities[1],
        score_min=scores[0],
        score_max=scores[1],
    )
    [order] = chosen("--sort", [sort], ORDERS)
    _search(query, wanted, order, limit, as_json=as_json)


def _search(query: str, wanted: Filters, order: Order, limit: int, *, as_json: bool) -> None:
    with dictionary() as factory, unit_of_work(factory) as session:
        answer = search_features(
            session,
            query,
            embed=query_embedder(factory),
            filters=wanted,
            order=order,
            limit=limit,
            preview=True,
        )
        hint = "" if answer.items else what_is_missing(take_inventory(session))
    if as_json:
        print_json({"items": answer.items, "next": answer.next, "meant": answer.meant})
        return
    for word, near in answer.meant.items():
        err.print(f"No label holds {word!r}; searched {', '.join(near)} too.", markup=False)
    if answer.items:
        _print_hits(answer.items)
    else:
        err.print(f"No feature answers {query!r}. {hint}".strip(), markup=False, soft_wrap=True)


def _print_hits(hits: Sequence[Hit]) -> None:
    """Print each hit in three lines, which also a narrow terminal can show."""
    for hit in hits:
        head = Text(hit.label.text if hit.label else "unlabelled", style="bold")
        if hit.label:
            head.append(f"  [{hit.label.source}]", style="not bold dim")
        density = f"{hit.density:.2%} of tokens" if hit.density is not None else "not collected"
        out.print(head)
        out.print(Text(f"  {hit.id}  ·  {density}  ·  by {', '.join(hit.matched)}", style="dim"))
        if hit.preview:
            out.print(Padding(_marked(hit.preview), (0, 0, 1, 2)))


def _marked(example: Example) -> Text:
    """Return the example with its firing tokens set off."""
    text = Text(overflow="fold")
    for i, token in enumerate(example.tokens):
        strong = token.activation >= _MARKED * example.activation > 0
        style = "bold reverse" if i == example.peak else "underline" if strong else ""
        text.append(token.text.replace("\n", "↵"), style=style)
    return text


def feature(
    feature_id: Annotated[str, typer.Argument(metavar="MODEL/LAYER-SET/INDEX")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show everything known of one feature."""
    wanted = parse_feature_id(feature_id, any_index=True)
    with dictionary() as factory, unit_of_work(factory) as session:
        found = read_feature(session, wanted)
        alike, total = labelled_alike(session, wanted)
    if as_json:
        print_json(asdict(found) | {"labelled_alike": alike, "labelled_alike_total": total})
    else:
        _print_feature(found, alike, total)


def _print_feature(found: FeatureInFull, alike: Sequence[Alike], total: int) -> None:
    label = f"{found.label.text}  [{found.label.source}]" if found.label else "unlabelled"
    out.print(Text(found.id, style="bold"))
    out.print(Text(label))
    facts = Table.grid(padding=(0, 2))
    for name, value in _facts(found):
        facts.add_row(Text(name, style="dim"), Text(value, overflow="fold"))
    for name, value in _in_rows(alike, total):
        facts.add_row(Text(name, style="dim"), Text(value, overflow="fold"))
    out.print(facts)
    for example in found.examples[:_EXAMPLES_SHOWN]:
        out.print(Text(f"\n{example.activation:.2f}  {example.document.name}", style="dim"))
        out.print(_marked(example))


def _facts(found: FeatureInFull) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    measured = found.statistics
    if measured is None:
        rows.append(("evidence", "none: its layer was not collected"))
    else:
        rows += [
            ("corpus", f"{measured.corpus}, {measured.tokens_seen:,} tokens"),
            ("fires on", f"{measured.density:.3%} of tokens, {measured.contexts:,} contexts"),
            ("activation", f"mean {measured.mean:.2f}, largest {measured.max:.2f}"),
            *_activity(measured),
            (
                "top tokens" if measured.top_tokens_exact else "top tokens ≈",
                _tokens(measured.top_tokens),
            ),
            ("flags", ", ".join(found.flags) or "none"),
        ]
    return [
        *rows,
        ("promotes", _tokens(found.promoted)),
        ("suppresses", _tokens(found.suppressed)),
        ("near", ", ".join(f"{n.index} ({n.cosine:.2f})" for n in found.neighbours)),
    ]


def _in_rows(alike: Sequence[Alike], total: int) -> list[tuple[str, str]]:
    """Return the features that are labelled nearly the same, one in a row."""
    rows = []
    for place, one in enumerate(alike):
        near = "" if one.direction is None else f", directions {one.direction:.2f}"
        name = "" if place else "labelled alike"
        rows.append((name, f"{one.cosine:.2f}  {one.id}  {one.label.text}{near}"))
    left = total - len(alike)
    return [*rows, ("", f"and {left:,} more")] if left else rows


def _activity(measured: Statistics) -> list[tuple[str, str]]:
    """Return where in the corpus it fired first and last, if the run kept it."""
    ends = (("fires first", measured.first_seen), ("fires last", measured.last_seen))
    return [
        (name, f"in {end.document.name}, {end.position:.0%} through the corpus")
        for name, end in ends
        if end
    ]


def _tokens(weights: Sequence[Any]) -> str:
    return "  ".join(f"{weight.text!r}" for weight in weights)
