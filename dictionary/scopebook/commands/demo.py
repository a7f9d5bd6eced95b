"""`scopebook demo`: build the demo dictionary and exit."""

from pathlib import Path
from typing import Annotated

import typer

from scopebook.console import dictionary, err, print_json, watch_job
from scopebook.db.sessions import unit_of_work
from scopebook.demo import request_demo
from scopebook.inventory import take_inventory
from scopebook.settings import settings, use_settings


def demo(
    data_dir: Annotated[
        Path | None, typer.Option(help="The folder that holds all state of the instance.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Build the demo dictionary; ends with exit code 0 when it can be searched."""
    if data_dir is not None:
        use_settings(settings().model_copy(update={"data_dir": data_dir.resolve()}))
    with dictionary(work=True) as factory:
        with unit_of_work(factory) as session:
            job_id = request_demo(session).id
        watch_job(factory, job_id)
        with unit_of_work(factory) as session:
            inventory = take_inventory(session)
    if as_json:
        print_json(inventory)
    else:
        err.print(
            f"The demo dictionary is ready: {inventory.labelled:,} of {inventory.features:,} "
            "features have a label. Search it with `scopebook search 'Chinese text'`."
        )
