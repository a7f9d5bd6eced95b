"""Rows for tests, with defaults for everything a claim does not need."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
from sqlalchemy.orm import Session

from scopebook.db.jobs import Job
from scopebook.db.label_tables import (
    Embedder,
    Label,
    LabelEmbedding,
    Labeling,
    LabelOrigin,
    LabelOutcome,
    LabelScore,
)
from scopebook.db.scan_tables import Scan
from scopebook.db.tables import (
    FEATURE_BITS,
    Context,
    Corpus,
    Document,
    Evidence,
    Feature,
    Model,
    Release,
    Run,
    Sae,
    Tokenisation,
    Tokenizer,
    TokenPiece,
)
from scopebook.entries import refresh_entries, refresh_saes
from scopebook.packing import (
    BEST,
    BINS,
    ExampleSet,
    pack_counts,
    pack_examples,
    pack_ints,
    pack_pairs,
)
from scopebook.scan_parameters import ScanParameters

PIECES = [b"the", b" der", "中".encode(), b"\xe4\xb8", b"\n"]


def make_model(session: Session, name: str = "Tiny-Model", *, layers: int = 4) -> Model:
    """Add a model with a vocabulary of `PIECES`."""
    tokenizer = Tokenizer(sha256=hashlib.sha256(name.encode()).hexdigest(), path="/nowhere")
    session.add(tokenizer)
    session.flush()
    session.add_all(
        TokenPiece(tokenizer_id=tokenizer.id, token_id=i, piece=piece)
        for i, piece in enumerate(PIECES)
    )
    model = Model(name=name, path="/nowhere", layers=layers, d_model=8, tokenizer_id=tokenizer.id)
    session.add(model)
    session.flush()
    return model


def make_release(
    session: Session,
    name: str = "SAE-Res-Tiny-Model-W1K-L0_8",
    *,
    model: Model | None = None,
    layers: Sequence[int] = (1, 2),
    d_sae: int = 16,
    set_name: str = "res-w1k-l0_8",
    with_features: bool = True,
) -> list[Sae]:
    """Add a release with its SAEs and features; return the SAEs."""
    model = model or make_model(session)
    release = Release(
        name=name,
        model_id=model.id,
        set_name=set_name,
        width=d_sae,
        k=2,
        source="/nowhere",
        caution="For research.",
    )
    session.add(release)
    session.flush()
    saes = [
        Sae(
            release_id=release.id,
            layer=layer,
            d_sae=d_sae,
            k=2,
            sha256=f"{layer:064d}",
            artifact="/nowhere",
        )
        for layer in layers
    ]
    session.add_all(saes)
    session.flush()
    if with_features:
        session.add_all(make_feature(sae, index) for sae in saes for index in range(d_sae))
        refresh_saes(session, [sae.id for sae in saes])
    return saes


def feature_id(sae: Sae, index: int) -> int:
    """Return the row id of a feature."""
    return (sae.id << FEATURE_BITS) | index


def make_feature(sae: Sae, index: int) -> Feature:
    """Return a feature that promotes token 0 and is next to its neighbour by index."""
    return Feature(
        id=feature_id(sae, index),
        sae_id=sae.id,
        index=index,
        decoder_norm=1.0,
        promoted=pack_pairs([0, 3], [2.5, 1.5]),
        suppressed=pack_pairs([4], [-1.0]),
        neighbours=pack_pairs([(index + 1) % sae.d_sae], [0.9]),
    )


def make_label(
    session: Session,
    sae: Sae,
    index: int,
    text: str,
    *,
    source: str = "keywords",
    sense_id: int | None = None,
    current: bool = True,
) -> Label:
    """Add a label that is in force unless said otherwise."""
    label = Label(
        feature_id=feature_id(sae, index),
        sae_id=sae.id,
        sense_id=sense_id,
        text=text,
        source=source,
        method="test-1",
        provenance={},
        current=current,
    )
    session.add(label)
    refresh_entries(session, [label.feature_id])
    return label


def make_labeling(session: Session, sae: Sae, run_id: int, *, source: str = "keywords") -> Labeling:
    """Add a labeling that is over and has said nothing."""
    labeling = Labeling(
        sae_id=sae.id,
        run_id=run_id,
        source=source,
        method="test-1",
        parameters={},
        sha256="0" * 64,
        finished_at=datetime.now(UTC),
    )
    session.add(labeling)
    session.flush()
    return labeling


def make_score(
    session: Session,
    label: Label,
    value: float,
    *,
    scorer: str = "detection",
    judge: str = "a-judge",
    null_value: float | None = 0.5,
) -> LabelScore:
    """Give a label a score with an interval of a tenth to each side."""
    score = LabelScore(
        label_id=label.id,
        scorer=scorer,
        scorer_version=f"{scorer}-1",
        judge=judge,
        n_pos=20,
        n_neg_random=10,
        n_neg_hard=10,
        n_failed=1,
        value=value,
        ci_low=value - 0.1,
        ci_high=value + 0.1,
        null_value=null_value,
        f1=value,
        held_out_sha256=b"h" * 32,
    )
    session.add(score)
    refresh_entries(session, [label.feature_id])
    return score


def make_origin(
    session: Session,
    labeling: Labeling,
    index: int,
    *,
    status: str = "ok",
    shown: Sequence[int] = (),
    raw_response: str = "{}",
) -> LabelOrigin:
    """Let a labeling have asked a language model about a feature of its SAE."""
    key = (labeling.sae_id << FEATURE_BITS) | index
    outcome = LabelOutcome(
        labeling_id=labeling.id, feature_id=key, status=status, example_set=b"e" * 32
    )
    origin = LabelOrigin(
        labeling_id=labeling.id,
        feature_id=key,
        shown=list(shown),
        prompt_sha256=b"p" * 32,
        model_reported="stub-1",
        finish_reason="stop",
        attempts=1,
        latency_ms=40,
        tokens_in=900,
        tokens_cached=600,
        tokens_out=50,
        raw_response=raw_response,
    )
    session.add_all([outcome, origin])
    session.flush()
    return origin


def make_embedding(session: Session, label: Label, vector: Sequence[float]) -> int:
    """Give a label a vector; return the id of the embedder all test vectors share."""
    embedder = session.query(Embedder).filter_by(sha256="e" * 64).one_or_none()
    if embedder is None:
        embedder = Embedder(name="test", sha256="e" * 64, dimension=len(vector))
        session.add(embedder)
        session.flush()
    session.add(
        LabelEmbedding(
            label_id=label.id, embedder_id=embedder.id, sae_id=label.sae_id, embedding=list(vector)
        )
    )
    session.flush()
    return embedder.id


def make_corpus(
    session: Session, texts: Sequence[str], *, name: str = "tiny", tag: str | None = None
) -> list[Document]:
    """Add a corpus of documents."""
    corpus = Corpus(name=name, source="/nowhere")
    session.add(corpus)
    session.flush()
    documents = [
        Document(
            corpus_id=corpus.id,
            ordinal=i,
            name=f"doc-{i}",
            text=text,
            tag=tag,
            sha256=hashlib.sha256(text.encode()).digest(),
            language=None,
            licence="CC0",
        )
        for i, text in enumerate(texts)
    ]
    session.add_all(documents)
    session.flush()
    return documents


def make_run(session: Session, saes: Sequence[Sae], documents: Sequence[Document]) -> Run:
    """Add a finished run whose evidence the SAEs show, with one token for each character."""
    release = session.get_one(Release, saes[0].release_id)
    model = session.get_one(Model, release.model_id)
    tokenisation = Tokenisation(
        corpus_id=documents[0].corpus_id, tokenizer_id=model.tokenizer_id, context_tokens=64
    )
    job = Job(kind="test", title="Test", parameters={})
    session.add_all([tokenisation, job])
    session.flush()
    session.add_all(
        make_context(tokenisation.id, document, list(range(len(document.text) + 1)))
        for document in documents
    )
    run = Run(
        job_id=job.id,
        release_id=release.id,
        tokenisation_id=tokenisation.id,
        layers=[sae.layer for sae in saes],
        parameters={},
        tokens_seen=100,
        contexts_seen=4,
    )
    session.add(run)
    session.flush()
    for sae in saes:
        sae.current_run_id = run.id
    session.flush()
    return run


def make_context(tokenisation_id: int, document: Document, borders: Sequence[int]) -> Context:
    """Return the document as one context, with tokens between the borders."""
    spans = np.asarray(list(pairwise(borders)), dtype=np.int32)
    return Context(
        tokenisation_id=tokenisation_id,
        document_id=document.id,
        ordinal=0,
        n_tokens=len(spans),
        tokens=pack_ints(np.zeros(len(spans), dtype=np.int32)),
        spans=pack_ints(spans),
    )


def make_examples(
    context_ids: Sequence[int], *, peak: int = 1, end: int = 4, activation: float = 3.0
) -> ExampleSet:
    """Return one best example for each context that fires at its peak alone."""
    n = len(context_ids)
    return ExampleSet(
        context_id=np.asarray(context_ids, dtype=np.int64),
        kind=np.full(n, BEST, dtype=np.uint8),
        activation=np.full(n, activation, dtype=np.float32),
        quantile=np.ones(n, dtype=np.float32),
        peak=np.full(n, peak, dtype=np.int32),
        start=np.zeros(n, dtype=np.int32),
        end=np.full(n, end, dtype=np.int32),
        offsets=np.arange(n + 1, dtype=np.int32),
        positions=np.full(n, peak, dtype=np.int32),
        shares=np.ones(n, dtype=np.float16),
    )


def make_evidence(
    session: Session,
    run: Run,
    sae: Sae,
    index: int,
    *,
    examples: ExampleSet,
    density: float = 0.01,
    largest: float = 3.0,
    flags: Sequence[str] = (),
) -> Evidence:
    """Add what the run measured of a feature."""
    counts = np.zeros(BINS, dtype=np.int64)
    counts[20] = 5
    evidence = Evidence(
        run_id=run.id,
        feature_id=feature_id(sae, index),
        count=5,
        contexts=len(examples),
        density=density,
        mean=1.0,
        max=largest,
        flags=list(flags),
        histogram=pack_counts(counts),
        top_tokens=pack_pairs([1], [0.8]),
        tags=[["zh", 0.9, 4.0]],
        examples=pack_examples(examples),
    )
    session.add(evidence)
    refresh_entries(session, [evidence.feature_id])
    return evidence


def make_scan(session: Session, release_id: int, corpus_id: int) -> Scan:
    """Add a scan, of a corpus that it owns, that was never done."""
    release = session.get_one(Release, release_id)
    tokenizer_id = session.get_one(Model, release.model_id).tokenizer_id
    cut = Tokenisation(corpus_id=corpus_id, tokenizer_id=tokenizer_id, context_tokens=32)
    job = Job(kind="scan", title=f"Scan texts with {release.name}", parameters={})
    session.add_all([cut, job])
    session.flush()
    scan = Scan(
        job_id=job.id,
        release_id=release_id,
        corpus_id=corpus_id,
        owns_corpus=True,
        tokenisation_id=cut.id,
        dataset=session.get_one(Corpus, corpus_id).source,
        layers=[1],
        parts=[],
        parameters=ScanParameters(references={}, last_document=0).as_json(),
    )
    session.add(scan)
    session.flush()
    return scan
