"""A dictionary on a real PostgreSQL, with features that wait to be worded by a language model.

Their examples are of the demo corpus, and their senses stand there as a labeling by keywords would
leave them; nothing but the words of a prompt depends on what they mean.
"""

import json
import random
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from sqlalchemy import insert, select
from sqlalchemy.orm import Session
from tests.chat_server import by_keywords
from tests.makers import (
    feature_id,
    make_corpus,
    make_evidence,
    make_examples,
    make_labeling,
    make_release,
    make_run,
)

from scopebook.db.label_tables import Labeling, LabelOrigin, LabelOutcome, Sense
from scopebook.db.migrate import upgrade
from scopebook.db.sessions import Sessions, sessions, unit_of_work
from scopebook.db.tables import Context, Document, Run, Sae
from scopebook.demo import bundle_path
from scopebook.embedded.postgres import EmbeddedPostgres
from scopebook.jobs import WORD_SAE
from scopebook.packing import ExampleSet, pack_ints
from scopebook.settings import Settings, settings, use_settings
from scopebook.steps import NewStep, create_job

_CHARACTERS: Final = 1_200
_EXAMPLES: Final = 40
_SHOWN: Final = 8
_TOKEN: Final = re.compile(r"\s*(?:\w+|[^\w\s])")
_LEAST_TOKENS: Final = 60
_KEYWORD: Final = re.compile(r"[^\W\d_]{4,16}")


@contextmanager
def throwaway_database() -> Iterator[EmbeddedPostgres]:
    """Start a server of its own, migrated; the settings of this process lead to it inside."""
    before = settings()
    home = Path(tempfile.mkdtemp(prefix="scopebook-bench-"))
    home.chmod(0o755)  # so that the server, which root runs as nobody, can keep its data in it
    server = EmbeddedPostgres(home)
    server.start()
    try:
        upgrade(server.url())
        use_settings(Settings(database_url=server.url(), data_dir=home, broker_url=None))
        sessions.cache_clear()
        yield server
        sessions().kw["bind"].dispose()
    finally:
        use_settings(before)
        sessions.cache_clear()
        server.stop()
        server.remove()
        shutil.rmtree(home, ignore_errors=True)


def plant_features(session: Session, n: int) -> tuple[Sae, Run]:
    """Add an SAE of n features; every third has two senses, the others one."""
    documents = make_corpus(session, _texts())
    [sae] = make_release(session, layers=[1], d_sae=n)
    run = make_run(session, [sae], documents)
    texts, contexts = _cut_by_words(session, documents)
    base = make_labeling(session, sae, run.id)
    rng = random.Random(0)
    outcomes: list[dict[str, Any]] = []
    senses: list[dict[str, Any]] = []
    for index in range(n):
        chosen = rng.sample(contexts, _EXAMPLES)
        make_evidence(session, run, sae, index, examples=_examples([c.id for c in chosen], rng))
        key = {"labeling_id": base.id, "feature_id": feature_id(sae, index)}
        outcomes.append(key | _OUTCOME)
        senses += [key | one for one in _senses(index, [texts[c.document_id] for c in chosen])]
    session.execute(insert(LabelOutcome), outcomes)
    session.execute(insert(Sense), senses)
    return sae, run


_OUTCOME: Final[Mapping[str, Any]] = {
    "status": "ok",
    "kind": "context",
    "unassigned": 0.0,
    "example_set": b"\0" * 32,
    "held_out": list(range(30, _EXAMPLES)),
}


def _texts() -> list[str]:
    lines = (bundle_path() / "corpus/sample.jsonl").read_text().splitlines()
    texts = dict.fromkeys(json.loads(line)["text"][:_CHARACTERS] for line in lines)
    return [text for text in texts if len(_TOKEN.findall(text)) >= _LEAST_TOKENS]


def _cut_by_words(
    session: Session, documents: Sequence[Document]
) -> tuple[dict[int, str], list[Context]]:
    """Make the contexts' tokens words and marks, as a tokenizer's are."""
    texts = {document.id: document.text for document in documents}
    contexts = list(session.scalars(select(Context).order_by(Context.id)))
    for context in contexts:
        ends = [found.end() for found in _TOKEN.finditer(texts[context.document_id])]
        spans = np.asarray(list(pairwise([0, *ends])), dtype=np.int32)
        context.n_tokens = len(spans)
        context.tokens = pack_ints(np.zeros(len(spans), dtype=np.int32))
        context.spans = pack_ints(spans)
    session.flush()
    return texts, contexts


def _examples(context_ids: Sequence[int], rng: random.Random) -> ExampleSet:
    return make_examples(context_ids, peak=rng.randrange(32, 48), end=_LEAST_TOKENS)


def _senses(index: int, texts: Sequence[str]) -> Iterator[dict[str, Any]]:
    k = 1 + (index % 3 == 0)
    for ordinal in range(k):
        members = list(range(ordinal, 30, k))
        yield {
            "ordinal": ordinal,
            "share": 1 / k,
            "keywords": _keywords([texts[i] for i in members]),
            "members": members,
            "medoid": members[0],
            "representatives": members[:_SHOWN],
            "held_out": [30 + ordinal],
            "silhouette": None,
        }


def _keywords(texts: Sequence[str]) -> list[str]:
    held = Counter(word for text in texts for word in set(_KEYWORD.findall(text.lower())))
    return [word for word, _ in sorted(held.items(), key=lambda pair: (-pair[1], pair[0]))[:8]]


def ask_for_words(
    session: Session, sae: Sae, run: Run, endpoint: str, *, parallel: int, model: str = "stub"
) -> int:
    """Ask for the step that words the features by the server's model; return the job's id."""
    llm = {"endpoint": endpoint, "model": model, "parallel": parallel}
    step = NewStep(
        kind=WORD_SAE,
        stage=0,
        title="Word layer 1 by stub",
        parameters={"sae_id": sae.id, "run_id": run.id, "llm": llm},
    )
    return create_job(session, "label", "Label by stub", [step]).id


def say_keywords(messages: Sequence[Mapping[str, str]], schema: dict[str, Any] | None) -> str:
    """Word each group by its first keyword; a second question is answered like the first."""
    return by_keywords(messages[1]["content"])


def outcomes_by_feature(factory: Sessions) -> dict[int, int]:
    """Return how many outcomes by a language model each feature has that was to be worded."""
    return _rows_by_feature(factory, LabelOutcome.feature_id, LabelOutcome.labeling_id)


def origins_by_feature(factory: Sessions) -> dict[int, int]:
    """Return how many records of being asked each feature has that was to be worded."""
    return _rows_by_feature(factory, LabelOrigin.feature_id, LabelOrigin.labeling_id)


def _rows_by_feature(factory: Sessions, feature: Any, labeling: Any) -> dict[int, int]:
    with unit_of_work(factory) as session:
        wanted = session.scalars(
            select(LabelOutcome.feature_id)
            .join(Labeling, Labeling.id == LabelOutcome.labeling_id)
            .where(Labeling.source == "keywords", LabelOutcome.status == "ok")
        )
        found = dict.fromkeys(wanted, 0)
        asked = select(feature).join(Labeling, Labeling.id == labeling)
        for key in session.scalars(asked.where(Labeling.source == "llm")):
            found[key] += 1
    return found
