"""Word features through the step in another process, and kill it with SIGKILL in the middle."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.labels.planted_dictionary import (
    ask_for_words,
    origins_by_feature,
    outcomes_by_feature,
    plant_features,
    say_keywords,
    throwaway_database,
)
from benchmarks.labels.stubs.faults import StubServer
from benchmarks.labels.stubs.plan import Faults
from tests.drills.workers import LoneWorker, until

from scopebook.db.jobs import Job
from scopebook.db.sessions import sessions, unit_of_work
from scopebook.jobs import WORD_SAE
from scopebook.settings import settings, use_settings
from scopebook_workers.tasks.word import BATCH

#: What the plan of T7 names; a request suffers its fault once.
SHARES: Final[Mapping[str, float]] = {"bad_json": 0.10, "429": 0.05, "hang": 0.03, "refusal": 0.02}
_LEASE_S, _TIMEOUT_S = 3.0, 2.0
_WITHIN_S: Final = 300.0
#: Requests of the second batch after which the kill comes.
_INTO_BATCH: Final = 30


@dataclass(frozen=True, kw_only=True)
class Killed:
    """What stood in the dictionary in the end, and what the server was asked twice."""

    state: str
    lost: int
    doubled: int
    asked_twice: int
    standing_at_kill: int


def word_with_a_kill(features: int) -> Killed:
    """Kill the worker in the second batch, start another, and look at what stands in the end."""
    with (
        throwaway_database(),
        tempfile.TemporaryDirectory() as folder,
        StubServer(say_keywords, delay_s=0.05, faults=Faults(shares=SHARES)) as server,
    ):
        use_settings(settings().model_copy(update={"llm_timeout_s": _TIMEOUT_S}))
        with unit_of_work(sessions()) as session:
            sae, run = plant_features(session, features)
            job_id = ask_for_words(session, sae, run, server.url, parallel=16)
        first, second = (LoneWorker(Path(folder) / f"{name}.log") for name in ("first", "second"))
        try:
            first.start(kind=WORD_SAE, lease_s=_LEASE_S)
            until(lambda: server.counts().requests > BATCH + _INTO_BATCH, within_s=_WITHIN_S)
            first.kill()
            standing = sum(outcomes_by_feature(sessions()).values())
            second.start(kind=WORD_SAE, lease_s=_LEASE_S)
            until(lambda: _state(job_id) in ("done", "failed"), within_s=_WITHIN_S)
        finally:
            first.kill()
            second.kill()
        kept = (outcomes_by_feature(sessions()), origins_by_feature(sessions()))
        return Killed(
            state=_state(job_id),
            lost=sum(times == 0 for found in kept for times in found.values()),
            doubled=sum(times > 1 for found in kept for times in found.values()),
            asked_twice=server.counts().answered_twice,
            standing_at_kill=standing,
        )


def _state(job_id: int) -> str:
    with unit_of_work(sessions()) as session:
        return session.get_one(Job, job_id).state
