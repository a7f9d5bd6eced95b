"""The stages of a job, summed up by the database."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Float, case, cast, func, select
from sqlalchemy.orm import Session

from scopebook.db.jobs import Step
from scopebook.jobs import (
    ADD_RELEASE,
    CHECK_LABELS,
    COLLECT_SHARD,
    COMPARE_SAE,
    COMPUTE_PANEL,
    EMBED_LABELS,
    EXPORT_EMBEDDER,
    EXPORT_PRESET,
    LABEL_SAE,
    LABEL_SAE_BY_MODEL,
    MAP_RELEASE,
    MERGE_SAE,
    PLAN_RUN,
    PLAN_SCAN,
    PRUNE_PRESET,
    READ_BATCH,
    REPORT_SCAN,
    SCAN_SHARD,
    SCORE_SAE,
    TEST_PRESET,
    TIDY_RUN,
    TOKENISE_CORPUS,
    WORD_SAE,
    WRITE_BATCH,
)

#: What a stage does, by the kind of its steps.
_WORDS: Final = {
    ADD_RELEASE: "Register the release",
    EXPORT_EMBEDDER: "Prepare search by meaning",
    TOKENISE_CORPUS: "Tokenise the corpus",
    PLAN_RUN: "Cut the corpus into shards",
    COLLECT_SHARD: "Collect the shards",
    MERGE_SAE: "Merge the layers",
    TIDY_RUN: "Remove what was merged",
    LABEL_SAE: "Label the features",
    LABEL_SAE_BY_MODEL: "Label the features",
    WORD_SAE: "Ask the language model",
    WRITE_BATCH: "Write the requests",
    READ_BATCH: "Read the answers",
    CHECK_LABELS: "Check its labels",
    COMPUTE_PANEL: "Compute the panel",
    EMBED_LABELS: "Embed the labels",
    MAP_RELEASE: "Draw the map",
    SCORE_SAE: "Let a model judge the labels",
    COMPARE_SAE: "Compare labels with windows",
    PLAN_SCAN: "Cut the texts into shards",
    SCAN_SHARD: "Scan the shards",
    REPORT_SCAN: "Hold it against the reference",
    EXPORT_PRESET: "Write the files",
    TEST_PRESET: "Run the tests",
    PRUNE_PRESET: "Leave out what is not needed",
}


@dataclass(kw_only=True)
class StageReport:
    """Steps that may run side by side: what they do, and how many are in which state."""

    stage: int
    title: str
    kinds: list[str] = field(default_factory=list)
    steps: int = 0
    #: Steps by state; states that no step is in are left out.
    states: dict[str, int] = field(default_factory=dict)
    progress: float = 0.0


def read_stages(session: Session, job_ids: Sequence[int]) -> dict[int, list[StageReport]]:
    """Return the stages of jobs, in order."""
    stages: dict[int, list[StageReport]] = {}
    for row in session.execute(_sums(job_ids)):
        of_job = stages.setdefault(row.job_id, [])
        if not of_job or of_job[-1].stage != row.stage:
            of_job.append(StageReport(stage=row.stage, title=""))
        _add(of_job[-1], row)
    return stages


def _sums(job_ids: Sequence[int]) -> Any:
    share = case(
        (Step.state == "done", 1.0),
        (
            Step.state.in_(("running", "cancelling")) & (Step.total > 0),
            func.least(cast(Step.done, Float) / func.nullif(Step.total, 0), 1.0),
        ),
        # What was given back, failed or was cancelled begins anew.
        else_=0.0,
    )
    return (
        select(
            Step.job_id,
            Step.stage,
            Step.kind,
            Step.state,
            func.count().label("steps"),
            func.sum(share).label("progress"),
            func.min(Step.id).label("first"),
        )
        .where(Step.job_id.in_(job_ids))
        .group_by(Step.job_id, Step.stage, Step.kind, Step.state)
        .order_by(Step.job_id, Step.stage, func.min(Step.id))
    )


def _add(stage: StageReport, row: Any) -> None:
    """Add the steps of one kind in one state to their stage."""
    steps = stage.steps + row.steps
    stage.progress = (stage.progress * stage.steps + float(row.progress)) / steps
    stage.steps = steps
    stage.states[row.state] = stage.states.get(row.state, 0) + row.steps
    if row.kind not in stage.kinds:
        stage.kinds.append(row.kind)
        stage.title = ", ".join(_WORDS.get(kind, kind) for kind in stage.kinds)


def job_progress(stages: Sequence[StageReport]) -> float:
    """Return the mean over stages of the mean over their steps.

    By stage, since a stage of sixty shards should not hide the three that follow it.
    """
    return sum(stage.progress for stage in stages) / len(stages) if stages else 0.0
