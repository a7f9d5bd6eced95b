"""Register a release: fetch it, check it, keep it as safetensors, read what its weights tell."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from sqlalchemy.orm import Session

from scopebook.hub import (
    DownloadedModel,
    DownloadedRelease,
    check_free_space,
    download_model,
    download_release,
    plan_download,
)
from scopebook.jobs import ADD_RELEASE
from scopebook.registration import (
    VECTOR_ENDING,
    FeatureFacts,
    ModelFacts,
    ReleaseFacts,
    SaeFacts,
    register_model,
    register_release,
)
from scopebook.release_names import ReleaseName, model_to_run
from scopebook.runs import collection_steps
from scopebook.settings import settings
from scopebook.steps import Claim, NewStep
from scopebook_workers.claims import Finish, Progress, step_task
from scopebook_workers.qwen.model import choose_device, load_model, read_facts
from scopebook_workers.qwen.tokenizer import fingerprint, load_tokenizer, token_pieces
from scopebook_workers.qwen.weights_hash import weights_sha256
from scopebook_workers.sae.control_vectors import read_control_vector, write_as_saes
from scopebook_workers.sae.logit_lens import decoder_norms, logit_lens, nearest_directions
from scopebook_workers.sae.weights import (
    ConvertedSae,
    SparseAutoencoder,
    check_against_model,
    check_layer,
    convert,
    convert_saelens,
    file_sha256,
    read_converted,
    saelens_sha256,
)

_MEGABYTE = 1_000_000


@step_task(ADD_RELEASE)
def add_release(claim: Claim, progress: Progress) -> Finish:
    """Register a release from the hub or a folder, with the model it was trained on.

    With `collect` in the parameters the release is collected over that corpus as the job goes on.
    """
    wanted = claim.parameters

    def fetched(done: int, total: int) -> None:
        progress(done // _MEGABYTE, total // _MEGABYTE, "MB")

    source: str = wanted["source"]
    if source.endswith(VECTOR_ENDING):
        source = str(_vectors_as_saes(Path(source)))
    plan = plan_download(source, wanted.get("layers"))
    check_free_space(settings().data_dir, plan.converted_bytes, f"the SAEs of {plan.release}")
    release = download_release(source, wanted.get("layers"), progress=fetched)
    model = download_model(model_to_run(release.name, wanted.get("model")), progress=fetched)
    model_facts = _model_facts(release.name, model)
    for file in release.layers:  # before the first is converted
        check_layer(
            f"{file.path} is for layer {file.layer}",
            layer=file.layer,
            n_layers=model_facts.layers,
        )
    converted = [
        _convert(release, layer, model_facts, progress) for layer in range(len(release.layers))
    ]
    saes = _read_weights(model, model_facts, converted, progress)

    def write(session: Session) -> list[NewStep]:
        row = register_release(
            session, _release_facts(release), register_model(session, model_facts), saes
        )
        if "collect" not in wanted:
            return []
        return collection_steps(
            session,
            job_id=claim.job_id,
            release=row,
            corpus_name=wanted["collect"]["corpus"],
            layers=[sae.layer for sae in saes],
            first_stage=claim.stage + 1,
        )

    return write


def _vectors_as_saes(path: Path) -> Path:
    """Return the folder in which a control vector lies as SAEs, named like its file."""
    folder = settings().data_dir / "vectors" / file_sha256(path)[:16] / path.stem
    write_as_saes(read_control_vector(path), folder, None)
    return folder


def _model_facts(name: ReleaseName, model: DownloadedModel) -> ModelFacts:
    facts = read_facts(model.path)
    tokenizer = load_tokenizer(model.path)
    return ModelFacts(
        name=_model_name(name, model),
        path=str(model.path),
        revision=model.revision,
        layers=facts.layers,
        d_model=facts.d_model,
        tokenizer_sha256=fingerprint(tokenizer),
        pieces=token_pieces(tokenizer),
        sha256=weights_sha256(model.path),
    )


def _model_name(name: ReleaseName, model: DownloadedModel) -> str:
    """Return the hub's id; a folder named like the release's model counts as that model."""
    if model.revision is not None:
        return model.source
    folder = model.path.name
    base = name.base_model
    return base if base and folder == base.rsplit("/", 1)[-1] else folder


def _release_facts(release: DownloadedRelease) -> ReleaseFacts:
    return ReleaseFacts(
        name=release.source if release.revision else release.name.name,
        set_name=release.name.set_name,
        width=release.name.width,
        k=release.name.k,
        source=release.source,
        revision=release.revision,
        caution=release.card.caution or None,
    )


def _convert(
    release: DownloadedRelease, at: int, model: ModelFacts, progress: Progress
) -> ConvertedSae:
    progress(at, len(release.layers), "layers checked")
    file = release.layers[at]
    # By content: a file of the same name that is refused later must not replace a registered one.
    digest = file.sha256 or file_sha256(file.path)
    folder = settings().data_dir / "saes" / release.name.name
    if file.config is not None:
        identity = saelens_sha256(digest, file.config)
        return convert_saelens(
            file.path,
            folder / f"layer{file.layer}-{identity[:16]}.safetensors",
            config=file.config,
            d_model=model.d_model,
            licence=release.card.licence,
            sha256=digest,
        )
    assert release.name.k is not None  # the name of a Qwen-Scope release says it
    return convert(
        file.path,
        folder / f"layer{file.layer}-{digest[:16]}.safetensors",
        layer=file.layer,
        k=release.name.k,
        d_sae=release.name.width,
        d_model=model.d_model,
        licence=release.card.licence,
        sha256=digest,
    )


def _read_weights(
    model: DownloadedModel,
    facts: ModelFacts,
    converted: list[ConvertedSae],
    progress: Progress,
) -> list[SaeFacts]:
    """Return what the weights tell, after every layer was held against the model."""
    device = choose_device(settings().device)
    for sae in converted:
        check_against_model(
            read_converted(sae.path), d_model=facts.d_model, n_layers=facts.layers, layer=sae.layer
        )
    loaded = load_model(model.path, device)
    read = []
    for done, sae in enumerate(converted):
        progress(done, len(converted), "layers read")
        features = list(_features(read_converted(sae.path, device), loaded, len(facts.pieces)))
        read.append(
            SaeFacts(
                layer=sae.layer,
                d_sae=sae.d_sae,
                kind=sae.kind,
                k=sae.k,
                sha256=sae.source_sha256,
                artifact=str(Path(sae.path).resolve()),
                features=features,
            )
        )
    return read


def _features(sae: SparseAutoencoder, model: Any, vocabulary: int) -> Iterator[FeatureFacts]:
    with torch.no_grad():
        unembedding = model.get_output_embeddings().weight[:vocabulary]
        lens = logit_lens(sae.w_dec, model.get_decoder().norm, unembedding)
        neighbours, cosines = nearest_directions(sae.w_dec)
        norms = decoder_norms(sae.w_dec)
    columns = (
        norms,
        lens.promoted,
        lens.promoted_logits,
        lens.suppressed,
        lens.suppressed_logits,
        neighbours,
        cosines,
    )
    for norm, up, up_logits, down, down_logits, near, near_cosines in zip(
        *(column.tolist() for column in columns), strict=True
    ):
        yield FeatureFacts(
            decoder_norm=norm,
            promoted=list(zip(up, up_logits, strict=True)),
            suppressed=list(zip(down, down_logits, strict=True)),
            neighbours=list(zip(near, near_cosines, strict=True)),
        )
