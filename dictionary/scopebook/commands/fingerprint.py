"""`scopebook fingerprint`: one hash over a collection, for comparing two."""

from typing import Annotated

import typer

from scopebook.console import dictionary, out, print_json
from scopebook.db.sessions import unit_of_work
from scopebook.fingerprint import fingerprint as take_fingerprint
from scopebook.release_names import chosen_layers


def fingerprint(
    release: Annotated[str, typer.Argument(help="A collected release.")],
    layers: Annotated[
        str | None, typer.Option(help="E.g. 11,12 or 20-23; all collected ones if unset.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Hash the examples and statistics of a collection; equal hashes mean equal dictionaries."""
    with dictionary() as factory, unit_of_work(factory) as session:
        taken = take_fingerprint(session, release, chosen_layers(layers))
    if as_json:
        print_json(taken)
        return
    for layer, digest in taken.layers.items():
        out.print(f"layer {layer:>3}  {digest}", markup=False, highlight=False, soft_wrap=True)
    out.print(f"in all     {taken.fingerprint}", markup=False, highlight=False, soft_wrap=True)
