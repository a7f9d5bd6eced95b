import numpy as np
from numpy.typing import NDArray

from scopebook_workers.labeling.representatives import (
    budget,
    medoid,
    nearest_sense,
    representatives,
)


def unit(seed: int, n: int) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).normal(size=(n, 16)) + 1
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_the_medoid_is_nearest_to_all_others() -> None:
    vectors = unit(0, 20)

    assert medoid(vectors) == int((vectors @ vectors.T).mean(axis=1).argmax())


def test_no_feature_shows_more_than_24_and_no_sense_more_than_8() -> None:
    assert [budget(senses) for senses in range(1, 6)] == [8, 8, 8, 6, 4]


def test_the_medoid_and_the_three_strongest_come_first() -> None:
    vectors, peaks = unit(1, 30), np.random.default_rng(1).random(30).astype(np.float32)

    shown = representatives(vectors, peaks, 8)

    strongest = np.argsort(-peaks)[:3].tolist()
    assert shown[: len({medoid(vectors), *strongest})] == list(
        dict.fromkeys([medoid(vectors), *strongest])
    )
    assert len(set(shown)) == 8


def test_the_rest_comes_from_all_quantiles_of_activation() -> None:
    vectors, peaks = unit(2, 40), np.linspace(1, 0, 40, dtype=np.float32)

    shown = representatives(vectors, peaks, 8)

    assert {i // 10 for i in shown[4:]} == {0, 1, 2, 3}


def test_each_of_the_rest_is_the_least_alike_of_its_quantile() -> None:
    vectors, peaks = unit(3, 40), np.linspace(1, 0, 40, dtype=np.float32)

    shown = representatives(vectors, peaks, 8)

    for place in range(4, 8):
        quantile = [
            i for i in range(40) if i // 10 == shown[place] // 10 and i not in shown[:place]
        ]
        likeness = {i: max(float(vectors[i] @ vectors[j]) for j in shown[:place]) for i in quantile}
        assert likeness[shown[place]] == min(likeness.values())


def test_a_small_sense_is_shown_whole() -> None:
    assert sorted(representatives(unit(4, 3), np.ones(3, np.float32), 8)) == [0, 1, 2]


def test_an_example_goes_to_the_sense_it_is_nearest_to_in_the_mean() -> None:
    senses = [np.eye(3, dtype=np.float32)[[0, 0]], np.eye(3, dtype=np.float32)[[1, 2]]]
    examples = np.asarray([[0.9, 0.1, 0.0], [0.1, 0.9, 0.0]], dtype=np.float32)

    assert nearest_sense(examples, senses).tolist() == [0, 1]
