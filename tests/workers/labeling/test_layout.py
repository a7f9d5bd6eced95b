import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.manifold import trustworthiness

from scopebook_workers.labeling.layout import Places, Vectors, place

Heaps = NDArray[np.int64]
#: Of 1: for each point, whether its ten nearest on the map are near to it in truth too. UMAP on
#: these heaps reaches 0.98; a random drawing 0.5.
TRUSTWORTHY = 0.9


def heaps(n: int, *, count: int = 12, dimension: int = 48, seed: int = 0) -> tuple[Vectors, Heaps]:
    """Return unit vectors around `count` directions, and to which each belongs."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(count, dimension))
    of_vector = rng.integers(count, size=n)
    vectors = centres[of_vector] + 0.5 * rng.normal(size=(n, dimension))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), of_vector


def trust(vectors: Vectors, places: Places) -> float:
    return float(trustworthiness(vectors, places, n_neighbors=10, metric="cosine"))


def same_heap(places: Places, of_vector: Heaps) -> float:
    """Return the share of points whose nearest other one is of their heap."""
    far = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(far, np.inf)
    return float((of_vector[far.argmin(axis=1)] == of_vector).mean())


@pytest.fixture(scope="module")
def planted() -> tuple[Vectors, Heaps, Places]:
    vectors, of_vector = heaps(600)
    return vectors, of_vector, place(vectors)


def test_what_is_near_on_the_map_is_near_in_truth(
    planted: tuple[Vectors, Heaps, Places],
) -> None:
    vectors, of_vector, places = planted

    assert trust(vectors, places) >= TRUSTWORTHY
    assert same_heap(places, of_vector) >= 0.98


def test_the_same_vectors_give_the_same_map(planted: tuple[Vectors, Heaps, Places]) -> None:
    vectors, _, places = planted

    again = place(vectors)

    assert again.tobytes() == places.tobytes()


def test_vectors_outside_the_sample_come_to_their_heap() -> None:
    vectors, of_vector = heaps(600)

    places = place(vectors, sample=150)

    assert same_heap(places, of_vector) >= 0.95
    assert trust(vectors, places) >= TRUSTWORTHY


def test_a_map_fills_its_square_and_leaves_none_of_it(
    planted: tuple[Vectors, Heaps, Places],
) -> None:
    places = planted[2]

    assert places.dtype == np.float32
    assert np.abs(places).max() <= 1
    assert np.ptp(places, axis=0).max() > 1.8


def test_features_with_one_wording_lie_side_by_side() -> None:
    vectors, _ = heaps(60)
    vectors[20:40] = vectors[0]

    places = place(vectors)

    assert len(np.unique(places, axis=0)) == 60
    around = np.linalg.norm(places[20:40] - places[0], axis=1)
    assert around.max() < 0.2


@pytest.mark.parametrize("n", [0, 1, 2, 3, 15, 16, 17])
def test_few_labels_have_a_map_too(n: int) -> None:
    places = place(heaps(n)[0])

    assert places.shape == (n, 2)
    assert np.isfinite(places).all()
    assert len(np.unique(places, axis=0)) == n


def test_halves_are_placed_like_floats() -> None:
    vectors, of_vector = heaps(200)

    places = place(vectors.astype(np.float16))

    assert same_heap(places, of_vector) >= 0.9


def test_how_far_it_is_never_falls_and_reaches_the_end() -> None:
    told: list[tuple[int, int]] = []

    place(heaps(60)[0], sample=20, told=lambda done, total: told.append((done, total)))

    done = [pair[0] for pair in told]
    assert done == sorted(done)
    assert told[-1] == (60, 60)
