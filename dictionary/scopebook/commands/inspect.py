"""`scopebook inspect`: run a text through a model, and show what fires in it."""

import sys
from typing import Annotated, Any

import typer
from rich.text import Text

from scopebook.accounts import local_actor
from scopebook.activations import unpack_activations
from scopebook.commands.waiting import short_name, wait_for
from scopebook.console import dictionary, err, out, print_json, print_table, table
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.errors import InvalidInputError
from scopebook.inference_requests import GoingOn, Place, Prompt, Turn, ask_inspection, find_place
from scopebook.inspecting import ORDERS, Firing, Inspection, Look, inspect
from scopebook.release_names import chosen_layers
from scopebook.search_filters import chosen

#: Pieces of text beside the strongest one.
_LEFT, _RIGHT = 6, 4


def inspect_text(
    model: Annotated[str, typer.Argument(help="A model with one release here, or a release.")],
    text: Annotated[str, typer.Argument(help="The text; - reads it from standard input.")],
    layers: Annotated[str | None, typer.Option(help="Only these, e.g. 11,12 or 4-8.")] = None,
    sort: Annotated[
        str, typer.Option(help=f"What comes first: {', '.join(ORDERS)}.")
    ] = "activation",
    everything: Annotated[
        bool, typer.Option("--all", help="Dense, position and register features too.")
    ] = False,
    chat: Annotated[
        bool, typer.Option("--chat", help="The text is what a user says to the model.")
    ] = False,
    thinking: Annotated[
        bool | None, typer.Option(help="With --chat: whether the model may think first.")
    ] = None,
    go_on: Annotated[int, typer.Option(min=0, help="Let the model go on by so many tokens.")] = 0,
    temperature: Annotated[float, typer.Option(min=0.0, help="0: the likeliest token.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Of what is drawn.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Features to show.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show which features fire in a text, and where."""
    [order] = chosen("--sort", [sort], ORDERS)
    words = read_text(text)
    turns = [Turn(role="user", content=words)] if chat else []
    prompt = Prompt(text=None if chat else words, messages=turns, thinking=thinking)
    going_on = GoingOn(tokens=go_on, temperature=temperature, seed=seed) if go_on else None
    place = Place(model=model, layers=chosen_layers(layers))
    look = Look(order=order, everything=everything, limit=limit)
    with dictionary(work=True) as factory:
        release, seen = _inspect(factory, place, prompt, going_on, look)
    if as_json:
        print_json(_document(release, seen))
    else:
        _print(seen)


def read_text(given: str) -> str:
    """Return a text of the command line, or all of standard input for `-`."""
    if given != "-":
        return given
    raw = sys.stdin.buffer.read()
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise InvalidInputError(
            f"Standard input is not UTF-8 (byte {error.start}); give a text."
        ) from error


def _inspect(
    factory: Sessions, place: Place, prompt: Prompt, going_on: GoingOn | None, look: Look
) -> tuple[str, Inspection]:
    with unit_of_work(factory) as session:
        release, _ = find_place(session, place)
        asked = ask_inspection(session, local_actor(session), place, prompt, going_on)
    found = unpack_activations(wait_for(factory, asked))
    with unit_of_work(factory) as session:
        return release.name, inspect(session, found, release.id, look)


def _document(release: str, seen: Inspection) -> dict[str, Any]:
    names = {feature_id: view.id for feature_id, view in seen.features.items()}
    return {
        "release": release,
        "text": seen.text,
        "pieces": seen.pieces,
        "tokens": seen.tokens,
        "features": [
            {
                "id": names[firing.feature_id],
                "label": _label(seen, firing.feature_id),
                "flags": seen.features[firing.feature_id].flags,
                "density": seen.features[firing.feature_id].density,
                "max": firing.max,
                "peak": firing.peak,
                "mean": firing.mean,
                "count": firing.count,
                "surprise": firing.surprise,
                "tokens": firing.tokens,
                "activations": firing.activations,
            }
            for firing in seen.firings
        ],
        "strongest": [
            [{"id": names[feature_id], "activation": value} for feature_id, value in of_token]
            for of_token in seen.per_token
        ],
        "firing": seen.firing,
        "hidden": seen.hidden,
    }


def _label(seen: Inspection, feature_id: int) -> str | None:
    label = seen.features[feature_id].label
    return label.text if label else None


def _print(seen: Inspection) -> None:
    written = sum(token.written for token in seen.tokens)
    if written:
        out.print(Text(seen.text))
        out.print()
    shown = table(
        *("label", "max", "× usual", "tokens", "where", "feature"),
        whole=("max", "× usual", "tokens", "feature"),
    )
    for firing in seen.firings:
        shown.add_row(
            Text(_label(seen, firing.feature_id) or "unlabelled"),
            f"{firing.max:.1f}",
            "" if firing.surprise is None else f"{firing.surprise:.2f}",
            str(firing.count),
            _where(seen, firing),
            Text(short_name(seen.features[firing.feature_id].id), style="dim"),
        )
    print_table(shown)
    if seen.hidden:
        err.print(
            f"{seen.hidden} of {seen.firing} features are not shown: they fire on almost anything, "
            "by position, or only where a collection does not look; --all shows them.",
            soft_wrap=True,
        )


def _where(seen: Inspection, firing: Firing) -> Text:
    """Return the text around the strongest token, which is set off with the others that fire."""
    marked = {seen.tokens[token].piece for token in firing.tokens}
    peak = seen.tokens[firing.peak].piece
    text = Text(overflow="fold")
    for place in range(max(0, peak - _LEFT), min(len(seen.pieces), peak + _RIGHT + 1)):
        style = "bold reverse" if place == peak else "underline" if place in marked else ""
        text.append(seen.pieces[place].replace("\n", "↵"), style=style)
    return text
