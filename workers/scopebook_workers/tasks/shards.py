"""Collect one shard: the model once for all layers, each layer encoded into per-feature state."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from sqlalchemy import Row, select
from sqlalchemy.orm import Session
from transformers import PreTrainedModel

from scopebook.artifacts import write_artifact
from scopebook.db.sessions import sessions, unit_of_work
from scopebook.db.tables import Context, Document, Model, Release, Run, Sae, Shard
from scopebook.errors import CheckpointError
from scopebook.jobs import COLLECT_SHARD
from scopebook.packing import unpack_ints
from scopebook.runs import RunParameters, read_parameters
from scopebook.settings import settings
from scopebook.steps import Claim
from scopebook_workers.claims import Finish, Progress, step_task
from scopebook_workers.qwen.capture import Captured, capture
from scopebook_workers.qwen.model import choose_device, load_model
from scopebook_workers.sae.blocks import cut_blocks
from scopebook_workers.sae.collect import Layer, collect_block
from scopebook_workers.sae.firings import Contexts
from scopebook_workers.sae.state import FeatureState, Limits
from scopebook_workers.sae.weights import SparseAutoencoder, read_converted


@dataclass(frozen=True, kw_only=True)
class ShardPlan:
    """What a shard's rows say is to be done."""

    run_id: int
    ordinal: int
    parameters: RunParameters
    model_path: str
    #: Where the SAE of each layer lies.
    artifacts: dict[int, str]
    contexts: Contexts
    token_ids: list[NDArray[np.int32]]


@step_task(COLLECT_SHARD)
def collect_shard(claim: Claim, progress: Progress) -> Finish:
    """Collect one shard into one artifact, which the step's end makes known."""
    shard_id = claim.parameters["shard_id"]
    with unit_of_work(sessions()) as session:
        plan = _read_plan(session, shard_id)
    total = int(plan.contexts.lengths.sum())
    progress(0, total, "tokens")
    states = _collect(plan, progress)
    name = f"runs/{plan.run_id}/shard-{plan.ordinal:05d}-{claim.fence}.npz"
    write_artifact(name, lambda file: save_states(file, states))

    def write(session: Session) -> None:
        session.get_one(Shard, shard_id).artifact = name

    return write


def save_states(file: BinaryIO, states: dict[int, FeatureState]) -> None:
    """Write the states so that one layer's can be read without the others."""
    arrays = {
        f"{layer}.{name}": array
        for layer, state in states.items()
        for name, array in state.arrays().items()
    }
    np.savez(file, allow_pickle=False, **arrays)


def limits_of(parameters: RunParameters) -> Limits:
    """Return what a run keeps of each feature."""
    return Limits(
        best=parameters.best,
        sample=parameters.sample,
        left=parameters.left,
        right=parameters.right,
    )


def _read_plan(session: Session, shard_id: int) -> ShardPlan:
    shard = session.get_one(Shard, shard_id)
    run = session.get_one(Run, shard.run_id)
    release = session.get_one(Release, run.release_id)
    parameters = read_parameters(run)
    saes = session.scalars(
        select(Sae).where(Sae.release_id == release.id, Sae.layer.in_(run.layers))
    )
    rows = session.execute(
        select(Context.id, Context.ordinal, Context.tokens, Document.sha256, Document.tag)
        .join(Document, Document.id == Context.document_id)
        .where(
            Context.tokenisation_id == run.tokenisation_id,
            Context.id.between(shard.first_context_id, shard.last_context_id),
        )
        .order_by(Context.id)
    ).all()
    token_ids = [unpack_ints(row.tokens) for row in rows]
    return ShardPlan(
        run_id=run.id,
        ordinal=shard.ordinal,
        parameters=parameters,
        model_path=session.get_one(Model, release.model_id).path,
        artifacts={sae.layer: sae.artifact for sae in saes},
        contexts=_describe(rows, token_ids, parameters.tags),
        token_ids=token_ids,
    )


def _describe(
    rows: Sequence[Row[int, int, bytes, bytes, str | None]],
    token_ids: Sequence[NDArray[np.int32]],
    tags: Sequence[str],
) -> Contexts:
    number = {tag: place for place, tag in enumerate(tags)}
    # By the text and not by a row id, so that two instances draw the same samples.
    keys = [(int.from_bytes(row.sha256[:8]) + row.ordinal) % 2**64 for row in rows]
    return Contexts(
        ids=np.asarray([row.id for row in rows], dtype=np.int64),
        keys=np.asarray(keys, dtype=np.uint64),
        lengths=np.asarray([len(row) for row in token_ids], dtype=np.int32),
        tags=np.asarray([number.get(row.tag, -1) for row in rows], dtype=np.int32),
    )


def _collect(plan: ShardPlan, progress: Progress) -> dict[int, FeatureState]:
    device = choose_device(settings().device)
    model = _model(plan.model_path, device)
    limits = limits_of(plan.parameters)
    layers = {
        layer: Layer(
            sae, FeatureState.empty(sae.d_sae, tags=len(plan.parameters.tags), limits=limits)
        )
        for layer, sae in _saes(tuple(sorted(plan.artifacts.items())), device).items()
    }
    _check_widths(model, layers)
    lengths = plan.contexts.lengths.tolist()
    done = 0
    for block in cut_blocks(lengths, plan.parameters.block_tokens):
        token_ids = plan.token_ids[block.start : block.stop]
        batches = capture(model, list(layers), token_ids, batch_tokens=plan.parameters.batch_tokens)
        collect_block(
            layers,
            _part(plan.contexts, block),
            token_ids,
            _reported(batches, progress, done, sum(lengths)),
            sink_factor=plan.parameters.sink_factor,
        )
        done += sum(lengths[block.start : block.stop])
    return {number: layer.state for number, layer in layers.items()}


def _check_widths(model: PreTrainedModel, layers: dict[int, Layer]) -> None:
    width = model.config.get_text_config().hidden_size
    for number, layer in layers.items():
        if layer.sae.d_model != width:
            raise CheckpointError(
                f"The SAE of layer {number} reads a residual stream of width {layer.sae.d_model}, "
                f"but the model's is {width}; add the release again with the model it is for."
            )


def _reported(
    batches: Iterator[Captured], progress: Progress, done: int, total: int
) -> Iterator[Captured]:
    """Pass the batches on, and report each: the place where a cancelled step stops."""
    for batch in batches:
        yield batch
        done += sum(batch.lengths)
        progress(done, total, "tokens")


def _part(contexts: Contexts, block: range) -> Contexts:
    part = slice(block.start, block.stop)
    return Contexts(
        contexts.ids[part], contexts.keys[part], contexts.lengths[part], contexts.tags[part]
    )


# The shards of a run come one after the other, so one model and its SAEs stay loaded.
@lru_cache(maxsize=1)
def _model(path: str, device: torch.device) -> PreTrainedModel:
    return load_model(Path(path), device)


@lru_cache(maxsize=1)
def _saes(
    artifacts: tuple[tuple[int, str], ...], device: torch.device
) -> dict[int, SparseAutoencoder]:
    return {layer: read_converted(Path(path), device) for layer, path in artifacts}
