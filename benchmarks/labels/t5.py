"""T5: are features found by what their module is about, through their labels' meaning?

Queries are the modules' own summaries. A hit is right when it is of the module. Labels are those of
the reader, which has the modules' words but not their summaries; beside them stand keywords.
"""

import time
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
from benchmarks.labels.prompt_material import PlantedMaterial, library, plant, singles
from benchmarks.labels.result import Gate, TierResult
from benchmarks.labels.t4 import ask, reader
from numpy.typing import NDArray

from scopebook_workers.labeling.embedders import MINILM, LocalEmbedder, load_embedder
from scopebook_workers.labeling.llm_labels import Wording

FEATURES: Final = 450
FOUND: Final = 10


@cache
def embedder() -> LocalEmbedder:
    """Return the embedder that comes in a wheel."""
    return load_embedder(MINILM[0])


def text_of(wording: Wording) -> str:
    """Return what is embedded of a wording; nothing of one that is not ok."""
    return " ".join(f"{sense.label}. {sense.description}" for sense in wording.senses)


def found_and_first(
    features: Sequence[PlantedMaterial], texts: Sequence[str]
) -> tuple[float, float]:
    """Return the mean recall in the first ten and the share of queries with a right first hit.

    Recall is of as many as can be among ten.
    """
    modules = [one.concepts[0].module for one in features]
    queries = [library()[name].summary for name in sorted(set(modules))]
    near = _unit(queries) @ _unit(texts).T
    recalls, firsts = [], []
    for name, row in zip(sorted(set(modules)), near, strict=True):
        order = np.argsort(-row, kind="stable")[:FOUND]
        right = [modules[int(i)] == name for i in order]
        recalls.append(sum(right) / min(FOUND, modules.count(name)))
        firsts.append(right[0])
    return float(np.mean(recalls)), float(np.mean(firsts))


def _unit(texts: Sequence[str]) -> NDArray[np.float32]:
    return embedder().embed(list(texts))


def run(*, size: float = 1.0) -> TierResult:
    """Return the tier's figures; `size` below 1 takes fewer features."""
    began = time.monotonic()
    features = plant(singles(max(40, round(FEATURES * size))), seed=0)
    wordings = ask(reader(), features)
    recall, first = found_and_first(features, [text_of(wording) for wording in wordings])
    nameless, _ = found_and_first(
        features,
        [
            text_of(wording).replace(one.concepts[0].module, "this")
            for wording, one in zip(wordings, features, strict=True)
        ],
    )
    keywords = [", ".join(one.material.clusters[0].keywords) for one in features]
    by_keywords, first_by_keywords = found_and_first(features, keywords)
    per_module = Counter(one.concepts[0].module for one in features)
    return TierResult(
        tier="T5",
        title="features found by concept",
        gates=(
            Gate(name="recall@10 by labels", value=recall, bound=0.80),
            Gate(name="first hit by labels", value=first, bound=0.70),
            Gate(name="recall@10 by keywords", value=by_keywords, bound=0.52),
        ),
        seconds=time.monotonic() - began,
        notes=(
            f"{len(features)} features of {len(per_module)} modules, at most "
            f"{max(per_module.values())} of one",
            f"first hit by keywords {first_by_keywords:.2f}",
            f"recall@10 by labels without the modules' names {nameless:.2f}",
        ),
    )
