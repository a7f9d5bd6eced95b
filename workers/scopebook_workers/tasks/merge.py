"""Merge a run's shards for one SAE and write the evidence of its features."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Text, cast, delete, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from scopebook.artifacts import open_artifact
from scopebook.bulk import copy_rows
from scopebook.db.sessions import sessions, unit_of_work
from scopebook.db.tables import FEATURE_BITS, Evidence, Run, Sae, Shard
from scopebook.errors import UnavailableError
from scopebook.jobs import MERGE_SAE
from scopebook.packing import pack_counts, pack_examples, pack_pairs
from scopebook.runs import RunParameters, read_parameters
from scopebook.steps import Claim
from scopebook_workers.claims import Finish, Progress, step_task
from scopebook_workers.sae.evidence import FeatureEvidence, feature_evidence
from scopebook_workers.sae.state import FeatureState
from scopebook_workers.sae.statistics import Statistics
from scopebook_workers.tasks.shards import limits_of

_MEASURED = ("count", "contexts", "density", "mean", "max", "flags")
_PACKED = ("histogram", "top_tokens", "tags", "examples")


@dataclass(frozen=True, kw_only=True)
class MergePlan:
    """What is merged: a layer of some artifacts."""

    run_id: int
    sae_id: int
    layer: int
    d_sae: int
    parameters: RunParameters
    artifacts: Sequence[str]


@step_task(MERGE_SAE)
def merge_sae(claim: Claim, progress: Progress) -> Finish:
    """Merge one layer's shard states and replace its evidence of this run."""
    with unit_of_work(sessions()) as session:
        plan = _read_plan(session, claim.parameters["run_id"], claim.parameters["sae_id"])
    state = _merge(plan, progress)
    rows = []
    for evidence in feature_evidence(state, plan.parameters.tags):
        progress(evidence.index, plan.d_sae, "features")
        rows.append(_row(plan, evidence))

    def write(session: Session) -> None:
        _clear(session, plan)
        copy_rows(session, Evidence, ("run_id", "feature_id", *_MEASURED, *_PACKED), rows)
        _note(session, plan, state.statistics)

    return write


def _read_plan(session: Session, run_id: int, sae_id: int) -> MergePlan:
    run, sae = session.get_one(Run, run_id), session.get_one(Sae, sae_id)
    shards = session.scalars(select(Shard).where(Shard.run_id == run_id).order_by(Shard.ordinal))
    return MergePlan(
        run_id=run_id,
        sae_id=sae_id,
        layer=sae.layer,
        d_sae=sae.d_sae,
        parameters=read_parameters(run),
        artifacts=[_artifact(shard) for shard in shards],
    )


def _artifact(shard: Shard) -> str:
    if shard.artifact is None:
        raise UnavailableError(
            f"Shard {shard.ordinal + 1} of run {shard.run_id} has no result; collect again."
        )
    return shard.artifact


def _merge(plan: MergePlan, progress: Progress) -> FeatureState:
    limits = limits_of(plan.parameters)
    merged = FeatureState.empty(plan.d_sae, tags=len(plan.parameters.tags), limits=limits)
    for done, artifact in enumerate(plan.artifacts):
        progress(done, len(plan.artifacts), "shards")
        with open_artifact(artifact) as file, np.load(file, allow_pickle=False) as stored:
            prefix = f"{plan.layer}."
            arrays = {
                name.removeprefix(prefix): stored[name]
                for name in stored.files
                if name.startswith(prefix)
            }
        merged.merge(FeatureState.from_arrays(arrays, limits=limits))
    return merged


def _row(plan: MergePlan, evidence: FeatureEvidence) -> tuple[object, ...]:
    tokens = [token for token, _ in evidence.top_tokens]
    shares = [share for _, share in evidence.top_tokens]
    return (
        plan.run_id,
        plan.sae_id << FEATURE_BITS | evidence.index,
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
    """Note what the run has seen, and let the SAE's dictionary show this run."""
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
    session.execute(update(Sae).where(Sae.id == plan.sae_id).values(current_run_id=plan.run_id))
