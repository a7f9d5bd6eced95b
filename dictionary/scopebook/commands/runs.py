"""`scopebook collect`: gather every feature's evidence over a corpus."""

from typing import Annotated

import typer

from scopebook.console import dictionary, err, print_json, watch_job
from scopebook.db.sessions import unit_of_work
from scopebook.release_names import chosen_layers
from scopebook.runs import request_collection


def collect(
    release: Annotated[str, typer.Argument(help="A registered release.")],
    corpus: Annotated[str, typer.Argument(help="A registered corpus.")],
    layers: Annotated[str | None, typer.Option(help="E.g. 11,12 or 20-23; all if unset.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Stop after so many.")] = None,
    label: Annotated[bool, typer.Option(help="Label by keywords afterwards.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Collect the contexts that fire each feature, then label by keywords."""
    with dictionary(work=True) as factory:
        with unit_of_work(factory) as session:
            job_id = request_collection(
                session,
                release,
                corpus,
                chosen_layers(layers),
                max_tokens=max_tokens,
                label=label,
            ).id
        report = watch_job(factory, job_id)
    if as_json:
        print_json(report)
    else:
        err.print(f"{report.title}: done.", markup=False)
