"""Sort the examples of an SAE's features into senses, and word both by keywords."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
from sqlalchemy.orm import Session

from scopebook.db.sessions import sessions
from scopebook.embeddings_server import EmbeddingsServer
from scopebook.jobs import LABEL_SAE
from scopebook.labeling_requests import EMBEDDER
from scopebook.labelings import (
    NAMED,
    NewSense,
    NewWording,
    begin_labeling,
    find_labeling,
    publish_keywords,
    row_id,
    settle_labels,
    sha256_of,
)
from scopebook.settings import settings
from scopebook.steps import Claim
from scopebook.window_embedders import AskedEmbedder, key_for
from scopebook_workers.claims import Finish, Progress, step_task
from scopebook_workers.labeling.encoding import WindowEncoder
from scopebook_workers.labeling.evidence import FeatureEvidence
from scopebook_workers.labeling.keyword_labels import (
    METHOD,
    SAMPLE_FEATURES,
    SEED,
    FeatureWords,
    KeywordLabeler,
    SenseWords,
)
from scopebook_workers.labeling.material import Cluster, Material
from scopebook_workers.labeling.sampling import MIN_DOCUMENTS, Ineligible
from scopebook_workers.labeling.server_encoder import ServerEncoder
from scopebook_workers.tasks.evidence_rows import EvidenceOfFeature, EvidenceReader
from scopebook_workers.tasks.kept_windows import KeptEncoder

#: Features read at once.
BATCH = 64


@step_task(LABEL_SAE)
def label_sae(claim: Claim, progress: Progress) -> Finish:
    """Label every feature of an SAE that fired in a run, or those that are named.

    Windows are told apart by their terms, or by the vectors of a server.
    """
    if EMBEDDER not in claim.parameters:
        return label_features(claim, progress, AskedEmbedder(), None)
    asked = AskedEmbedder(**claim.parameters[EMBEDDER])
    progress(0, 0, "features")
    return label_features(claim, progress, asked, _server_encoder(asked, progress))


def _server_encoder(asked: AskedEmbedder, progress: Progress) -> ServerEncoder:
    server = EmbeddingsServer(
        asked.name,
        model=asked.model,
        api_key=key_for(asked.name, settings()),
        settings="SCOPEBOOK_WINDOW_EMBEDDER",
    )
    return ServerEncoder(server, model=asked.model, tick=progress.check)


def label_features(
    claim: Claim,
    progress: Progress,
    asked: AskedEmbedder,
    encoder: WindowEncoder | None,
    prepare: Callable[[KeptEncoder, EvidenceReader, Sequence[int]], None] | None = None,
) -> Finish:
    """Label by the vectors of an encoder, or by terms without one.

    `prepare` may have vectors made that the labeler will ask for, of features by their row ids.
    Nothing is done where the same embedder has labelled the same examples, unless the step asks
    for it anew.
    """
    sae_id, run_id = claim.parameters["sae_id"], claim.parameters["run_id"]
    named = {NAMED: claim.parameters[NAMED]} if NAMED in claim.parameters else {}
    reader = EvidenceReader(sae_id=sae_id, run_id=run_id)
    by = {} if encoder is None else {"embedder": encoder.id}
    sha256 = sha256_of(METHOD, named | by)
    with sessions()() as session:
        fired = reader.fired(session)
        same = find_labeling(session, sae_id=sae_id, run_id=run_id, sha256=sha256)
    if same is not None and not claim.parameters.get("anew", False):
        return lambda session: settle_labels(session, [sae_id])
    progress(0, len(fired), "features")
    kept = None if encoder is None else KeptEncoder(encoder, progress)
    if kept is not None and prepare is not None and not named:
        prepare(kept, reader, fired)
    labeler = KeywordLabeler(_read(reader, _sample(fired)), encoder=kept)
    if named:
        fired = [row_id(sae_id, index) for index in named[NAMED]]
    wordings = _word(labeler, reader, fired, progress)

    def write(session: Session) -> None:
        labeling_id = begin_labeling(
            session,
            job_id=claim.job_id,
            sae_id=sae_id,
            run_id=run_id,
            source="keywords",
            method=METHOD,
            parameters=labeler.provenance() | named | asked.parameters(),
            sha256=sha256,
        )
        publish_keywords(session, labeling_id, wordings)

    return write


def _word(
    labeler: KeywordLabeler, reader: EvidenceReader, fired: Sequence[int], progress: Progress
) -> list[NewWording]:
    wordings: list[NewWording] = []
    for start in range(0, len(fired), BATCH):
        with sessions()() as session:
            features = reader.read(session, fired[start : start + BATCH])
        studies = labeler.study_all([feature.evidence for feature in features])
        for feature, study in zip(features, studies, strict=True):
            if study.words is not None:
                wordings.append(_wording(feature, study.words, study.material))
        progress(start + len(features), len(fired), "features")
    return wordings


def _sample(fired: Sequence[int]) -> list[int]:
    if len(fired) <= SAMPLE_FEATURES:
        return list(fired)
    chosen = np.random.default_rng(SEED).choice(len(fired), SAMPLE_FEATURES, replace=False)
    return [fired[i] for i in np.sort(chosen)]


def _read(reader: EvidenceReader, feature_ids: Sequence[int]) -> Iterator[FeatureEvidence]:
    for start in range(0, len(feature_ids), BATCH):
        with sessions()() as session:
            features = reader.read(session, feature_ids[start : start + BATCH])
        yield from (feature.evidence for feature in features)


#: Why a language model is not asked about a feature, in words for people.
_REASONS: Final[dict[Ineligible, str]] = {
    "silent": "It has no examples.",
    "few_documents": f"Its examples are of fewer than {MIN_DOCUMENTS} documents.",
    "near_duplicates": (
        f"Without near-duplicates its examples are of fewer than {MIN_DOCUMENTS} documents."
    ),
    "unsplittable": "Its examples cannot be parted into some to explain and some to check by.",
}


def _wording(
    feature: EvidenceOfFeature, words: FeatureWords, material: Material | Ineligible
) -> NewWording:
    head: dict[str, Any] = {
        "feature_id": feature.feature_id,
        "example_set": feature.example_set,
        "text": words.text,
    }
    if isinstance(material, str):
        senses = [_sense(ordinal, sense) for ordinal, sense in enumerate(words.senses)]
        return NewWording(**head, senses=senses, ineligible=_REASONS[material])
    return NewWording(
        **head,
        senses=[
            _sense(ordinal, sense, cluster)
            for ordinal, (sense, cluster) in enumerate(
                zip(words.senses, material.clusters, strict=True)
            )
        ],
        kind=material.kind,
        unassigned=material.unassigned,
        held_out=material.held_out,
    )


def _sense(ordinal: int, sense: SenseWords, cluster: Cluster | None = None) -> NewSense:
    if cluster is None:
        return NewSense(
            ordinal=ordinal,
            share=sense.share,
            keywords=sense.keywords,
            members=sense.members,
            text=sense.text,
        )
    return NewSense(
        ordinal=ordinal,
        share=cluster.share,
        keywords=sense.keywords,
        members=cluster.members,
        text=sense.text,
        medoid=cluster.medoid,
        representatives=cluster.representatives,
        held_out=cluster.held_out,
        silhouette=cluster.silhouette,
    )
