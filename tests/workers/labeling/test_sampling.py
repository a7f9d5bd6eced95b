from dataclasses import replace

import numpy as np
from tests.workers.labeling.materials import firing_on

from scopebook_workers.labeling.evidence import FeatureEvidence, Firing
from scopebook_workers.labeling.kinds import kind_of
from scopebook_workers.labeling.sampling import (
    EXPLAIN,
    HELD_OUT,
    MIN_STRONG,
    STRONG,
    Sample,
    peaks_of,
    sample,
    strong_examples,
)


def firings(n: int, *, same_document: int = 1, near: int = 1) -> list[Firing]:
    """Return examples, some of one document or near-duplicates in a row, strongest first."""
    found = []
    for number in range(n):
        firing = firing_on(f"text number {number} of a river here", "river", 100.0 - number / 2)
        passage = replace(
            firing.passage,
            document_hash=7 * (number // same_document) + 1,
            group=1_000 + number // near,
        )
        found.append(replace(firing, passage=passage))
    return found


def sampled(found: list[Firing]) -> Sample:
    chosen = sample(FeatureEvidence(firings=found))
    assert isinstance(chosen, Sample)
    return chosen


def test_no_document_and_no_near_duplicate_is_on_both_sides() -> None:
    found = firings(90, same_document=2, near=3)

    chosen = sampled(found)

    for fact in ("document_hash", "group"):
        explained = {getattr(found[i].passage, fact) for i in chosen.explain}
        held_out = {getattr(found[i].passage, fact) for i in chosen.held_out}
        assert explained
        assert held_out
        assert not explained & held_out


def test_a_sample_is_bounded_and_the_same_whatever_the_row_ids_are() -> None:
    found = firings(120)
    moved = [
        replace(one, passage=replace(one.passage, id=one.passage.id + 5, document_id=9))
        for one in found
    ]

    chosen = sampled(found)

    assert (len(chosen.explain), len(chosen.held_out)) <= (EXPLAIN, HELD_OUT)
    assert chosen.explain == sampled(moved).explain
    assert chosen.held_out == sampled(moved).held_out


def test_examples_to_explain_by_are_strong_ones() -> None:
    found = firings(120)
    peaks = peaks_of(found)

    chosen = sampled(found)

    assert peaks[chosen.explain].min() >= STRONG * peaks.max()


def test_too_few_documents_are_named_as_the_reason() -> None:
    assert sample(FeatureEvidence(firings=[])) == "silent"
    assert sample(FeatureEvidence(firings=firings(29))) == "few_documents"
    assert sample(FeatureEvidence(firings=firings(80, same_document=4))) == "few_documents"
    assert sample(FeatureEvidence(firings=firings(60, near=4))) == "near_duplicates"


def test_a_feature_with_few_strong_examples_speaks_of_its_strongest() -> None:
    found = firings(60)
    found[0].activations[:] = 10_000.0

    assert strong_examples(FeatureEvidence(firings=found)) == list(range(MIN_STRONG))


def test_a_feature_is_of_the_kind_that_carries_its_activation() -> None:
    words = [f"w{chr(97 + number // 7)}{chr(97 + number % 7)}" for number in range(40)]
    one_word = FeatureEvidence(
        firings=[
            firing_on(" ".join([*words[:at], "river", *words[at:]]), "river") for at in range(1, 39)
        ]
    )
    many = FeatureEvidence(
        firings=[
            firing_on(" ".join([*words[:at], f"x{words[at]}", *words[at:]]), f"x{words[at]}")
            for at in range(1, 39)
        ]
    )
    firsts = []
    for number in range(40):
        firing = firing_on(f"y{words[number]} " + " ".join(words), f"y{words[number]}")
        firsts.append(replace(firing, positions=np.zeros(1, np.int32)))

    assert kind_of(one_word) == "token"
    assert kind_of(many) == "context"
    assert kind_of(FeatureEvidence(firings=firsts)) == "position"
