"""Concepts of a scan: features of one label text, held against the reference together."""

from typing import Final

import numpy as np

from scopebook.scan_contrasts import Contrast, concept_counts, contrast
from scopebook.scan_views import ConceptFound
from scopebook_workers.tasks.scan_merge import Found

NAMED: Final = 100
_FEATURES: Final = 12


def concepts_found(found: Found, whole: Contrast) -> tuple[list[ConceptFound], list[ConceptFound]]:
    """Return the labelled concepts that are more and less frequent than in the reference."""
    flagged = found.flagged()
    members: dict[str, list[int]] = {}
    wording: dict[str, str] = {}
    base = 0
    for layer in found.plan.layers:
        for index, text in layer.labels.items():
            if not flagged[base + index]:
                key = " ".join(text.split()).casefold()
                members.setdefault(key, []).append(base + index)
                wording.setdefault(key, text)
        base += layer.d_sae
    keys = list(members)
    if not keys:
        return [], []
    groups = np.full(len(flagged), len(keys), dtype=np.int64)
    for number, key in enumerate(keys):
        groups[members[key]] = number
    # The last group is what has no label.
    n = len(keys) + 1
    held = contrast(
        concept_counts(whole.one, groups, n),
        concept_counts(whole.other, groups, n),
        ranked=np.arange(n) < len(keys),
        fdr=found.plan.parameters.fdr,
    )

    def told(number: int) -> ConceptFound:
        return _concept(found, held, number, wording[keys[number]], members[keys[number]])

    return (
        [told(int(number)) for number in held.over[:NAMED]],
        [told(int(number)) for number in held.under[:NAMED]],
    )


def _concept(
    found: Found, held: Contrast, number: int, label: str, places: list[int]
) -> ConceptFound:
    names = []
    for place in places[:_FEATURES]:
        layer, index = found.layer_of(place)
        names.append(f"{layer.prefix}{index}")
    fdr, documents = float(held.fdr[number]), int(held.one.clusters[number])
    return ConceptFound(
        label=label,
        count=len(places),
        features=names,
        tokens=int(held.one.hits[number]),
        documents=documents,
        share=documents / max(sum(found.plan.documents), 1),
        rate=float(held.one.rate[number]),
        other_rate=float(held.other.rate[number]),
        log2=float(held.ratios.log2[number]),
        low=float(held.ratios.low[number]),
        high=float(held.ratios.high[number]),
        p=float(held.ratios.p[number]),
        fdr=None if np.isnan(fdr) else fdr,
    )
