"""What a model reads of windows, and what becomes of what it says."""

from collections.abc import Sequence

import numpy as np
import pytest
from tests.workers.labeling.planted import ENGLISH, fire, make_passage, make_passages

from scopebook.errors import CheckpointError
from scopebook_workers.labeling.embedders import LocalEmbedder, load_embedder
from scopebook_workers.labeling.encoding import (
    CentredVectors,
    around_peak,
    checked,
    peak_in,
    text_keys,
    text_of,
)
from scopebook_workers.labeling.evidence import Firing
from scopebook_workers.labeling.model_encoder import ModelEncoder
from scopebook_workers.labeling.reading import Reader, Window
from scopebook_workers.labeling.window_vectors import Vectors


@pytest.fixture(scope="module")
def minilm() -> LocalEmbedder:
    return load_embedder("all-MiniLM-L6-v2")


def window_at(text: str, peak: int) -> Window:
    firing = Firing(
        passage=make_passage(text),
        peak=peak,
        positions=np.asarray([peak], np.int32),
        activations=np.ones(1, np.float32),
    )
    return Reader().window(firing)


class Letters:
    """Says of a window how often some letters stand in it."""

    id = "letters"

    def keys(self, windows: Sequence[Window]) -> list[bytes]:
        return text_keys([text_of(window) for window in windows])

    def encode(self, windows: Sequence[Window]) -> Vectors:
        counts = [[text_of(window).count(letter) for letter in "aeinst"] for window in windows]
        return np.asarray(counts, np.float32)


def test_the_mean_of_the_windows_is_taken_off() -> None:
    reader = Reader()
    windows = [reader.window(firing) for firing in fire(make_passages(ENGLISH, 20)).firings]
    raw = Letters().encode(windows).astype(np.float64)

    vectors = CentredVectors(Letters(), windows).embed(windows[:5])

    expected = raw[:5] - raw.mean(axis=0)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors, expected, atol=1e-6)


class Deaf(Letters):
    """Says the same of every window."""

    def encode(self, windows: Sequence[Window]) -> Vectors:
        return np.ones((len(windows), 6), np.float32)


def test_an_embedder_that_says_the_same_of_all_windows_is_refused() -> None:
    reader = Reader()
    windows = [reader.window(firing) for firing in fire(make_passages(ENGLISH, 20)).firings]

    with pytest.raises(CheckpointError, match="letters gives all windows the same vector"):
        CentredVectors(Deaf(), windows)


def test_without_windows_to_learn_from_vectors_are_as_they_come() -> None:
    window = window_at("tatin", 0)

    [vector] = CentredVectors(Letters(), []).embed([window])

    np.testing.assert_allclose(vector, np.asarray([1, 0, 1, 1, 0, 2]) / np.sqrt(7), atol=1e-6)


@pytest.mark.parametrize(
    ("peak", "kept"), [(0, "abcdef"), (2, "abcdef"), (6, "cdefgh"), (9, "efghij")]
)
def test_of_a_long_text_stays_what_is_around_the_peak(peak: int, kept: str) -> None:
    offsets = [(i, i + 1) for i in range(10)]

    assert around_peak("abcdefghij", offsets, peak, 6) == kept
    assert around_peak("abcdefghij", offsets, peak, 10) == "abcdefghij"


def test_a_window_longer_than_the_model_reads_is_cut_around_its_peak(
    minilm: LocalEmbedder,
) -> None:
    # Each word is of many pieces, so that 192 tokens are more than the model's 256.
    words = [f"electroencephalographically{i}" for i in range(150)]
    encoder = ModelEncoder(minilm)
    text = " ".join(words)
    count = len(make_passage(text).begins)
    both = [window_at(text, peak) for peak in (5, count - 5)]

    texts = encoder._texts(both)

    for window, read in zip(both, texts, strict=True):
        begin = int(window.passage.begins[window.firing.peak])
        assert text[begin - 10 : begin + 10] in read
        assert read in text
    pieces = minilm.model.tokenizer(texts)["input_ids"]
    assert 200 < min(map(len, pieces)) <= max(map(len, pieces)) <= 256
    assert texts[0] != texts[1]


def test_a_model_gives_unit_vectors_by_the_text_alone(minilm: LocalEmbedder) -> None:
    encoder = ModelEncoder(minilm)
    text = "the judge signed the contract after the appeal was heard"
    windows = [window_at(text, 1), window_at(text, 4), window_at("bread and butter", 0)]

    vectors = encoder.encode(windows)

    assert vectors.shape == (3, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    assert np.array_equal(vectors, vectors.astype(np.float16))
    keys = encoder.keys(windows)
    assert keys[0] == keys[1] != keys[2]
    assert encoder.id.startswith("all-MiniLM-L6-v2@53aa51172d142c89")


def test_a_window_of_blanks_is_no_empty_text() -> None:
    assert text_of(window_at("  \n ", 0)) == "."


def test_the_peak_is_counted_from_where_the_window_begins() -> None:
    window = window_at(" ".join(f"word{i:03d}" for i in range(400)), 300)

    begin = int(window.passage.begins[300])
    assert window.tokens[0] > 0
    assert text_of(window)[peak_in(window) :].startswith(window.passage.text[begin : begin + 20])


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_vectors_without_a_direction_are_refused(value: float) -> None:
    vectors = np.ones((3, 4), np.float32)
    vectors[1] = value

    with pytest.raises(CheckpointError, match="The embedder some-model gives a window a vector"):
        checked(vectors, "some-model")
