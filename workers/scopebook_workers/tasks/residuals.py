"""Open the encoder of an SAE's own residuals, and run its model once over each context."""

from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.db.tables import Context, Model, Release, Run, Sae
from scopebook.packing import unpack_ints
from scopebook.runs import read_parameters
from scopebook.settings import settings
from scopebook_workers.claims import Progress
from scopebook_workers.labeling.keyword_labels import embedded_examples
from scopebook_workers.labeling.residual_encoder import Place, ResidualEncoder
from scopebook_workers.outages import read_patiently
from scopebook_workers.qwen.model import choose_device
from scopebook_workers.tasks.evidence_rows import EvidenceReader
from scopebook_workers.tasks.kept_windows import KeptEncoder
from scopebook_workers.tasks.loaded import load_pair

#: Features read at once, and places between two looks whether the step is still wanted.
_FEATURES: Final = 64
_PLACES: Final = 4_096


def residual_encoder(session: Session, *, sae_id: int, run_id: int) -> ResidualEncoder:
    """Return the encoder of an SAE: its model and weights are loaded unless they are."""
    sae = session.get_one(Sae, sae_id)
    release = session.get_one(Release, sae.release_id)
    model = session.get_one(Model, release.model_id)
    device = choose_device(settings().device)
    loaded, saes = load_pair(model.path, {sae.layer: sae.artifact}, device)
    weights = model.revision or (model.sha256 or "unknown")[:16]
    return ResidualEncoder(
        loaded,
        saes[sae.layer],
        layer=sae.layer,
        name=f"{model.name}@{weights} after layer {sae.layer} for the SAE {sae.sha256[:16]}",
        tokens_of=lambda contexts: read_patiently(partial(_tokens, contexts=contexts)),
        batch_tokens=read_parameters(session.get_one(Run, run_id)).batch_tokens,
    )


def run_by_context(
    encoder: ResidualEncoder,
    progress: Progress,
    kept: KeptEncoder,
    reader: EvidenceReader,
    feature_ids: Sequence[int],
) -> None:
    """Have the vectors of all these features made, in the order of the contexts.

    A context is an example of many features: feature by feature it would be run for each.
    """
    places: list[Place] = []
    for start in range(0, len(feature_ids), _FEATURES):
        progress.check()
        part = feature_ids[start : start + _FEATURES]
        for feature in read_patiently(partial(reader.read, feature_ids=part)):
            firings = feature.evidence.firings
            for i in embedded_examples(feature.evidence):
                index = firings[i].feature
                assert index is not None
                places.append(Place(firings[i].passage.id, firings[i].peak, index))
    places.sort()
    for start in range(0, len(places), _PLACES):
        some = places[start : start + _PLACES]
        kept.complete([place.key for place in some], partial(_encode, encoder, some))


def _encode(
    encoder: ResidualEncoder, places: Sequence[Place], wanted: Sequence[int]
) -> NDArray[np.float32]:
    return encoder.encode_places([places[i] for i in wanted])


def _tokens(session: Session, contexts: Sequence[int]) -> dict[int, NDArray[np.int32]]:
    rows = session.execute(select(Context.id, Context.tokens).where(Context.id.in_(contexts)))
    return {row.id: unpack_ints(row.tokens) for row in rows}
