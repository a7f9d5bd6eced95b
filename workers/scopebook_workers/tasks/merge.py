"""Merge a run's shards for one SAE and write the evidence of its features."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Text, cast, delete, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from scopebook.artifacts import open_artifact, write_artifact
from scopebook.bulk import copy_rows
from scopebook.db.sessions import sessions, unit_of_work
from scopebook.db.tables import FEATURE_BITS, Evidence, Run, RunState, Sae, Shard
from scopebook.errors import UnavailableError
from scopebook.jobs import MERGE_SAE
from scopebook.labelings import settle_labels
from scopebook.packing import pack_counts, pack_examples, pack_pairs
from scopebook.runs import RunParameters, read_parameters
from scopebook.steps import Claim
from scopebook_workers.claims import Finish, Progress, step_task
from scopebook_workers.sae.candidates import Limits
from scopebook_workers.sae.evidence import FeatureEvidence, feature_evidence
from scopebook_workers.sae.state import FeatureState
from scopebook_workers.sae.statistics import Statistics
from scopebook_workers.tasks.shards import FULL_UNTIL, TAIL, limits_of

#: Features between two reports of progress.
_REPORTED = 256
_MEASURED = (
    *("count", "contexts", "density", "mean", "max", "flags"),
    *("first_context_id", "last_context_id", "top_tokens_exact"),
)
_PACKED = ("histogram", "top_tokens", "tags", "examples")


@dataclass(frozen=True, kw_only=True)
class MergePlan:
    """What is merged: a layer of some artifacts."""

    run_id: int
    sae_id: int
    layer: int
    d_sae: int
    parameters: RunParameters
    #: The state that the run went on from, and its last context.
    base: str | None
    base_context_id: int
    #: The artifact of each shard.
    shards: Sequence[str]


@dataclass(frozen=True)
class Merged:
    """A layer's state after its full blocks, where these end, and the state after all text."""

    full: dict[str, Any]
    last_context_id: int
    whole: FeatureState


@step_task(MERGE_SAE)
def merge_sae(claim: Claim, progress: Progress) -> Finish:
    """Merge one layer's shard states and replace its evidence of this run."""
    with unit_of_work(sessions()) as session:
        plan = _read_plan(session, claim.parameters["run_id"], claim.parameters["sae_id"])
    merged = _merge(plan, progress)
    rows = []
    for evidence in feature_evidence(merged.whole, plan.parameters.tags):
        if evidence.index % _REPORTED == 0:
            progress(evidence.index, plan.d_sae, "features")
        rows.append(evidence_row(plan.run_id, plan.sae_id, evidence))
    name = f"runs/{plan.run_id}/layer{plan.layer}-{claim.fence}.npz"
    write_artifact(name, lambda file: np.savez(file, allow_pickle=False, **merged.full))

    def write(session: Session) -> None:
        _clear(session, plan)
        copy_rows(session, Evidence, EVIDENCE_COLUMNS, rows)
        session.merge(
            RunState(
                run_id=plan.run_id,
                sae_id=plan.sae_id,
                artifact=name,
                last_context_id=merged.last_context_id,
            )
        )
        _note(session, plan, merged.whole.statistics)

    return write


def _read_plan(session: Session, run_id: int, sae_id: int) -> MergePlan:
    run, sae = session.get_one(Run, run_id), session.get_one(Sae, sae_id)
    shards = session.scalars(select(Shard).where(Shard.run_id == run_id).order_by(Shard.ordinal))
    base = None
    if run.base_run_id is not None:
        base = session.get(RunState, (run.base_run_id, sae_id))
        if base is None:
            raise UnavailableError(
                f"Run {run.base_run_id}, which run {run_id} goes on from, has been gone on from by "
                "another run meanwhile; collect again, with --anew."
            )
    return MergePlan(
        run_id=run_id,
        sae_id=sae_id,
        layer=sae.layer,
        d_sae=sae.d_sae,
        parameters=read_parameters(run),
        base=base.artifact if base else None,
        base_context_id=base.last_context_id if base else 0,
        shards=[_artifact(shard) for shard in shards],
    )


def _artifact(shard: Shard) -> str:
    if shard.artifact is None:
        raise UnavailableError(
            f"Shard {shard.ordinal + 1} of run {shard.run_id} has no result; collect again."
        )
    return shard.artifact


def _merge(plan: MergePlan, progress: Progress) -> Merged:
    """Merge the full blocks of all shards, then the last block of the run if it is not full."""
    limits, tags = limits_of(plan.parameters), len(plan.parameters.tags)
    merged = FeatureState.empty(plan.d_sae, tags=tags, limits=limits)
    if plan.base is not None:
        with open_artifact(plan.base) as file, np.load(file, allow_pickle=False) as stored:
            base = FeatureState.from_arrays(stored, limits=limits)
        base.statistics.widen(tags)
        merged.merge(base)
    tail: FeatureState | None = None
    last = plan.base_context_id
    for done, artifact in enumerate(plan.shards):
        progress(done, len(plan.shards), "shards")
        with open_artifact(artifact) as file, np.load(file, allow_pickle=False) as stored:
            merged.merge(_part(stored, f"{plan.layer}.", limits))
            if any(name.startswith(f"{TAIL}{plan.layer}.") for name in stored.files):
                tail = _part(stored, f"{TAIL}{plan.layer}.", limits)
            last = max(last, int(stored[FULL_UNTIL]))
    full = merged.arrays()
    if tail is not None:
        # The arrays of the full blocks are not those that go on growing.
        merged = FeatureState.from_arrays(copy.deepcopy(full), limits=limits)
        merged.merge(tail)
    return Merged(full, last, merged)


def _part(stored: Any, prefix: str, limits: Limits) -> FeatureState:
    """Return the state whose arrays have this prefix."""
    names = (name for name in stored.files if name.startswith(prefix))
    arrays = {name.removeprefix(prefix): stored[name] for name in names}
    return FeatureState.from_arrays(arrays, limits=limits)


#: The columns of a row that `evidence_row` makes.
EVIDENCE_COLUMNS = ("run_id", "feature_id", *_MEASURED, *_PACKED)


def evidence_row(run_id: int, sae_id: int, evidence: FeatureEvidence) -> tuple[object, ...]:
    """Return a feature's row of the dictionary, packed."""
    tokens = [token for token, _ in evidence.top_tokens]
    shares = [share for _, share in evidence.top_tokens]
    return (
        run_id,
        sae_id << FEATURE_BITS | evidence.index,
        *(getattr(evidence, name) for name in _MEASURED),
        pack_counts(evidence.histogram),
        pack_pairs(tokens, shares),
        [list(tag) for tag in evidence.tags],
        pack_examples(evidence.examples),
    )


def _clear(session: Session, plan: MergePlan) -> None:
    first = plan.sae_id << FEATURE_BITS
    session.execute(
        delete(Evidence).where(
            Evidence.run_id == plan.run_id,
            Evidence.feature_id.between(first, first + plan.d_sae - 1),
        )
    )


def _note(session: Session, plan: MergePlan, statistics: Statistics) -> None:
    """Note what the run has seen, and let the SAE's dictionary show it unless it shows a newer one.

    A run that failed, and was retried after others, does not push them aside.
    """
    place = cast(["sinks", str(plan.layer)], ARRAY(Text))
    session.execute(
        update(Run)
        .where(Run.id == plan.run_id)
        .values(
            tokens_seen=statistics.tokens + statistics.sinks,
            contexts_seen=statistics.contexts,
            finished_at=func.now(),
            parameters=func.jsonb_set(Run.parameters, place, func.to_jsonb(statistics.sinks)),
        )
    )
    session.execute(
        update(Sae)
        .where(Sae.id == plan.sae_id, func.coalesce(Sae.current_run_id, 0) < plan.run_id)
        .values(current_run_id=plan.run_id)
    )
    settle_labels(session, [plan.sae_id])
