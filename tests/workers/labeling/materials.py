"""Material of planted features: passages in which some words fire."""

from collections.abc import Sequence

import numpy as np
from tests.workers.labeling.planted import make_passage

from scopebook_workers.labeling.evidence import Firing
from scopebook_workers.labeling.material import Cluster, Material, Quiet


def firing_on(text: str, word: str, activation: float = 4.0) -> Firing:
    """Return an example that fires on every token that holds the word."""
    passage = make_passage(text)
    tokens = [text[begin:end] for begin, end in zip(passage.begins, passage.ends, strict=True)]
    positions = np.asarray(
        [place for place, token in enumerate(tokens) if word in token], dtype=np.int32
    )
    activations = np.full(len(positions), activation, dtype=np.float32)
    activations[1:] /= 2
    return Firing(
        passage=passage, peak=int(positions[0]), positions=positions, activations=activations
    )


def material_of(
    groups: Sequence[Sequence[Firing]],
    *,
    contrasts: Sequence[str] = (),
    promoted: Sequence[str] = (),
) -> Material:
    """Return material with a cluster for each group, all of it shown."""
    firings = [firing for group in groups for firing in group]
    clusters, start = [], 0
    for number, group in enumerate(groups):
        places = list(range(start, start + len(group)))
        start += len(group)
        clusters.append(
            Cluster(
                members=places,
                medoid=places[0],
                share=len(group) / len(firings),
                keywords=[f"word{number}"],
                representatives=places[:8],
                held_out=[],
            )
        )
    return Material(
        kind="context",
        firings=firings,
        clusters=clusters,
        unassigned=0.0,
        held_out=[],
        contrasts=[Quiet(passage=make_passage(text), center=0) for text in contrasts],
        promoted=promoted,
    )
