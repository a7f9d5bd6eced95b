"""A tiny release over a tiny model, with a corpus to collect: real files, real rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from sqlalchemy import select
from tests.makers import make_corpus, make_model, make_release
from tests.qwen_scope_files import qwen_scope_entries
from tests.tiny_models import save_tiny_model

from scopebook.db.sessions import Sessions
from scopebook.db.tables import Evidence, Run, Tokenizer
from scopebook.jobs import COLLECT_SHARD, MERGE_SAE, PLAN_RUN, TIDY_RUN, TOKENISE_CORPUS
from scopebook.runs import request_collection
from scopebook.settings import settings, use_settings
from scopebook_workers.claims import work_off
from scopebook_workers.sae.weights import convert, converted_sae

LAYERS = (1, 3)
D_SAE = 48
K = 5
RELEASE = "SAE-Res-Tiny-Model-W1K-L0_5"
#: Small enough that twenty short texts make several windows, batches, blocks and shards.
SMALL = {
    **{"best": 4, "sample": 6, "left": 5, "right": 3, "draws": 12},
    **{"block_tokens": 40, "batch_tokens": 48},
}

TEXTS: Sequence[tuple[str, str | None]] = (
    ("the cat sat on the mat and the dog ran to the cat", "en"),
    ("the cat sat on the mat and the cat ran to the dog", "en"),
    ("", None),
    ("der Hund und die Katze und der Hund", "de"),
    ("中文 中国 🎉🎉 中文 the cat", "zh"),
    ("中国 " * 30, "zh"),
    ("x", None),
    ("the mat " * 25 + "der Hund", "de"),
    ("🎉", "zh"),
    *((f"the dog number {number} ran to the mat {number}", "en") for number in range(8)),
)


@dataclass(frozen=True)
class Tiny:
    """What a tiny instance was made of."""

    model_path: Path
    sae_paths: Mapping[int, Path]


def make_tiny(
    sessions: Sessions,
    folder: Path,
    texts: Sequence[tuple[str, str | None]] = TEXTS,
    *,
    family: str = "qwen3",
) -> Tiny:
    """Register a tiny model, a release for two of its layers and a corpus named `tiny`."""
    use_settings(settings().model_copy(update={"context_tokens": 16}))
    model_path = save_tiny_model(folder / "model", family)
    sae_paths = {layer: write_sae(folder, layer) for layer in LAYERS}
    with sessions.begin() as session:
        model = make_model(session)
        model.path, model.d_model = str(model_path), 32
        session.get_one(Tokenizer, model.tokenizer_id).path = str(model_path)
        for sae in make_release(session, RELEASE, model=model, layers=LAYERS, d_sae=D_SAE):
            sae.artifact = str(sae_paths[sae.layer])
            sae.sha256 = converted_sae(sae_paths[sae.layer]).source_sha256
        for document, (_, tag) in zip(
            make_corpus(session, [text for text, _ in texts]), texts, strict=True
        ):
            document.tag = tag
    return Tiny(model_path, sae_paths)


def write_sae(folder: Path, layer: int, *, seed: int | None = None) -> Path:
    """Write an SAE whose first two features have the same weights, so that they always tie."""
    entries = qwen_scope_entries(D_SAE, 32, seed=layer if seed is None else seed)
    entries["W_enc"][1], entries["b_enc"][1] = entries["W_enc"][0], entries["b_enc"][0]
    entries["b_enc"][2] = -10_000.0  # never fires
    entries["b_enc"][3] = 10_000.0  # always fires
    source = folder / f"layer{layer}.sae.pt"
    torch.save(entries, source)
    return convert(source, folder / f"layer{layer}.safetensors", layer=layer, k=K, d_sae=D_SAE).path


def ask_for_collection(sessions: Sessions, *, anew: bool = True, **parameters: object) -> int:
    """Ask for a collection with small windows and no labels; return the run's id."""
    with sessions.begin() as session:
        job = request_collection(session, RELEASE, "tiny", label=False, anew=anew)
        run = session.scalars(select(Run).where(Run.job_id == job.id)).one()
        run.parameters = run.parameters | SMALL | parameters
        return run.id


def do_all_steps() -> None:
    """Do every step of a collection in this process."""
    for kind in (TOKENISE_CORPUS, PLAN_RUN, COLLECT_SHARD, MERGE_SAE, TIDY_RUN):
        work_off(kind)


def evidence_of(sessions: Sessions, run_id: int) -> list[tuple[object, ...]]:
    """Return every column of a run's evidence but the run's id, in order of the features."""
    names = [column.name for column in Evidence.__table__.columns if column.name != "run_id"]
    with sessions() as session:
        rows = session.scalars(
            select(Evidence).where(Evidence.run_id == run_id).order_by(Evidence.feature_id)
        )
        return [tuple(getattr(row, name) for name in names) for row in rows]
