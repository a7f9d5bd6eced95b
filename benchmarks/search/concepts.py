"""Are concepts found as well by words and meaning together as by either alone?

The labelled benchmark of `benchmarks.labels.t5`: features planted from modules, labels by a reader
that has the modules' words, questions that are the modules' own summaries.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Final

from benchmarks.labels.prompt_material import library, plant, singles
from benchmarks.labels.t4 import ask, reader
from benchmarks.labels.t5 import FEATURES, embedder
from sqlalchemy.orm import Session
from tests.makers import feature_id, make_release

from scopebook.db.label_tables import Label, LabelEmbedding
from scopebook.db.sessions import sessions
from scopebook.embedding import query_embedder
from scopebook.entries import refresh_saes
from scopebook.search_filters import Filters
from scopebook.search_ranking import Match, find_candidates
from scopebook.search_ways import QueryVector
from scopebook.spelling import words_of
from scopebook_workers.labeling.embedders import LocalEmbedder

FOUND: Final = 10
WAYS: Final[dict[str, tuple[Match, ...]]] = {
    "words": ("words",),
    "meaning": ("meaning",),
    "both": ("words", "meaning"),
}


def measure(register: Callable[[LocalEmbedder], int]) -> list[str]:
    """Print the recall in the first ten by each way; return what is missed."""
    embedder_id = register(embedder())
    features = plant(singles(FEATURES), seed=0)
    labels = [
        (wording.senses[0].label, wording.senses[0].description) if wording.senses else None
        for wording in ask(reader(), features)
    ]
    modules = [one.concepts[0].module for one in features]
    with sessions()() as session:
        _store(session, labels, embedder_id)
        found = {name: _recall(session, modules, ways) for name, ways in WAYS.items()}
        session.rollback()
    sys.stdout.write("\n| found by | recall@10 |\n|---|---|\n")
    sys.stdout.writelines(f"| {name} | {value:.3f} |\n" for name, value in found.items())
    return [] if found["both"] >= max(found["words"], found["meaning"]) else ["recall of concepts"]


def _store(session: Session, labels: Sequence[tuple[str, str] | None], embedder_id: int) -> None:
    [sae] = make_release(session, layers=[1], d_sae=len(labels))
    texts = [label[0] for label in labels if label]
    vectors = dict(zip(texts, embedder().embed(texts).tolist(), strict=True))
    for index, label in enumerate(labels):
        if label is None:
            continue
        row = Label(
            feature_id=feature_id(sae, index),
            sae_id=sae.id,
            text=label[0],
            description=label[1],
            source="llm",
            method="reader",
            current=True,
        )
        session.add(row)
        session.flush()
        session.add(
            LabelEmbedding(
                label_id=row.id,
                embedder_id=embedder_id,
                sae_id=sae.id,
                embedding=vectors[label[0]],
            )
        )
    refresh_saes(session, [sae.id])


def _recall(session: Session, modules: Sequence[str], ways: tuple[Match, ...]) -> float:
    embed = query_embedder(sessions())
    shares = []
    for name in sorted(set(modules)):
        question = library()[name].summary
        vector = embed(question)
        assert isinstance(vector, QueryVector)
        words = words_of(session, question)
        candidates = find_candidates(session, question, words, vector, Filters(), FOUND, ways=ways)
        best = sorted(candidates.items(), key=lambda item: (-item[1].score, item[0]))[:FOUND]
        right = sum(modules[feature & ((1 << 20) - 1)] == name for feature, _ in best)
        shares.append(right / min(FOUND, modules.count(name)))
    return sum(shares) / len(shares)
