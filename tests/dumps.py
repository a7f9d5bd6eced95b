"""A dictionary in which everything that a dump can hold is there at least once."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from dumped_people import let_people_speak
from makers import (
    feature_id,
    make_corpus,
    make_evidence,
    make_examples,
    make_label,
    make_labeling,
    make_origin,
    make_release,
    make_run,
    make_score,
)
from scopebook.db.jobs import Job
from scopebook.db.label_tables import Label, LabelChoice, Labeling, LabelOutcome, Sense
from scopebook.db.tables import Context, Document, Run, Sae
from scopebook.labelings import finish_labeling
from scopebook.packing import ExampleSet

RELEASE = "SAE-Res-Tiny-Model-W1K-L0_8"
TEXTS = (
    "the cat sat",
    "the cat sat!",
    "der Hund schläft",
    "猫在睡觉。" * 3,
    "never fires",
    "unseen",
    "last",
)


def make_dictionary(session: Session) -> list[Sae]:
    """Add a release of two layers with a past: two runs, three labelings, people, scores."""
    saes = make_release(session)
    documents = make_corpus(session, TEXTS, name="tiny texts", tag="zh")
    documents[1].near_id, documents[0].simhash = documents[0].id, -5
    run = make_run(session, saes, documents)
    contexts = _contexts(session, run)
    contexts[1].near_id, contexts[1].simhash = contexts[0].id, -7
    ids = [context.id for context in contexts]
    run.last_document_id, run.finished_at = documents[-1].id, datetime(2026, 1, 2, tzinfo=UTC)
    older = _older_run(session, run)
    for sae in saes:
        evidence = make_evidence(session, run, sae, 0, examples=uneven_examples(ids[:4]))
        evidence.first_context_id, evidence.last_context_id = ids[0], ids[3]
        make_evidence(session, run, sae, 1, examples=make_examples(ids[2:4]), flags=["dense"])
        make_evidence(session, run, sae, 2, examples=make_examples([]))
        make_evidence(session, older, sae, 0, examples=make_examples(ids[1:2]))
        _say(session, sae, run, ids)
    let_people_speak(session, saes, run, ids[:4])
    session.flush()
    return saes


def _contexts(session: Session, run: Run) -> list[Context]:
    return list(
        session.scalars(
            select(Context)
            .join(Document, Document.id == Context.document_id)
            .where(Context.tokenisation_id == run.tokenisation_id)
            .order_by(Document.ordinal)
        )
    )


def _older_run(session: Session, run: Run) -> Run:
    job = Job(kind="test", title="Older", parameters={})
    session.add(job)
    session.flush()
    older = Run(
        job_id=job.id,
        release_id=run.release_id,
        tokenisation_id=run.tokenisation_id,
        layers=run.layers,
        parameters={"max_tokens": 7},
    )
    session.add(older)
    session.flush()
    run.base_run_id = older.id
    return older


def uneven_examples(context_ids: list[int]) -> ExampleSet:
    """Return examples of unlike activations, some with several active tokens."""
    plain = make_examples(context_ids, peak=2, end=5)
    n = len(plain)
    return replace(
        plain,
        kind=np.asarray([0, 0, 1, 1][:n], dtype=np.uint8),
        activation=np.linspace(4.0, 1.0, n).astype(np.float32),
        quantile=np.linspace(0.9, 0.1, n).astype(np.float32),
        start=np.ones(n, dtype=np.int32),
        offsets=(np.arange(n + 1) * 2).astype(np.int32),
        positions=np.tile(np.asarray([0, 2], dtype=np.int32), n),
        shares=np.tile(np.asarray([0.3, 1.0], dtype=np.float16), n),
    )


def _say(session: Session, sae: Sae, run: Run, ids: list[int]) -> None:
    keywords = make_labeling(session, sae, run.id)
    senses = _senses(session, keywords, feature_id(sae, 0))
    words = make_label(session, sae, 0, "cats, der", current=False)
    words.labeling_id = keywords.id
    session.add(
        LabelOutcome(
            labeling_id=keywords.id,
            feature_id=words.feature_id,
            status="ok",
            kind="context",
            unassigned=0.1,
            example_set=hashlib.sha256(b"e").digest(),
            held_out=[3],
        )
    )
    asked = make_labeling(session, sae, run.id, source="llm")
    asked.base_id, asked.method, asked.parameters = keywords.id, "a-model", {"prompt": "p-1"}
    origin = make_origin(session, asked, 0, shown=[0, 2], raw_response='{"label": "猫"}')
    origin.contrasts = [[ids[4], 3]]
    _label_by_model(session, asked, sae, senses, words)
    mine = make_label(session, sae, 1, "barking dogs", source="person")
    mine.author, mine.description = "ada", 'as in "der Hund", with\nlines'
    session.add(LabelChoice(label_id=mine.id, chosen_by="ada", reason="It fits better."))
    brought = make_label(session, sae, 2, "from elsewhere", source="import", current=False)
    brought.provenance, brought.author = {"import": {"tool": "x", "deep": [1, 2.5]}}, "ben"
    unfinished = make_labeling(session, sae, run.id)
    unfinished.finished_at = None


def _senses(session: Session, labeling: Labeling, feature: int) -> list[Sense]:
    senses = [
        Sense(
            feature_id=feature,
            labeling_id=labeling.id,
            ordinal=ordinal,
            share=0.5,
            keywords=[f"word {ordinal}", '"{,}\\'],
            members=[ordinal, ordinal + 2],
            medoid=ordinal,
            representatives=[ordinal],
            held_out=[ordinal + 2],
            silhouette=0.25,
        )
        for ordinal in range(2)
    ]
    session.add_all(senses)
    session.flush()
    return senses


def _label_by_model(
    session: Session, asked: Labeling, sae: Sae, senses: list[Sense], words: Label
) -> None:
    whole = make_label(session, sae, 0, "sleeping cats", source="llm")
    part = make_label(session, sae, 0, "cats in Chinese", source="llm", sense_id=senses[1].id)
    suspect = make_label(
        session, sae, 0, "something else", source="llm", sense_id=senses[0].id, current=False
    )
    suspect.status, suspect.also = "suspect", [1]
    for label in (whole, part, suspect):
        label.labeling_id, label.method = asked.id, "a-model"
        label.confidence, label.share, label.n_examples = 0.7, 0.9, 2
    whole.supersedes_id = words.id
    session.add(LabelChoice(label_id=words.id, chosen_by="test-1", reason=None))
    session.add(LabelChoice(label_id=whole.id, chosen_by="a-model", reason="Newer."))
    score = make_score(session, whole, 0.8)
    score.details = {"run": asked.run_id, "asked": "j", "null_labels": 40}
    make_score(session, part, 0.6, scorer="embedding", null_value=None)
    finish_labeling(session, asked.id)
