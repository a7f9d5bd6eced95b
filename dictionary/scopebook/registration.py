"""Register models and releases: the rows that exist before anything is collected."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.bulk import copy_rows
from scopebook.db.jobs import Job
from scopebook.db.tables import (
    FEATURE_BITS,
    Feature,
    Model,
    Release,
    Sae,
    Tokenizer,
    TokenPiece,
)
from scopebook.entries import refresh_saes
from scopebook.errors import ConflictError
from scopebook.jobs import ADD_RELEASE
from scopebook.packing import pack_pairs
from scopebook.saelens import SaeKind
from scopebook.steps import NewStep, create_job

#: Token ids or feature indices with a number each, best first.
Pairs = Sequence[tuple[int, float]]


#: How a control vector of llama.cpp or repeng ends, which is registered as SAEs of one feature.
VECTOR_ENDING: Final = ".gguf"


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What registering needs to know of a model and its tokenizer."""

    name: str
    path: str
    revision: str | None
    layers: int
    d_model: int
    tokenizer_sha256: str
    pieces: Sequence[bytes]
    #: Over its weights, or a sample of them; None: not known.
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class SaeFacts:
    """One layer's SAE as it lies in the artifacts, with what its weights tell of each feature."""

    layer: int
    d_sae: int
    k: int | None
    sha256: str
    artifact: str
    features: Iterable["FeatureFacts"]
    kind: SaeKind = "topk"


@dataclass(frozen=True, kw_only=True)
class FeatureFacts:
    """What a feature's weights tell."""

    decoder_norm: float
    promoted: Pairs
    suppressed: Pairs
    neighbours: Pairs


@dataclass(frozen=True, kw_only=True)
class ReleaseFacts:
    """What registering needs to know of a release."""

    name: str
    set_name: str
    width: int
    #: None where its SAEs have no top-k, or not the same.
    k: int | None
    source: str
    revision: str | None
    caution: str | None


def request_release(
    session: Session, source: str, *, model: str | None = None, layers: Sequence[int] | None = None
) -> Job:
    """Ask a worker to fetch, check and register a release."""
    return create_job(
        session,
        "add",
        f"Add {source}",
        [
            NewStep(
                kind=ADD_RELEASE,
                stage=0,
                title=f"Register {source}",
                parameters={
                    "source": source,
                    "model": model,
                    "layers": list(layers) if layers is not None else None,
                },
            )
        ],
    )


def register_model(session: Session, facts: ModelFacts) -> Model:
    """Add the model, or return it if it is there; another model of the same name is refused."""
    tokenizer = _register_tokenizer(session, facts)
    model = session.scalar(select(Model).where(Model.name == facts.name))
    if model is None:
        model = Model(
            name=facts.name,
            path=facts.path,
            revision=facts.revision,
            layers=facts.layers,
            d_model=facts.d_model,
            tokenizer_id=tokenizer.id,
            sha256=facts.sha256,
        )
        session.add(model)
        session.flush()
        return model
    held = (model.layers, model.d_model, model.tokenizer_id)
    if held != (facts.layers, facts.d_model, tokenizer.id):
        raise ConflictError(
            f"A model {facts.name} is registered with {model.layers} layers of width "
            f"{model.d_model}, and the one at {facts.path} differs from it in depth, width or "
            "tokenizer; rename its folder to register it beside the other."
        )
    if model.sha256 is None:  # registered before weights were told apart
        model.sha256 = facts.sha256
    elif facts.sha256 is not None and model.sha256 != facts.sha256:
        raise ConflictError(
            f"A model {facts.name} is registered with other weights than those at {facts.path} "
            f"(SHA-256 {model.sha256[:12]}..., now {facts.sha256[:12]}...), so its labels need not "
            "hold for them; copy them to a folder of another name to register them beside it."
        )
    if not Path(model.path).exists():
        model.path = facts.path
    return model


def _register_tokenizer(session: Session, facts: ModelFacts) -> Tokenizer:
    tokenizer = session.scalar(select(Tokenizer).where(Tokenizer.sha256 == facts.tokenizer_sha256))
    if tokenizer is None:
        tokenizer = Tokenizer(sha256=facts.tokenizer_sha256, path=facts.path)
        session.add(tokenizer)
        session.flush()
        copy_rows(
            session,
            TokenPiece,
            ["tokenizer_id", "token_id", "piece"],
            ((tokenizer.id, i, piece) for i, piece in enumerate(facts.pieces)),
        )
    elif not Path(tokenizer.path).exists():
        tokenizer.path = facts.path
    return tokenizer


def register_release(
    session: Session, facts: ReleaseFacts, model: Model, saes: Sequence[SaeFacts]
) -> Release:
    """Add the release and those of its layers that are not there yet."""
    release = session.scalar(select(Release).where(Release.name == facts.name))
    if release is None:
        taken = session.scalar(
            select(Release.name).where(
                Release.model_id == model.id, Release.set_name == facts.set_name
            )
        )
        if taken is not None:
            raise ConflictError(
                f"Release {taken} already has the set {facts.set_name} of {model.name}, so the "
                f"features of {facts.name} would have the same ids; rename its folder."
            )
        release = Release(model_id=model.id, **vars(facts))
        session.add(release)
        session.flush()
    _check_is_like(release, facts, model)
    known = {
        sae.layer: sae for sae in session.scalars(select(Sae).where(Sae.release_id == release.id))
    }
    for sae in saes:
        if sae.layer not in known:
            _add_sae(session, release, sae)
        elif known[sae.layer].sha256 != sae.sha256:
            raise ConflictError(
                f"Layer {sae.layer} of {facts.name} is registered from another file (SHA-256 "
                f"{known[sae.layer].sha256[:12]}..., now {sae.sha256[:12]}...); labels of the one "
                "do not hold for the other, so register the new one under another release name."
            )
        elif not known[sae.layer].artifact:  # it came in with a dump, which has no weights
            known[sae.layer].artifact = sae.artifact
    return release


def _check_is_like(release: Release, facts: ReleaseFacts, model: Model) -> None:
    """Refuse layers that cannot stand beside those of the release that is there."""
    if release.model_id != model.id or release.width != facts.width:
        raise ConflictError(
            f"Release {release.name} is registered with {release.width} features a layer, or for "
            f"another model than {model.name}; what is added now has {facts.width}: rename its "
            "folder to register it beside the other."
        )
    if release.k != facts.k:
        release.k = None


def registered_layers(session: Session, release_name: str) -> dict[int, str]:
    """Return the file hash of each layer that is registered."""
    rows = session.execute(
        select(Sae.layer, Sae.sha256)
        .join(Release, Release.id == Sae.release_id)
        .where(Release.name == release_name)
    )
    return {row.layer: row.sha256 for row in rows}


def _add_sae(session: Session, release: Release, facts: SaeFacts) -> None:
    sae = Sae(
        release_id=release.id,
        layer=facts.layer,
        d_sae=facts.d_sae,
        k=facts.k,
        kind=facts.kind,
        sha256=facts.sha256,
        artifact=facts.artifact,
    )
    session.add(sae)
    session.flush()
    copy_rows(
        session,
        Feature,
        ["id", "sae_id", "index", "decoder_norm", "promoted", "suppressed", "neighbours"],
        (
            (
                (sae.id << FEATURE_BITS) | index,
                sae.id,
                index,
                feature.decoder_norm,
                _packed(feature.promoted),
                _packed(feature.suppressed),
                _packed(feature.neighbours),
            )
            for index, feature in enumerate(facts.features)
        ),
    )
    refresh_saes(session, [sae.id])


def _packed(pairs: Pairs) -> bytes:
    return pack_pairs([i for i, _ in pairs], [value for _, value in pairs])
