import numpy as np
import pytest
from numpy.typing import NDArray

from scopebook_workers.labeling.clusters import (
    Vectors,
    WindowVectors,
    agreement,
    calibrate,
    cut,
    joining_distances,
)

N = 40


def make_sense(rng: np.random.Generator, *, within: float, common: float, n: int = N) -> Vectors:
    """Return unit vectors with cosine `within` each other; senses have `common` in common."""
    shared, own = np.eye(128)[0], rng.normal(size=128)
    noise = rng.normal(size=(n, 128))
    parts = [part / np.linalg.norm(part, axis=-1, keepdims=True) for part in (own, noise)]
    vectors = (
        np.sqrt(common) * shared
        + np.sqrt(within - common) * parts[0]
        + np.sqrt(1 - within) * parts[1]
    )
    unit: Vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


def share_right(within: float, common: float, threshold: float) -> float:
    """Return the share of new one-sense features kept whole and of unions split in two."""
    rng = np.random.default_rng(7)
    right = 0
    for _ in range(10):
        one, two = (make_sense(rng, within=within, common=common) for _ in range(2))
        union = np.concatenate([one[: N // 2], two[: N // 2]])
        right += cut(joining_distances(one), threshold).max() == 0
        right += cut(joining_distances(union), threshold).max() == 1
    return right / 20


#: Cosine within a sense and between senses: a corpus of many subjects, and one of a single style.
CORPORA = [(0.3, 0.02), (0.8, 0.45)]


def test_a_calibrated_threshold_beats_any_fixed_one_across_corpora() -> None:
    rng = np.random.default_rng(0)
    thresholds = [
        calibrate([make_sense(rng, within=within, common=common) for _ in range(16)])
        for within, common in CORPORA
    ]

    calibrated = [
        share_right(*corpus, threshold or 0.0)
        for corpus, threshold in zip(CORPORA, thresholds, strict=True)
    ]
    fixed = [
        min(share_right(*corpus, threshold) for corpus in CORPORA)
        for threshold in np.linspace(0.1, 1.0, 19)
    ]

    assert min(calibrated) >= 0.95
    assert max(fixed) < 0.7


def test_too_few_features_calibrate_nothing() -> None:
    rng = np.random.default_rng(0)

    assert calibrate([make_sense(rng, within=0.5, common=0.1) for _ in range(3)]) is None
    assert calibrate([make_sense(rng, within=0.5, common=0.1, n=4) for _ in range(30)]) is None


def test_small_clusters_are_no_sense_and_the_largest_comes_first() -> None:
    rng = np.random.default_rng(1)
    sizes = (12, 25, 2)
    windows = [make_sense(rng, within=0.9, common=0.0, n=n) for n in sizes]

    placed = cut(joining_distances(np.concatenate(windows)), 0.5)

    assert placed.tolist() == [1] * 12 + [0] * 25 + [-1] * 2


def test_at_most_five_senses_are_told_apart() -> None:
    rng = np.random.default_rng(1)
    windows = [make_sense(rng, within=0.9, common=0.0, n=6) for _ in range(7)]

    placed = cut(joining_distances(np.concatenate(windows)), 0.5)

    assert set(placed.tolist()) == {-1, 0, 1, 2, 3, 4}


def test_cutting_agrees_with_a_full_look_at_all_pairs() -> None:
    rng = np.random.default_rng(2)
    vectors = make_sense(rng, within=0.4, common=0.0)
    joined = joining_distances(vectors)

    first = (joined <= 0.55).argmax(axis=1)

    for i in range(N):
        assert [j for j in range(N) if first[j] == first[i]] == np.flatnonzero(
            joined[i] <= 0.55
        ).tolist()


@pytest.mark.parametrize("n", [1, 2])
def test_one_or_two_windows_are_one_sense(n: int) -> None:
    vectors = make_sense(np.random.default_rng(3), within=0.1, common=0.0, n=n)

    assert cut(joining_distances(vectors), 0.5).tolist() == [0] * n


def test_agreement_is_one_for_equal_partitions_and_about_zero_by_chance() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1], 200)

    by_chance: NDArray[np.int64] = rng.integers(0, 2, 400)

    assert agreement(1 - truth, truth) == pytest.approx(1.0)
    assert abs(agreement(by_chance, truth)) < 0.05


def test_windows_without_known_terms_have_no_direction() -> None:
    windows = [np.asarray([1, 2, 3, 4 + i % 2], dtype=np.int32) for i in range(20)]
    vectors = WindowVectors(windows)

    embedded = vectors.embed([np.asarray([900], dtype=np.int32), np.empty(0, np.int32)])

    assert not embedded.any()
