"""Collect one shard: the model once for all layers, each layer encoded into per-feature state."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from sqlalchemy import Row, Select, func, select
from sqlalchemy.orm import Session

from scopebook.artifacts import write_artifact
from scopebook.db.tables import Context, Document, Model, Release, Run, Sae, Shard
from scopebook.jobs import COLLECT_SHARD
from scopebook.packing import unpack_ints
from scopebook.runs import RunParameters, read_parameters
from scopebook.settings import settings
from scopebook.steps import Claim
from scopebook_workers.claims import Finish, Progress, step_task
from scopebook_workers.outages import read_patiently
from scopebook_workers.prefetch import ahead
from scopebook_workers.qwen.capture import cut_batches
from scopebook_workers.qwen.model import choose_device
from scopebook_workers.sae.blocks import cut_blocks
from scopebook_workers.sae.candidates import Limits
from scopebook_workers.sae.collect import Collection, Layer
from scopebook_workers.sae.firings import Contexts
from scopebook_workers.sae.state import FeatureState
from scopebook_workers.sae.weights import SparseAutoencoder
from scopebook_workers.tasks.loaded import load_pair

#: Before the names of what a block that is not full has left; see `ShardStates`.
TAIL = "tail."
#: The row id of the last context of the shard's last full block; 0 if no block is full.
FULL_UNTIL = "full_until"


@dataclass(frozen=True, kw_only=True)
class ShardPlan:
    """What a shard's rows say is to be done."""

    run_id: int
    ordinal: int
    parameters: RunParameters
    tokenisation_id: int
    model_path: str
    #: Where the SAE of each layer lies.
    artifacts: dict[int, str]
    #: Row ids and lengths of its contexts.
    context_ids: NDArray[np.int64]
    lengths: list[int]

    def blocks(self) -> list[range]:
        """Return the blocks, as places in `context_ids`."""
        return cut_blocks(self.lengths, self.parameters.block_tokens)


@dataclass(frozen=True)
class Block:
    """The contexts that are batched together."""

    contexts: Contexts
    token_ids: list[NDArray[np.int32]]


@dataclass(frozen=True)
class ShardStates:
    """The states of a shard's full blocks, and of the last block of a run that is not full.

    A run over a corpus that has grown goes on from the full blocks of the run before: so its
    blocks, batches and numbers are those of a run that began anew.
    """

    full: dict[int, FeatureState]
    tail: dict[int, FeatureState]
    #: Where the full blocks end; see `FULL_UNTIL`.
    full_until: int


@step_task(COLLECT_SHARD)
def collect_shard(claim: Claim, progress: Progress) -> Finish:
    """Collect one shard into one artifact, which the step's end makes known."""
    shard_id = claim.parameters["shard_id"]
    plan = read_patiently(lambda session: _read_plan(session, shard_id))
    progress(0, sum(plan.lengths), "tokens")
    states = _collect(plan, progress)
    name = f"runs/{plan.run_id}/shard-{plan.ordinal:05d}-{claim.fence}.npz"
    write_artifact(name, lambda file: _save(file, states))

    def write(session: Session) -> None:
        session.get_one(Shard, shard_id).artifact = name

    return write


def _save(file: BinaryIO, states: ShardStates) -> None:
    """Write the states so that one layer's can be read without the others."""
    arrays = {
        f"{prefix}{layer}.{name}": array
        for prefix, by_layer in (("", states.full), (TAIL, states.tail))
        for layer, state in by_layer.items()
        for name, array in state.arrays().items()
    }
    arrays[FULL_UNTIL] = np.asarray(states.full_until)
    np.savez(file, allow_pickle=False, **arrays)


def limits_of(parameters: RunParameters) -> Limits:
    """Return what a run keeps of each feature."""
    return Limits(
        best=parameters.best,
        sample=parameters.sample,
        left=parameters.left,
        right=parameters.right,
        draws=parameters.draws,
    )


def _read_plan(session: Session, shard_id: int) -> ShardPlan:
    shard = session.get_one(Shard, shard_id)
    run = session.get_one(Run, shard.run_id)
    release = session.get_one(Release, run.release_id)
    saes = session.scalars(
        select(Sae).where(Sae.release_id == release.id, Sae.layer.in_(run.layers))
    )
    rows = session.execute(
        select(Context.id, Context.n_tokens)
        .where(
            Context.tokenisation_id == run.tokenisation_id,
            Context.id.between(shard.first_context_id, shard.last_context_id),
        )
        .order_by(Context.id)
    ).all()
    return ShardPlan(
        run_id=run.id,
        ordinal=shard.ordinal,
        parameters=read_parameters(run),
        tokenisation_id=run.tokenisation_id,
        model_path=session.get_one(Model, release.model_id).path,
        artifacts={sae.layer: sae.artifact for sae in saes},
        context_ids=np.asarray([row.id for row in rows], dtype=np.int64),
        lengths=[row.n_tokens for row in rows],
    )


def _read_blocks(plan: ShardPlan) -> Iterator[Block]:
    """Read the blocks one by one: a shard's text need not fit into memory."""
    for block in plan.blocks():
        yield read_patiently(partial(_read_block, plan=plan, block=block))


def _read_block(session: Session, plan: ShardPlan, block: range) -> Block:
    rows = session.execute(
        select_contexts()
        .where(
            Context.tokenisation_id == plan.tokenisation_id,
            Context.id.between(
                int(plan.context_ids[block.start]), int(plan.context_ids[block.stop - 1])
            ),
        )
        .order_by(Context.id)
    ).all()
    token_ids = [unpack_ints(row.tokens) for row in rows]
    return Block(describe_contexts(rows, token_ids, plan.parameters.tags), token_ids)


def select_contexts() -> Select[int, int, int, bytes, bytes, str | None]:
    """Return the query for what `describe_contexts` takes, in ascending order of the row ids."""
    return (
        select(
            Context.id,
            func.coalesce(Context.near_id, Context.id).label("near_id"),
            Context.ordinal,
            Context.tokens,
            Document.sha256,
            Document.tag,
        )
        .join(Document, Document.id == Context.document_id)
        .order_by(Context.id)
    )


def describe_contexts(
    rows: Sequence[Row[int, int, int, bytes, bytes, str | None]],
    token_ids: Sequence[NDArray[np.int32]],
    tags: Sequence[str],
) -> Contexts:
    """Return the contexts of these rows, whose tokens are given unpacked."""
    number = {tag: place for place, tag in enumerate(tags)}
    # By the text and not by a row id, so that two instances draw the same samples.
    keys = [(int.from_bytes(row.sha256[:8]) + row.ordinal) % 2**64 for row in rows]
    return Contexts(
        ids=np.asarray([row.id for row in rows], dtype=np.int64),
        groups=np.asarray([row.near_id for row in rows], dtype=np.int64),
        keys=np.asarray(keys, dtype=np.uint64).view(np.int64),
        lengths=np.asarray([len(row) for row in token_ids], dtype=np.int32),
        tags=np.asarray([number.get(row.tag, -1) for row in rows], dtype=np.int32),
    )


def _collect(plan: ShardPlan, progress: Progress) -> ShardStates:
    device = choose_device(settings().device)
    model, saes = load_pair(plan.model_path, plan.artifacts, device)
    full = _empty_states(plan, saes, device)
    tail: dict[int, FeatureState] = {}
    done = full_until = 0
    for block in ahead(_read_blocks(plan)):
        states = full
        if int(block.contexts.lengths.sum()) < plan.parameters.block_tokens:
            states = tail = _empty_states(plan, saes, device)
        else:
            full_until = int(block.contexts.ids[-1])
        collection = Collection(
            model,
            {number: Layer(sae, states[number]) for number, sae in saes.items()},
            sink_factor=plan.parameters.sink_factor,
        )
        for rows in cut_batches(block.contexts.lengths.tolist(), plan.parameters.batch_tokens):
            collection.take(block.contexts, block.token_ids, rows)
            done += int(block.contexts.lengths[rows].sum())
            # The place where a cancelled step stops.
            progress(done, sum(plan.lengths), "tokens")
    return ShardStates(full, tail, full_until)


def _empty_states(
    plan: ShardPlan, saes: Mapping[int, SparseAutoencoder], device: torch.device
) -> dict[int, FeatureState]:
    limits, tags = limits_of(plan.parameters), len(plan.parameters.tags)
    return {
        number: FeatureState.empty(sae.d_sae, tags=tags, limits=limits, device=device)
        for number, sae in saes.items()
    }
