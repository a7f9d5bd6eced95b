"""Ask for labels: of the features of a release, as the dictionary shows them."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from scopebook.db.jobs import Job
from scopebook.db.label_tables import Labeling
from scopebook.db.tables import Sae
from scopebook.errors import ConflictError, InvalidInputError
from scopebook.jobs import EMBED_LABELS, LABEL_SAE
from scopebook.labeling_methods import KEYWORDS
from scopebook.labelings import find_labeling, sha256_of
from scopebook.releases import find_release, find_saes
from scopebook.steps import NewStep, create_job

LABEL_JOB: Final = "label"
#: The database lock of those who ask for labels; the number is ours alone.
_ASKING: Final = 7_263_014


def label_once(
    session: Session,
    release_name: str,
    layers: Sequence[int] | None = None,
    *,
    anew: bool = False,
) -> tuple[int | None, bool]:
    """Return the id of the job that words, or has worded, the features by keywords.

    And whether it is a new one: the same examples are not worded twice by the same method unless
    `anew` asks for it. The id is None where they were worded before jobs were noted.

    Raises InvalidInputError for layers without evidence, and ConflictError while they are worded.
    """
    release = find_release(session, release_name)
    saes = find_saes(session, release=release.name, layers=layers)
    _check_evidence(release.name, saes)
    # Two who ask at the same time wait for each other until the end of the transaction.
    session.execute(select(func.pg_advisory_xact_lock(_ASKING, release.id)))
    _check_idle(session, release.name)
    known = [_same(session, sae) for sae in saes]
    wanted = [sae for sae, same in zip(saes, known, strict=True) if anew or same is None]
    if not wanted:
        return max((same.job_id or 0 for same in known if same), default=0) or None, False
    asked = {"release": release.name, "layers": [sae.layer for sae in wanted], "anew": anew}
    job = create_job(
        session,
        LABEL_JOB,
        f"Label {release.name}",
        labeling_steps(wanted, anew=anew),
        parameters=asked,
    )
    return job.id, True


def labeling_steps(
    saes: Sequence[Sae], *, run_id: int | None = None, first_stage: int = 0, anew: bool = False
) -> list[NewStep]:
    """Return the steps that word the examples of a run (else of the shown ones) by keywords."""
    steps = [
        NewStep(
            kind=LABEL_SAE,
            stage=first_stage,
            title=f"Label layer {sae.layer}",
            parameters={
                "sae_id": sae.id,
                "run_id": run_id or sae.current_run_id,
                "anew": anew,
            },
        )
        for sae in saes
    ]
    embed = NewStep(
        kind=EMBED_LABELS,
        stage=first_stage + 1,
        title="Embed the labels",
        parameters={"sae_ids": [sae.id for sae in saes]},
    )
    return [*steps, embed]


def _check_evidence(release: str, saes: Sequence[Sae]) -> None:
    bare = [sae.layer for sae in saes if sae.current_run_id is None]
    if bare or not saes:
        named = ", ".join(map(str, bare)) or "(none was named)"
        raise InvalidInputError(
            f"Layer {named} of {release} has no examples that could be labelled; collect some "
            "with `scopebook collect` first."
        )


def _check_idle(session: Session, release: str) -> None:
    busy = session.scalar(
        select(Job.id)
        .where(
            Job.kind == LABEL_JOB,
            Job.state.in_(("queued", "running", "cancelling")),
            Job.parameters["release"].astext == release,
        )
        .order_by(Job.id)
        .limit(1)
    )
    if busy is not None:
        raise ConflictError(
            f"Job {busy} labels {release} at this moment; wait for it, or cancel it with "
            f"`scopebook jobs cancel {busy}`."
        )


def _same(session: Session, sae: Sae) -> Labeling | None:
    """Return the labeling that has worded the shown examples by the same method."""
    assert sae.current_run_id is not None
    return find_labeling(
        session, sae_id=sae.id, run_id=sae.current_run_id, sha256=sha256_of(KEYWORDS, {})
    )
