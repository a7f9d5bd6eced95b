"""Scan one shard: the same path as a collection's, into sums over documents."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.artifacts import open_artifact, write_artifact
from scopebook.db.arrays import among
from scopebook.db.scan_tables import Scan, ScanShard
from scopebook.db.tables import FEATURE_BITS, Context, Document, Model, Release, Sae
from scopebook.jobs import SCAN_SHARD
from scopebook.packing import unpack_ints
from scopebook.scan_parameters import ScanParameters, read_scan_parameters
from scopebook.settings import settings
from scopebook.steps import Claim
from scopebook_workers.claims import Finish, Progress, step_task
from scopebook_workers.outages import read_patiently
from scopebook_workers.prefetch import ahead
from scopebook_workers.qwen.capture import cut_batches
from scopebook_workers.qwen.model import choose_device
from scopebook_workers.sae.blocks import cut_blocks
from scopebook_workers.sae.collect import Collection, Layer
from scopebook_workers.sae.firings import Contexts
from scopebook_workers.sae.scan_state import ScanBlock, ScanGuide, ScanState, block_of
from scopebook_workers.tasks.loaded import load_pair
from scopebook_workers.tasks.scan_plan import TextPlace, read_place
from scopebook_workers.tasks.shards import describe_contexts, select_contexts


@dataclass(frozen=True, kw_only=True)
class ScanPlan:
    """What a shard's rows say is to be done."""

    scan_id: int
    ordinal: int
    parameters: ScanParameters
    parts: int
    tokenisation_id: int
    model_path: str
    #: Row id and artifact of each layer's SAE.
    saes: dict[int, tuple[int, str]]
    guide: str
    place: TextPlace
    #: The number of the part of each context's document.
    part: NDArray[np.int64]


@dataclass(frozen=True)
class Piece:
    """Some contexts of a block that are read together, and whether they are its last."""

    block: ScanBlock
    first: bool
    last: bool
    contexts: Contexts
    token_ids: list[NDArray[np.int32]]


@step_task(SCAN_SHARD)
def scan_shard(claim: Claim, progress: Progress) -> Finish:
    """Scan one shard into one artifact, which the step's end makes known."""
    shard_id = claim.parameters["shard_id"]
    plan = read_patiently(lambda session: _read_plan(session, shard_id))
    progress(0, int(plan.place.lengths.sum()), "tokens")
    states = _scan(plan, progress)
    name = f"scans/{plan.scan_id}/shard-{plan.ordinal:05d}-{claim.fence}.npz"
    write_artifact(name, lambda file: _save(file, states))

    def write(session: Session) -> None:
        session.get_one(ScanShard, shard_id).artifact = name

    return write


def _save(file: BinaryIO, states: dict[int, ScanState]) -> None:
    """Write the states so that one layer's can be read without the others."""
    arrays = {
        f"{layer}.{name}": array
        for layer, state in states.items()
        for name, array in state.arrays().items()
    }
    np.savez(file, allow_pickle=False, **arrays)


def _read_plan(session: Session, shard_id: int) -> ScanPlan:
    shard = session.get_one(ScanShard, shard_id)
    scan = session.get_one(Scan, shard.scan_id)
    release = session.get_one(Release, scan.release_id)
    saes = session.scalars(
        select(Sae).where(Sae.release_id == release.id, Sae.layer.in_(scan.layers))
    )
    place = read_place(
        session,
        scan.tokenisation_id,
        first=shard.first_context_id,
        last=shard.last_context_id,
    )
    assert scan.guide is not None, "a scan's plan writes its guide before its shards are known"
    return ScanPlan(
        scan_id=scan.id,
        ordinal=shard.ordinal,
        parameters=read_scan_parameters(scan),
        parts=max(1, len(scan.parts)),
        tokenisation_id=scan.tokenisation_id,
        model_path=session.get_one(Model, release.model_id).path,
        saes={sae.layer: (sae.id, sae.artifact) for sae in saes},
        guide=scan.guide,
        place=place,
        part=_parts(session, scan, place.documents),
    )


def _parts(session: Session, scan: Scan, documents: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of each context's part, which its document's tag names."""
    if not scan.parts:
        return np.zeros(len(documents), dtype=np.int64)
    number = {name: place for place, name in enumerate(scan.parts)}
    ids = np.unique(documents)
    rows = session.execute(
        select(Document.id, Document.tag).where(among(Document.id, ids.tolist()))
    )
    known = {row.id: number.get(row.tag or "", 0) for row in rows}
    found = np.asarray([known[one] for one in ids.tolist()], dtype=np.int64)
    return found[np.searchsorted(ids, documents)]


def _pieces(plan: ScanPlan) -> Iterator[Piece]:
    """Read the blocks piece by piece: neither a shard's text nor a long document need fit."""
    place, size = plan.place, plan.parameters.block_tokens
    borders = [*place.document_starts().tolist(), len(place.context_ids)]
    for documents in cut_blocks(place.document_tokens().tolist(), size):
        rows = slice(borders[documents.start], borders[documents.stop])
        block = block_of(
            place.context_ids[rows].tolist(),
            place.lengths[rows].tolist(),
            place.documents[rows].tolist(),
            plan.part[rows].tolist(),
        )
        cuts = cut_blocks(block.lengths.tolist(), size)
        for number, cut in enumerate(cuts):
            ids = block.context_ids[cut.start : cut.stop]
            contexts, token_ids = read_patiently(
                partial(_read_contexts, tokenisation_id=plan.tokenisation_id, ids=ids)
            )
            yield Piece(block, number == 0, number == len(cuts) - 1, contexts, token_ids)


def _read_contexts(
    session: Session, tokenisation_id: int, ids: NDArray[np.int64]
) -> tuple[Contexts, list[NDArray[np.int32]]]:
    rows = session.execute(
        select_contexts().where(
            Context.tokenisation_id == tokenisation_id,
            Context.id.between(int(ids[0]), int(ids[-1])),
            Context.n_tokens > 0,
        )
    ).all()
    token_ids = [unpack_ints(row.tokens) for row in rows]
    return describe_contexts(rows, token_ids, ()), token_ids


def _scan(plan: ScanPlan, progress: Progress) -> dict[int, ScanState]:
    device = choose_device(settings().device)
    artifacts = {layer: artifact for layer, (_, artifact) in plan.saes.items()}
    model, saes = load_pair(plan.model_path, artifacts, device)
    states = _empty_states(plan, device)
    collection = Collection(
        model,
        {number: Layer(sae, states[number]) for number, sae in saes.items()},
        sink_factor=plan.parameters.sink_factor,
    )
    done, total = 0, int(plan.place.lengths.sum())
    for piece in ahead(_pieces(plan)):
        if piece.first:
            for state in states.values():
                state.expect(piece.block)
        for rows in cut_batches(piece.contexts.lengths.tolist(), plan.parameters.batch_tokens):
            collection.take(piece.contexts, piece.token_ids, rows)
            done += int(piece.contexts.lengths[rows].sum())
            # The place where a cancelled step stops.
            progress(done, total, "tokens")
        if piece.last:
            for state in states.values():
                state.end()
    return states


def _empty_states(plan: ScanPlan, device: torch.device) -> dict[int, ScanState]:
    with open_artifact(plan.guide) as file, np.load(file, allow_pickle=False) as stored:
        guides: dict[str, Any] = dict(stored)
    watched = np.asarray(plan.parameters.watched, dtype=np.int64)
    states = {}
    for layer, (sae_id, _) in plan.saes.items():
        flagged = torch.from_numpy(guides[f"{layer}.flagged"])
        seen = torch.zeros_like(flagged)
        of_layer = watched[watched >> FEATURE_BITS == sae_id] & (2**FEATURE_BITS - 1)
        seen[torch.from_numpy(of_layer)] = True
        guide = ScanGuide(
            flagged=flagged.to(device),
            language=torch.from_numpy(guides[f"{layer}.language"]).to(device),
            watched=seen.to(device),
        )
        states[layer] = ScanState(guide, parts=plan.parts, best=plan.parameters.best)
    return states
