import numpy as np
from numpy.typing import NDArray
from tests.workers.labeling.planted import ENGLISH, GERMAN, fire, make_passages

from scopebook_workers.labeling.reading import Reader
from scopebook_workers.labeling.window_vectors import TermVectors, WindowVectors


def made_up(seed: int = 0) -> list[NDArray[np.int32]]:
    """Return windows of two subjects, all of which begin with the same ten terms."""
    rng = np.random.default_rng(seed)
    return [
        np.concatenate([np.arange(10), 10 + 40 * (i % 2) + rng.integers(0, 40, 60)]).astype(
            np.int32
        )
        for i in range(80)
    ]


def test_windows_without_known_terms_have_no_direction() -> None:
    vectors = WindowVectors(made_up())

    embedded = vectors.embed([np.asarray([900], dtype=np.int32), np.empty(0, np.int32)])

    assert not embedded.any()


def test_vectors_have_length_one() -> None:
    windows = made_up()

    lengths = np.linalg.norm(WindowVectors(windows).embed(windows), axis=1)

    np.testing.assert_allclose(lengths, 1, atol=1e-5)


def test_what_all_windows_share_does_not_make_them_alike() -> None:
    windows = made_up()

    cosines = (vectors := WindowVectors(windows).embed(windows)) @ vectors.T

    assert cosines[::2, ::2].mean() > 0.5
    assert cosines[::2, 1::2].mean() < -0.5


def test_a_weight_counts_as_so_many_places_of_the_term() -> None:
    windows = made_up()
    vectors = WindowVectors(windows)
    once = np.asarray([12, 60, 61], dtype=np.int32)
    thrice = np.asarray([12, 12, 12, 60, 61], dtype=np.int32)

    weighed = vectors.embed([once], [np.asarray([3, 1, 1], np.float32)])

    np.testing.assert_allclose(weighed, vectors.embed([thrice]), atol=1e-6)


def test_the_same_windows_get_the_same_vectors() -> None:
    windows = made_up()

    first, second = (WindowVectors(windows).embed(windows) for _ in range(2))

    np.testing.assert_array_equal(first, second)


def test_windows_of_two_languages_point_different_ways() -> None:
    reader = Reader()
    features = [fire(make_passages(words, 20)) for words in (ENGLISH, GERMAN)]
    windows = [reader.window(firing) for feature in features for firing in feature.firings]

    vectors = TermVectors(windows, reader.vocabulary).embed(windows)

    assert (vectors[:20] @ vectors[:20].T).mean() > 0.5
    assert (vectors[:20] @ vectors[20:].T).mean() < 0


def test_a_window_knows_its_text_its_passage_and_where_the_feature_fires() -> None:
    feature = fire(make_passages(ENGLISH, 1, length=400))
    firing = feature.firings[0]

    window = Reader().window(firing)

    first, last = window.tokens
    passage = firing.passage
    assert window.firing is firing
    assert window.passage is passage
    assert window.text == passage.text[passage.begins[first] : passage.ends[last - 1]]
    assert first <= firing.peak < last
    assert last - first <= 192
