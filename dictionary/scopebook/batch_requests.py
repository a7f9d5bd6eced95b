"""Ask for labels by batch files: write the requests, and later read the answers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from scopebook.db.jobs import Step
from scopebook.db.label_tables import Labeling
from scopebook.db.tables import Sae
from scopebook.errors import InvalidInputError
from scopebook.jobs import EMBED_LABELS, READ_BATCH, WRITE_BATCH
from scopebook.labeling_requests import (
    LABEL_JOB,
    begin_asking,
    check_steps,
    labelable_saes,
)
from scopebook.panels import panel_steps
from scopebook.steps import NewStep, create_job

#: Where a labeling by batch files says that its model was asked.
BATCH_ENDPOINT: Final = "batch"


def write_batch(
    session: Session,
    release_name: str,
    layers: Sequence[int] | None,
    *,
    model: str,
    folder: Path,
    limit: int | None = None,
) -> int:
    """Return the id of a job that writes `folder`/layer-N/batch-0001.jsonl, .. for each layer.

    Of features that keywords have worded and that this model was not asked about by batch. The
    folder is one of the machine that the workers run on. Raises InvalidInputError for layers
    that are not worded by keywords, and ConflictError while they are labelled.
    """
    release, saes = labelable_saes(session, release_name, layers)
    _check(session, model, folder, saes)
    begin_asking(session, release)
    panels = panel_steps(session, saes)
    steps = [
        *panels,
        *(
            NewStep(
                kind=WRITE_BATCH,
                stage=len(panels[:1]),
                title=f"Write the requests of layer {sae.layer}",
                parameters=_named(sae, model, folder) | {"limit": limit},
            )
            for sae in saes
        ),
    ]
    return _create(session, f"Write requests to {model} for {release.name}", release.name, steps)


def read_batch(
    session: Session,
    release_name: str,
    layers: Sequence[int] | None,
    *,
    model: str,
    folder: Path,
    skip_missing: bool = False,
) -> int:
    """Return the id of a job that reads the answers in `folder` and puts labels in force.

    It is one that requests were written to; all other files `*.jsonl` in it and in the folders
    in it are answers. Requests
    without an answer fail the job after the others are kept, unless `skip_missing`. Raises
    InvalidInputError where no requests to this model were written.
    """
    release, saes = labelable_saes(session, release_name, layers)
    _check(session, model, folder, saes)
    begin_asking(session, release)
    chosen = _waiting(session, release.name, saes, model)
    steps = [
        NewStep(
            kind=READ_BATCH,
            stage=0,
            title=f"Read the answers of layer {sae.layer}",
            parameters=_named(sae, model, folder) | {"skip_missing": skip_missing},
        )
        for sae in chosen
    ]
    every = {"sae_ids": [sae.id for sae in chosen]}
    steps += [
        *check_steps(chosen, 1),
        NewStep(kind=EMBED_LABELS, stage=2, title="Embed the labels", parameters=every),
    ]
    return _create(session, f"Read {model}'s answers for {release.name}", release.name, steps)


def _waiting(session: Session, release: str, saes: Sequence[Sae], model: str) -> list[Sae]:
    """Return the SAEs whose requests to this model wait for answers."""
    written = set(
        session.scalars(
            select(Labeling.sae_id).where(
                Labeling.sae_id.in_([sae.id for sae in saes]),
                Labeling.method == model,
                Labeling.parameters["endpoint"].astext == BATCH_ENDPOINT,
                Labeling.finished_at.is_(None),
            )
        )
    )
    chosen = [sae for sae in saes if sae.id in written]
    if not chosen:
        raise InvalidInputError(
            f"No requests to {model} wait for answers in {release}; write some with "
            "`scopebook batch write` first."
        )
    return chosen


def told_results(session: Session, job_id: int) -> list[str]:
    """Return the titles of a job's steps with files that say what was written or read."""
    return list(
        session.scalars(
            select(Step.title)
            .where(
                Step.job_id == job_id,
                Step.kind.in_((WRITE_BATCH, READ_BATCH)),
                Step.title.contains(": "),
            )
            .order_by(Step.id)
        )
    )


def _named(sae: Sae, model: str, folder: Path) -> dict[str, object]:
    return {
        "sae_id": sae.id,
        "run_id": sae.current_run_id,
        "model": model,
        "folder": str(folder),
        "layer": sae.layer,
    }


def _check(session: Session, model: str, folder: Path, saes: Sequence[Sae]) -> None:
    if not model.strip():
        raise InvalidInputError("A batch needs the model's name; give --llm MODEL.")
    if not folder.is_absolute():
        raise InvalidInputError(
            f"The folder {folder} must be given in full, such as /data/batch, since the workers "
            "may run elsewhere."
        )
    worded = select(func.count()).where(
        Labeling.source == "keywords", Labeling.finished_at.is_not(None)
    )
    for sae in saes:
        mine = worded.where(Labeling.sae_id == sae.id, Labeling.run_id == sae.current_run_id)
        if not session.scalar(mine):
            raise InvalidInputError(
                f"Layer {sae.layer} is not sorted into senses yet; run `scopebook label` first."
            )


def _create(session: Session, title: str, release: str, steps: Sequence[NewStep]) -> int:
    parameters = {"release": release, "batch": True}
    return create_job(session, LABEL_JOB, title, steps, parameters=parameters).id
