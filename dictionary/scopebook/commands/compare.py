"""`scopebook compare`: run two texts, or two files of texts, and show in what they differ."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from scopebook.accounts import local_actor
from scopebook.activations import unpack_activations
from scopebook.commands.waiting import short_name, wait_for
from scopebook.comparing import (
    MEASURES,
    SHARED,
    SIDES,
    Comparison,
    Contrast,
    Difference,
    SideOfFeature,
    SideView,
    compare,
)
from scopebook.console import dictionary, err, print_json, print_table, table
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.errors import InvalidInputError
from scopebook.inference_requests import Place, Prompt, ask_comparison, find_place
from scopebook.release_names import chosen_layers
from scopebook.search_filters import chosen

#: A false discovery rate up to which a difference is called one.
_SURE = 0.05


def compare_texts(
    model: Annotated[str, typer.Argument(help="A model with one release here, or a release.")],
    a: Annotated[str, typer.Argument(help="A text, or @FILE: a text in each line.")],
    b: Annotated[str, typer.Argument(help="The other text, or @FILE.")],
    layers: Annotated[str | None, typer.Option(help="Only these, e.g. 11,12 or 4-8.")] = None,
    sort: Annotated[str, typer.Option(help=f"By what: {', '.join(MEASURES)}.")] = "effect",
    leave_out: Annotated[
        list[str] | None,
        typer.Option(help="What both share: prefix, tokens, or nothing [default: prefix]."),
    ] = None,
    more_in: Annotated[str | None, typer.Option(help="Only what is more in a, or in b.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Dense, position and register features too.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Features to show.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show in which features two texts, or two sets of texts, differ."""
    [order] = chosen("--sort", [sort], MEASURES)
    sides = chosen("--more-in", [more_in] if more_in else [], SIDES)
    shared = [] if leave_out == ["nothing"] else leave_out or ["prefix"]
    wanted = Contrast(
        order=order,
        everything=everything,
        leave_out=chosen("--leave-out", shared, SHARED),
        more_in=sides[0] if sides else None,
        limit=limit,
    )
    texts = (_prompts(a), _prompts(b))
    place = Place(model=model, layers=chosen_layers(layers))
    with dictionary(work=True) as factory:
        release, seen = _compare(factory, place, texts, wanted)
    if as_json:
        print_json(_document(release, seen))
    else:
        _print(seen)


def _prompts(given: str) -> list[Prompt]:
    if not given.startswith("@"):
        return [Prompt(text=given)]
    try:
        lines = Path(given[1:]).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(
            f"{given[1:]} cannot be read as text ({error}); give a file in UTF-8 with a text in "
            "each line, or JSON strings."
        ) from error
    return [Prompt(text=_line(line)) for line in lines if line.strip()]


def _line(line: str) -> str:
    """Return a line's text; one that is a JSON string can hold line ends."""
    if line.startswith('"'):
        try:
            found = json.loads(line)
        except ValueError:
            return line
        if isinstance(found, str):
            return found
    return line


def _compare(
    factory: Sessions, place: Place, texts: tuple[list[Prompt], list[Prompt]], wanted: Contrast
) -> tuple[str, Comparison]:
    with unit_of_work(factory) as session:
        release, _ = find_place(session, place)
        asked = ask_comparison(session, local_actor(session), place, *texts)
    found = unpack_activations(wait_for(factory, asked))
    with unit_of_work(factory) as session:
        return release.name, compare(session, found, release.id, len(texts[0]), wanted)


def _document(release: str, seen: Comparison) -> dict[str, Any]:
    return {
        "release": release,
        "test": seen.test,
        "a": _side(seen.a),
        "b": _side(seen.b),
        "differences": [_row(seen, one) for one in seen.differences],
        "firing": seen.firing,
        "hidden": seen.hidden,
    }


def _side(side: SideView) -> dict[str, Any]:
    return {
        "texts": side.texts,
        "compared": side.compared,
        "text": side.text,
        "pieces": side.pieces,
        "tokens": side.tokens,
        "left_out": side.left_out,
    }


def _row(seen: Comparison, one: Difference) -> dict[str, Any]:
    view = seen.features[one.feature_id]
    return {
        "id": view.id,
        "label": view.label.text if view.label else None,
        "flags": view.flags,
        "density": view.density,
        "more_in": one.more_in,
        "effect": one.effect,
        "p": one.p,
        "q": one.q,
        "a": one.a,
        "b": one.b,
    }


def _print(seen: Comparison) -> None:
    shown = table(
        *("label", "more in", "effect", "rate", "max", *(["q"] if seen.test else []), "feature"),
        whole=("more in", "effect", "rate", "max", "q", "feature"),
    )
    for one in seen.differences:
        view = seen.features[one.feature_id]
        cells: list[RenderableType] = [
            Text(view.label.text if view.label else "unlabelled"),
            one.more_in.upper(),
            f"{one.effect:+.2f}",
            _both(one.a, one.b, "rate", ".1%"),
            _both(one.a, one.b, "max", ".1f"),
        ]
        if one.q is not None:
            cells.append(Text(f"{one.q:.2g}", style="bold" if one.q <= _SURE else "dim"))
        cells.append(Text(short_name(view.id), style="dim"))
        shown.add_row(*cells)
    print_table(shown)
    told = f"A: {seen.a.compared:,} tokens compared, B: {seen.b.compared:,}."
    if seen.test is None:
        told += " Two texts allow no test: give several on each side to know what is sure."
    err.print(told, soft_wrap=True)


def _both(a: SideOfFeature, b: SideOfFeature, name: str, form: str) -> str:
    return f"{getattr(a, name):{form}} → {getattr(b, name):{form}}"
