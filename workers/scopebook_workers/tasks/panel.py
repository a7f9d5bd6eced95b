"""Compute a panel: contexts of a run for which it is known what fires every feature."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import BinaryIO, Final

import numpy as np
import torch
from numpy.typing import NDArray
from sqlalchemy import Integer, func, select
from sqlalchemy.dialects.postgresql import BYTEA
from sqlalchemy.orm import Session

from scopebook.artifacts import write_artifact
from scopebook.co_firing import write_co_firing
from scopebook.db.label_tables import Panel
from scopebook.db.sessions import sessions
from scopebook.db.tables import Context, Document, Model, Release, Run, Sae, Shard
from scopebook.errors import InvalidInputError
from scopebook.jobs import COMPUTE_PANEL
from scopebook.packing import pack_pairs, unpack_ints
from scopebook.runs import read_parameters
from scopebook.settings import settings
from scopebook.steps import Claim
from scopebook_workers.claims import Finish, Progress, step_task
from scopebook_workers.qwen.capture import capture_rows, cut_batches
from scopebook_workers.qwen.model import choose_device
from scopebook_workers.sae.co_firing import CoFired, co_firing
from scopebook_workers.sae.collect import Fired, Layer, fire
from scopebook_workers.sae.firings import Batch, Contexts, firings_of, group_firings, make_batch
from scopebook_workers.sae.state import FeatureState
from scopebook_workers.tasks.loaded import load_pair
from scopebook_workers.tasks.shards import describe_contexts, select_contexts

#: Contexts of a panel: enough that a feature which fires in one of ten of them still has silent
#: neighbours, and few enough to cost little beside a collection.
CONTEXTS: Final = 1_000


@dataclass(frozen=True, kw_only=True)
class PanelPlan:
    """What a run's rows say a panel is computed of."""

    model_path: str
    sink_factor: float
    batch_tokens: int
    #: SAE row id, artifact and width of each layer.
    saes: dict[int, tuple[int, str, int]]
    contexts: Contexts
    token_ids: list[NDArray[np.int32]]


@dataclass(frozen=True, eq=False)
class PanelRows:
    """One row for each feature and context that fires it; the largest activation counts."""

    features: NDArray[np.int32]
    contexts: NDArray[np.int32]  # positions in the panel
    peaks: NDArray[np.int32]
    activations: NDArray[np.float32]
    #: One row for each token and feature that fires there.
    tokens: NDArray[np.int32]  # positions in all of the panel's tokens
    fired: NDArray[np.int32]


@step_task(COMPUTE_PANEL)
def compute_panel(claim: Claim, progress: Progress) -> Finish:
    """Draw contexts of a run by their text, and run the model over them for all its layers."""
    run_id, n = claim.parameters["run_id"], claim.parameters.get("contexts", CONTEXTS)
    with sessions()() as session:
        plan = _read_plan(session, run_id, n)
    rows = _compute(plan, progress)
    names = {layer: f"panels/run{run_id}-layer{layer}-{claim.fence}.npz" for layer in rows}
    together = {}
    for layer, name in names.items():
        write_artifact(name, partial(_save, plan=plan, rows=rows[layer], layer=layer))
        together[layer] = _together(plan, rows[layer], layer)

    def write(session: Session) -> None:
        for layer, name in names.items():
            sae_id = plan.saes[layer][0]
            session.merge(
                Panel(
                    run_id=run_id,
                    sae_id=sae_id,
                    artifact=name,
                    contexts=len(plan.token_ids),
                    tokens=_tokens(plan),
                )
            )
            write_co_firing(session, run_id, sae_id, _packed(together[layer]))

    return write


def _tokens(plan: PanelPlan) -> int:
    return int(plan.contexts.lengths.sum())


def _together(plan: PanelPlan, rows: PanelRows, layer: int) -> CoFired:
    width = plan.saes[layer][2]
    return co_firing(rows.tokens, rows.fired, n_tokens=_tokens(plan), n_features=width)


def _packed(found: CoFired) -> Iterator[tuple[int, int, bytes]]:
    """Yield the features that fire at all, each with its partners."""
    for index in np.flatnonzero(found.fires).tolist():
        rows = slice(found.starts[index], found.starts[index + 1])
        pairs = pack_pairs(found.partners[rows].tolist(), found.shares[rows].tolist())
        yield index, int(found.fires[index]), pairs


def _save(file: BinaryIO, *, plan: PanelPlan, rows: PanelRows, layer: int) -> None:
    """Write the rows by feature: those of feature f are `starts[f]` to `starts[f + 1]`."""
    order = np.lexsort((rows.contexts, rows.features))
    counts = np.bincount(rows.features, minlength=plan.saes[layer][2])
    np.savez(
        file,
        allow_pickle=False,
        context_ids=plan.contexts.ids,
        starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        contexts=rows.contexts[order],
        peaks=rows.peaks[order],
        activations=rows.activations[order],
    )


def _read_plan(session: Session, run_id: int, n: int) -> PanelPlan:
    run = session.get_one(Run, run_id)
    release = session.get_one(Release, run.release_id)
    parameters = read_parameters(run)
    saes = session.scalars(
        select(Sae).where(Sae.release_id == release.id, Sae.layer.in_(run.layers))
    )
    rows = session.execute(select_contexts().where(Context.id.in_(_drawn(session, run, n)))).all()
    if not rows:
        raise InvalidInputError(f"Run {run_id} has read no context; collect again.")
    token_ids = [unpack_ints(row.tokens) for row in rows]
    return PanelPlan(
        model_path=session.get_one(Model, release.model_id).path,
        sink_factor=parameters.sink_factor,
        batch_tokens=parameters.batch_tokens,
        saes={sae.layer: (sae.id, sae.artifact, sae.d_sae) for sae in saes},
        contexts=describe_contexts(rows, token_ids, ()),
        token_ids=token_ids,
    )


def _drawn(session: Session, run: Run, n: int) -> Sequence[int]:
    """Return the row ids of the contexts with the smallest hashes, of those the run has read.

    By the text and not by a row id, so that two instances draw the same.
    """
    lot = func.sha256(
        Document.sha256.op("||", return_type=BYTEA())(
            func.int4send(Context.ordinal.cast(Integer), type_=BYTEA())
        )
    )
    last = select(func.max(Shard.last_context_id)).where(
        Shard.run_id.in_([run.id, run.base_run_id or run.id])
    )
    return session.scalars(
        select(Context.id)
        .join(Document, Document.id == Context.document_id)
        .where(
            Context.tokenisation_id == run.tokenisation_id,
            Context.id <= last.scalar_subquery(),
            Context.n_tokens > 1,
        )
        .order_by(lot, Context.id)
        .limit(n)
    ).all()


def _compute(plan: PanelPlan, progress: Progress) -> dict[int, PanelRows]:
    device = choose_device(settings().device)
    artifacts = {layer: artifact for layer, (_, artifact, _) in plan.saes.items()}
    model, saes = load_pair(plan.model_path, artifacts, device)
    layers = {
        number: Layer(sae, FeatureState.empty(1, device=device)) for number, sae in saes.items()
    }
    parts: dict[int, list[PanelRows]] = {number: [] for number in layers}
    lengths = plan.contexts.lengths.tolist()
    first_tokens = np.cumsum(plan.contexts.lengths) - plan.contexts.lengths
    done = 0
    for rows in cut_batches(lengths, plan.batch_tokens):
        captured = capture_rows(model, list(layers), plan.token_ids, rows)
        found = fire(layers, captured, sink_factor=plan.sink_factor)
        batch = make_batch(
            plan.contexts.take(rows), [plan.token_ids[row] for row in rows], model.device
        )
        for number, fired in found.items():
            places = np.asarray(rows)
            parts[number].append(_rows_of(batch, fired, places, first_tokens[places]))
        done += sum(lengths[row] for row in rows)
        progress(done, sum(lengths), "tokens")
    return {number: _joined(found) for number, found in parts.items()}


def _rows_of(
    batch: Batch, fired: Fired, places: NDArray[np.int64], first_tokens: NDArray[np.int64]
) -> PanelRows:
    """Return a batch's rows; the same tokens count as in a collection."""
    usable = (batch.position > 0) & ~fired.sinks
    firings = firings_of(batch, fired.active, usable)
    groups = group_firings(firings, len(batch.ids))
    tokens = first_tokens[_host(firings.context)] + _host(firings.position)
    return PanelRows(
        features=_host(groups.feature).astype(np.int32),
        contexts=places[_host(groups.context)].astype(np.int32),
        peaks=_host(groups.peak).astype(np.int32),
        activations=_host(groups.activation).astype(np.float32),
        tokens=tokens.astype(np.int32),
        fired=_host(firings.feature).astype(np.int32),
    )


def _host(column: torch.Tensor) -> NDArray[np.int64]:
    array: NDArray[np.int64] = column.cpu().numpy()
    return array


def _joined(parts: Sequence[PanelRows]) -> PanelRows:
    columns = [field.name for field in fields(PanelRows)]
    return PanelRows(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in columns}
    )
