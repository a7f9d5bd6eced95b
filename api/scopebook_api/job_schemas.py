"""What the API says of jobs, runs and the instance, and how a collection is asked for."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from scopebook_api.schemas import Schema

JobState = Literal["queued", "running", "done", "failed", "cancelling", "cancelled"]


class StepRead(Schema):
    """A part of a job, done by one task."""

    id: int
    stage: int
    kind: str
    title: str
    state: JobState
    progress: float
    detail: str | None = Field(description="E.g. `41,984 of 100,000 tokens`.")
    attempt: int = Field(description="How often it was tried since it was asked for.")
    worker: str | None
    error: str | None = Field(description="Why its latest attempt failed.")
    started_at: datetime | None
    claimed_at: datetime | None = Field(description="When its latest attempt began.")
    finished_at: datetime | None


class StageRead(Schema):
    """Steps that may run side by side; a stage begins when the one before it is done."""

    stage: int
    title: str
    kinds: list[str]
    steps: int
    states: dict[JobState, int] = Field(description="Steps by state; empty states are left out.")
    progress: float


class WorkerRead(Schema):
    """A worker that holds a step of a job."""

    name: str
    step_id: int
    title: str = Field(description="What it does now.")
    detail: str | None
    since: datetime | None
    alive: bool = Field(description="False: it gives no sign of life; another takes the step.")


class ShardRun(Schema):
    """So many shards one after the other that are in the same state."""

    state: JobState
    count: int


class JobRunRead(Schema):
    """A run that a job makes."""

    id: int
    release: str
    corpus: str
    layers: list[int]


class JobRead(Schema):
    """Long work a person asked for."""

    id: int
    kind: str
    title: str
    state: JobState
    progress: float = Field(description="0..1 over all of its steps.")
    detail: str | None = Field(description="What it does at the moment.")
    error: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    tokens_done: int | None = Field(description="Tokens collected; null: it collects nothing yet.")
    tokens_total: int | None
    tokens_per_s: float | None = Field(
        description="Of the last two minutes while it collects, then of the whole collection; "
        "time in which no worker read does not count. Null: not known yet."
    )
    seconds_left: float | None = Field(description="Until all is collected; null: not known.")
    worked_s: float = Field(
        description="Seconds in which at least one worker was at it, before `working_since`; time "
        "in which it lay idle and attempts that were repeated do not count."
    )
    working_since: datetime | None = Field(
        description="Since when somebody has been at it without a break; null: nobody is now."
    )
    steps_total: int
    runs: list[JobRunRead]
    stages: list[StageRead]
    workers: list[WorkerRead] = Field(default=[], description="Empty in lists.")
    shards: list[ShardRun] = Field(
        default=[], description="The states of its shards in order, equal neighbours together."
    )
    steps: list[StepRead] = Field(
        default=[],
        description="All steps of a job with up to 200; of a larger one those that run, failed or "
        "wait for another attempt, and some others. Events hold only those first, lists none.",
    )


class RunRead(Schema):
    """One collection: what was read, and for which layers the dictionary shows it."""

    id: int
    job_id: int
    state: JobState = Field(description="Of its job.")
    release: str
    corpus: str
    layers: list[int]
    collected: list[int] = Field(description="Layers whose evidence is there.")
    shown: list[int] = Field(description="Layers for which the dictionary shows this run.")
    max_tokens: int | None
    tokens_seen: int | None
    contexts_seen: int | None
    created_at: datetime
    finished_at: datetime | None


class UseRequest(Schema):
    """Ask that the dictionary shows a run."""

    layers: list[int] | None = Field(default=None, description="Null: all layers of the run.")


class CollectRequest(Schema):
    """Ask for a collection and labels."""

    release: str
    corpus: str
    layers: list[int] | None = Field(default=None, description="Null: all that are registered.")
    max_tokens: Annotated[int, Field(ge=1, lt=2**63)] | None = None
    label: bool = Field(default=True, description="Label by keywords afterwards.")
    anew: bool = Field(
        default=False, description="Read all of it, though the same was collected before."
    )


class Status(Schema):
    """What this instance holds and does."""

    version: str
    ready: bool = Field(description="At least one labelled feature can be searched.")
    releases: int
    corpora: int
    features: int
    labelled: int
    jobs_running: int
    demo: JobRead | None = Field(description="The job that builds the demo dictionary.")
    semantic: bool = Field(description="Queries can be embedded, so search finds by meaning.")
