"""`scopebook map`: draw the map of a release."""

from typing import Annotated

import typer

from scopebook.console import dictionary, err, leaving, print_json, watch_job
from scopebook.db.sessions import unit_of_work
from scopebook.maps import read_map_state, request_map
from scopebook.release_names import chosen_layers


def draw_map(
    release: Annotated[str, typer.Argument(help="A registered release with labels.")],
    layers: Annotated[str | None, typer.Option(help="E.g. 11,12 or 20-23; all if unset.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Place the features of a release on a plane by what their labels mean, in named regions.

    The page /map of the instance shows it.
    """
    with dictionary(work=True) as factory:
        with unit_of_work(factory) as session:
            job_id = request_map(session, release, chosen_layers(layers))
        with leaving(job_id):
            watch_job(factory, job_id)
        with unit_of_work(factory) as session:
            state = read_map_state(session, release)
    if as_json:
        print_json(state)
    elif state.map is not None:
        err.print(
            f"Map {state.map.id} of {state.release}: {state.map.points:,} features in "
            f"{len(state.map.regions)} regions.",
            markup=False,
            highlight=False,
        )
