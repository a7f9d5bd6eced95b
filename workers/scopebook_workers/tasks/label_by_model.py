"""Label an SAE's features with windows that a model embeds, which this worker loads."""

from functools import lru_cache, partial

import torch

from scopebook.jobs import LABEL_SAE_BY_MODEL
from scopebook.labeling_requests import EMBEDDER
from scopebook.settings import settings
from scopebook.steps import Claim
from scopebook.window_embedders import AskedEmbedder
from scopebook_workers.claims import Finish, Progress, step_task
from scopebook_workers.labeling.embedders import load_embedder
from scopebook_workers.labeling.model_encoder import ModelEncoder
from scopebook_workers.outages import read_patiently
from scopebook_workers.tasks.label import label_features
from scopebook_workers.tasks.residuals import residual_encoder, run_by_context


@step_task(LABEL_SAE_BY_MODEL)
def label_sae_by_model(claim: Claim, progress: Progress) -> Finish:
    """Label every feature of an SAE that fired in a run, or those that are named."""
    asked = AskedEmbedder(**claim.parameters[EMBEDDER])
    progress(0, 0, "features")
    if asked.is_residual:
        rows = {name: claim.parameters[name] for name in ("sae_id", "run_id")}
        residuals = read_patiently(lambda session: residual_encoder(session, **rows))
        prepare = partial(run_by_context, residuals, progress)
        return label_features(claim, progress, asked, residuals, prepare)
    return label_features(claim, progress, asked, _encoder(asked.name))


# One layer comes after the other, so one model stays loaded.
@lru_cache(maxsize=1)
def _encoder(name: str) -> ModelEncoder:
    device = settings().device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return ModelEncoder(load_embedder(name, device=device))
