"""`scopebook label`: word features by what their examples share."""

from typing import Annotated

import typer

from scopebook.console import dictionary, err, leaving, print_json, read_whole_job, watch_job
from scopebook.db.sessions import unit_of_work
from scopebook.job_reports import JobReport
from scopebook.labeling_requests import label_once
from scopebook.release_names import chosen_layers


def label(
    release: Annotated[str, typer.Argument(help="A registered release with examples.")],
    layers: Annotated[str | None, typer.Option(help="E.g. 11,12 or 20-23; all if unset.")] = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="Word the examples though the same method has.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Sort the examples of each feature into senses, and word both by keywords.

    What was said before stays in the history.
    """
    report: JobReport | None = None
    with dictionary(work=True) as factory:
        with unit_of_work(factory) as session:
            job_id, is_new = label_once(session, release, chosen_layers(layers), anew=anew)
        if job_id is not None and is_new:
            with leaving(job_id):
                report = watch_job(factory, job_id)
        elif job_id is not None:
            report = read_whole_job(factory, job_id)
    if as_json:
        print_json(report)
    elif is_new and report is not None:
        err.print(f"{report.title}: done.", markup=False)
    else:
        err.print(
            f"Nothing to do: the examples that are shown for {release} are labelled"
            + (f" (job {job_id})" if job_id else "")
            + "; --anew labels them again.",
            markup=False,
            highlight=False,
        )
