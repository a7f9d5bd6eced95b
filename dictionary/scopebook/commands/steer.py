"""`scopebook steer`: let a model go on with a text unsteered and steered, and show both."""

import json
from typing import Annotated, Any

import typer
from rich.text import Text

from scopebook.accounts import local_actor
from scopebook.commands.inspect import read_text
from scopebook.commands.interventions import (
    Add,
    MinSet,
    Mute,
    OfUnit,
    Project,
    Scale,
    Set,
    Several,
    finite,
)
from scopebook.commands.interventions import interventions as chosen_interventions
from scopebook.commands.waiting import short_name, wait_for
from scopebook.console import dictionary, err, out, print_json, print_table, table
from scopebook.db.sessions import unit_of_work
from scopebook.errors import InvalidInputError
from scopebook.inference_requests import GoingOn, Prompt, Turn
from scopebook.search_filters import chosen
from scopebook.steering import (
    PROMPT_POSITIONS,
    Op,
    Positions,
    SteerRequest,
    ask_steering,
)


def steer_text(
    text: Annotated[str, typer.Argument(help="The text; - reads it from standard input.")],
    mute: Mute = None,
    add: Add = None,
    set_: Set = None,
    min_set: MinSet = None,
    scale: Scale = None,
    project: Project = None,
    unit: OfUnit = "max_act",
    strengths: Annotated[
        str, typer.Option(help="A variant for each: all changes so many times, e.g. 0.5,1,2.")
    ] = "1",
    go_on: Annotated[int, typer.Option(min=1, help="Tokens to write.")] = 40,
    temperature: Annotated[float, typer.Option(min=0.0, help="0: the likeliest token.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Of what is drawn, the same for all.")] = 0,
    prompt: Annotated[
        str, typer.Option(help="Which of its tokens are steered: all, last or none.")
    ] = "all",
    written: Annotated[bool, typer.Option(help="Steer what is written, too.")] = True,
    chat: Annotated[
        bool, typer.Option("--chat", help="The text is what a user says to the model.")
    ] = False,
    asked_for: Annotated[
        str | None, typer.Option(help="A text that asks for the same in words, run beside.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Let a model go on with a text unsteered and steered, side by side."""
    [of_prompt] = chosen("--prompt", [prompt], PROMPT_POSITIONS)
    given: dict[Op, Several] = {"add": add, "set": set_, "min_set": min_set}
    given |= {"scale": scale, "project": project}
    wanted = SteerRequest(
        interventions=chosen_interventions(mute, given, unit),
        prompt=_prompt(read_text(text), chat=chat),
        going_on=GoingOn(tokens=go_on, temperature=temperature, seed=seed),
        positions=Positions(prompt=of_prompt, written=written),
        strengths=_numbers(strengths),
        asked_for=None if asked_for is None else _prompt(asked_for, chat=chat),
    )
    with dictionary(work=True) as factory:
        with unit_of_work(factory) as session:
            asked = ask_steering(session, local_actor(session), wanted)
        found = json.loads(wait_for(factory, asked))
    if as_json:
        print_json(found)
    else:
        _print(found)


def _prompt(text: str, *, chat: bool) -> Prompt:
    return Prompt(messages=[Turn(role="user", content=text)]) if chat else Prompt(text=text)


def _numbers(given: str) -> list[float]:
    numbers = [finite(one) for one in given.split(",")]
    known = [one for one in numbers if one is not None]
    if len(known) < len(numbers):
        raise InvalidInputError(f"--strengths {given!r} is no list of numbers; give 0.5,1,2.")
    return known


def _print(found: dict[str, Any]) -> None:
    for variant in found["variants"]:
        out.print(Text(_title(variant), style="bold"))
        out.print(Text(variant["text"][: variant["begun"]], style="dim"), end="")
        out.print(Text(variant["text"][variant["begun"] :]))
        out.print()
    steered = [one for one in found["variants"] if one["kind"] != "asked"]
    shown = table("feature", "what", "mean activation in what is written", whole=("feature",))
    for place, one in enumerate(found["interventions"]):
        what = one["op"] if one["op"] == "ablate" else f"{one['op']} {one['value']:.3g}"
        if one["share_of_norm"] is not None:
            what += f" ({one['share_of_norm']:.0%} of the residual's norm)"
        means = " → ".join(f"{variant['means'][place]:.2f}" for variant in steered)
        shown.add_row(Text(short_name(one["feature"])), what, means)
    print_table(shown)
    if found["neutral_tokens"]:
        err.print(
            f"Divergence: mean KL of the next token on {found['neutral_tokens']} tokens of the "
            "corpus, in nats.",
            soft_wrap=True,
        )


def _title(variant: dict[str, Any]) -> str:
    name: str = {"unsteered": "Unsteered", "asked": "Asked for in words"}.get(variant["kind"], "")
    if not name:
        name = f"Steered × {variant['strength']:g}"
        if variant["divergence"] is not None:
            name += f", divergence {variant['divergence']:.3f}"
    return f"{name}, {variant['distinct']:.0%} different tokens"
