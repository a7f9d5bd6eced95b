import numpy as np
import pytest
from numpy.typing import NDArray

from scopebook_workers.labeling.calibration import calibrate
from scopebook_workers.labeling.clusters import (
    Vectors,
    agreement,
    cut,
    joining_distances,
    silhouettes,
    smoothed,
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
CORPORA = [(0.3, 0.02), (0.95, 0.8)]


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


def test_where_two_features_look_alike_nothing_is_split() -> None:
    rng = np.random.default_rng(0)
    features = [make_sense(rng, within=0.2, common=0.2) for _ in range(16)]

    threshold = calibrate(features)

    assert threshold is not None
    assert [int(cut(joining_distances(vectors), threshold).max()) for vectors in features] == [
        0
    ] * len(features)


def test_the_same_features_calibrate_the_same_threshold() -> None:
    rng = np.random.default_rng(0)
    features = [make_sense(rng, within=0.5, common=0.1) for _ in range(12)]

    assert calibrate(features) == calibrate(features)


def test_smoothing_brings_windows_of_a_sense_together_and_keeps_senses_apart() -> None:
    rng = np.random.default_rng(4)
    parts = [make_sense(rng, within=0.3, common=0.1, n=20) for _ in range(2)]
    vectors = np.concatenate(parts)

    before, after = vectors @ vectors.T, smoothed(vectors) @ smoothed(vectors).T

    assert after[:20, :20].mean() > before[:20, :20].mean() + 0.2
    within = after[:20, :20].mean() - after[:20, 20:].mean()
    assert within > before[:20, :20].mean() - before[:20, 20:].mean() + 0.1


def test_few_windows_are_left_as_they_are() -> None:
    vectors = make_sense(np.random.default_rng(5), within=0.3, common=0.1, n=7)

    assert smoothed(vectors) is vectors


def test_silhouettes_agree_with_a_look_at_each_window() -> None:
    rng = np.random.default_rng(6)
    vectors = make_sense(rng, within=0.3, common=0.1, n=24)
    placed = np.repeat([0, 1, 2, -1], [10, 6, 5, 3])
    distances = 1 - vectors @ vectors.T

    def of(i: int) -> float:
        means = [
            np.mean([distances[i, j] for j in range(24) if placed[j] == sense and j != i])
            for sense in range(3)
        ]
        own = means.pop(placed[i])
        return float((min(means) - own) / max(own, min(means)))

    by_hand = [np.mean([of(i) for i in range(24) if placed[i] == sense]) for sense in range(3)]

    assert silhouettes(vectors, placed) == pytest.approx(by_hand, abs=1e-5)


def test_an_only_sense_has_no_silhouette() -> None:
    vectors = make_sense(np.random.default_rng(7), within=0.3, common=0.1, n=9)

    assert silhouettes(vectors, np.zeros(9, np.int64)) == [None]
