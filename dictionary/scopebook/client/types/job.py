"""What the API answers of jobs; written by `make openapi`."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict


class CollectRequest(TypedDict):
    """Ask for a collection and labels."""

    release: str
    corpus: str
    layers: NotRequired[list[int] | None]
    max_tokens: NotRequired[int | None]
    label: NotRequired[bool]
    anew: NotRequired[bool]


class JobRead(TypedDict):
    """Long work a person asked for."""

    id: int
    kind: str
    title: str
    state: Literal["queued", "running", "done", "failed", "cancelling", "cancelled"]
    progress: float
    detail: str | None
    error: str | None
    created_at: str
    started_at: str | None
    finished_at: str | None
    tokens_done: int | None
    tokens_total: int | None
    tokens_per_s: float | None
    seconds_left: float | None
    worked_s: float
    working_since: str | None
    steps_total: int
    runs: list[JobRunRead]
    stages: list[StageRead]
    workers: list[WorkerRead]
    shards: list[ShardRun]
    steps: list[StepRead]


class JobRunRead(TypedDict):
    """A run that a job makes."""

    id: int
    release: str
    corpus: str
    layers: list[int]


class RunRead(TypedDict):
    """One collection: what was read, and for which layers the dictionary shows it."""

    id: int
    job_id: int
    state: Literal["queued", "running", "done", "failed", "cancelling", "cancelled"]
    release: str
    corpus: str
    layers: list[int]
    collected: list[int]
    shown: list[int]
    max_tokens: int | None
    tokens_seen: int | None
    contexts_seen: int | None
    created_at: str
    finished_at: str | None


class ShardRun(TypedDict):
    """So many shards one after the other that are in the same state."""

    state: Literal["queued", "running", "done", "failed", "cancelling", "cancelled"]
    count: int


class StageRead(TypedDict):
    """Steps that may run side by side; a stage begins when the one before it is done."""

    stage: int
    title: str
    kinds: list[str]
    steps: int
    states: dict[str, int]
    progress: float


class Status(TypedDict):
    """What this instance holds and does."""

    version: str
    ready: bool
    releases: int
    corpora: int
    features: int
    labelled: int
    jobs_running: int
    demo: JobRead | None
    semantic: bool


class StepRead(TypedDict):
    """A part of a job, done by one task."""

    id: int
    stage: int
    kind: str
    title: str
    state: Literal["queued", "running", "done", "failed", "cancelling", "cancelled"]
    progress: float
    detail: str | None
    attempt: int
    worker: str | None
    error: str | None
    started_at: str | None
    claimed_at: str | None
    finished_at: str | None


class UseRequest(TypedDict):
    """Ask that the dictionary shows a run."""

    layers: NotRequired[list[int] | None]


class WorkerRead(TypedDict):
    """A worker that holds a step of a job."""

    name: str
    step_id: int
    title: str
    detail: str | None
    since: str | None
    alive: bool
