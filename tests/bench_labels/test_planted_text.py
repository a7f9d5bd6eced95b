"""What the tiers on text take for truth."""

import numpy as np
from benchmarks.labels.planted_text import APART, BEFORE, KINDS, WINDOWS, modules, plant


def test_each_planted_example_fires_on_its_senses_word() -> None:
    for kind in KINDS:
        for feature in plant(kind, 5, seed=9):
            for firing, sense in zip(feature.evidence.firings, feature.senses, strict=True):
                passage = firing.passage
                word = passage.text[passage.begins[firing.peak] : passage.ends[firing.peak]]
                assert word.strip() == feature.pairs[sense][0]


def test_kinds_differ_in_what_their_senses_share() -> None:
    for one, union, word in zip(*(plant(kind, 8, seed=9) for kind in KINDS), strict=True):
        assert one.k == 1
        assert len({pair[0] for pair in union.pairs}) == union.k > 1
        assert len({pair[1] for pair in union.pairs}) == union.k
        assert len({pair[0] for pair in word.pairs}) == 1 < len({pair[1] for pair in word.pairs})


def test_a_feature_has_as_many_windows_as_said_in_balance() -> None:
    for kind in KINDS:
        for feature in plant(kind, 8, seed=9):
            sizes = np.bincount(feature.senses)
            assert sizes.sum() == WINDOWS
            assert sizes.max() - sizes.min() <= 1


def test_no_two_windows_of_a_sense_lie_nearer_than_said() -> None:
    for feature in plant("word", 8, seed=9):
        for sense, (word, name) in enumerate(feature.pairs):
            module = modules()[name]
            starts = {int(module.begins[max(0, p - BEFORE)]): p for p in module.places[word]}
            firings = [
                f
                for f, s in zip(feature.evidence.firings, feature.senses, strict=True)
                if s == sense
            ]
            places = sorted(starts[module.text.index(f.passage.text)] for f in firings)
            assert min(np.diff(places)) >= APART


def test_the_same_seed_plants_the_same_features() -> None:
    first, second = ([f.pairs for f in plant("union", 8, seed=9)] for _ in range(2))

    assert first == second
    assert first != [f.pairs for f in plant("union", 8, seed=10)]
