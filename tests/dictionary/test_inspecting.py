"""What fires in a text, in order of interest, and the text in whole characters."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy.orm import Session
from tests.dictionary.planted_texts import planted
from tests.makers import (
    feature_id,
    make_corpus,
    make_evidence,
    make_examples,
    make_label,
    make_release,
    make_run,
)

from scopebook.activations import pack_activations, unpack_activations
from scopebook.corpus_statistics import quantile_of
from scopebook.db.tables import Sae
from scopebook.entries import refresh_entries
from scopebook.errors import InvalidInputError
from scopebook.glyphs import widen_to_glyphs
from scopebook.inspecting import Inspection, Look, inspect
from scopebook.packing import HISTOGRAM_EDGES, pack_counts

TEXT = ["the", " cat", " sat", " on", "中文"]
#: Feature 2 fires most surprisingly, 3 is the rarest, 4 is dense, and 5 fires on the first token
#: alone.
FIRINGS = [
    *[(0, 1, 9.0), (1, 1, 40.0), (2, 1, 30.0)],
    *[(4, 2, 8.0), (3, 3, 5.0), (0, 5, 70.0)],
    *[(token, 4, 20.0) for token in range(5)],
]


@pytest.fixture
def saes(session: Session) -> list[Sae]:
    """Two layers; of layer 1 a run tells what is usual for its features."""
    saes = make_release(session)
    run = make_run(session, saes[:1], make_corpus(session, ["text"]))
    examples = make_examples([1])
    for index, (density, largest) in {
        1: (0.05, 80.0),
        2: (0.02, 4.0),
        3: (0.0001, 40.0),
        4: (0.5, 40.0),
        5: (0.01, 40.0),
    }.items():
        flags = ["dense"] if density > 0.1 else []
        evidence = make_evidence(
            session,
            run,
            saes[0],
            index,
            examples=examples,
            density=density,
            flags=flags,
            largest=largest,
        )
        evidence.histogram = pack_counts(histogram_of([largest] * 3))
    saes[0].current_run_id = run.id
    session.flush()
    return saes


def histogram_of(activations: Sequence[float]) -> NDArray[np.int64]:
    counts, _ = np.histogram(activations, bins=HISTOGRAM_EDGES)
    return counts.astype(np.int64)


def look_at(session: Session, saes: list[Sae], **wanted: object) -> Inspection:
    found = planted([TEXT], {1: FIRINGS, 2: [(2, 7, 3.0)]}, sinks={1: [3]})
    return inspect(session, found, saes[0].release_id, Look(**wanted))  # type: ignore[arg-type]


def indices(seen: Inspection) -> list[int]:
    return [seen.features[firing.feature_id].index for firing in seen.firings]


@pytest.mark.parametrize(
    ("order", "first"), [("activation", 5), ("total", 4), ("surprise", 2), ("rarity", 3)]
)
def test_the_order_says_which_feature_comes_first(
    session: Session, saes: list[Sae], order: str, first: int
) -> None:
    seen = look_at(session, saes, order=order, everything=True, layers=[1])

    assert indices(seen)[0] == first


def test_dense_features_the_first_token_and_sinks_are_left_out_until_asked_for(
    session: Session, saes: list[Sae]
) -> None:
    some, all_ = look_at(session, saes), look_at(session, saes, everything=True)

    assert indices(some) == [1, 2, 7]
    assert (some.firing, some.hidden) == (6, 3)
    assert some.firings[0].tokens == [1, 2]
    assert sorted(indices(all_)) == [1, 2, 3, 4, 5, 7]
    assert all_.hidden == 0
    assert [token.sinks for token in some.tokens] == [[], [], [], [1], []]


def test_each_token_has_its_strongest_features(session: Session, saes: list[Sae]) -> None:
    make_label(session, saes[0], 1, "cats")
    refresh_entries(session, [feature_id(saes[0], 1)])

    seen = look_at(session, saes, per_token=1)

    [(strongest, activation)] = seen.per_token[1]
    assert (seen.features[strongest].index, activation) == (1, 40.0)
    label = seen.features[strongest].label
    assert label is not None
    assert label.text == "cats"
    assert seen.per_token[0] == []


def test_an_sae_without_a_run_is_inspected_without_what_is_usual(
    session: Session, saes: list[Sae]
) -> None:
    [firing] = look_at(session, saes, layers=[2]).firings

    assert (firing.max, firing.surprise) == (3.0, None)


def test_a_layer_that_was_not_run_is_named(session: Session, saes: list[Sae]) -> None:
    with pytest.raises(
        InvalidInputError, match="Layer 3 was not run for this text, which has 1, 2"
    ):
        look_at(session, saes, layers=[3])


def test_what_is_kept_of_activations_comes_back_whole() -> None:
    found = planted([TEXT, ["a", "b"]], {1: FIRINGS, 9: []}, written=[2, 0])

    again = unpack_activations(pack_activations(found))

    assert again.texts == found.texts
    assert again.written == found.written
    for name in ("starts", "token_ids", "spans", "special", "position", "text_of"):
        assert getattr(again, name).tolist() == getattr(found, name).tolist()
    for layer in (1, 9):
        for name in ("token", "feature", "value", "sinks"):
            kept = getattr(again.layers[layer], name)
            assert kept.tolist() == getattr(found.layers[layer], name).tolist()


@pytest.mark.parametrize(
    ("text", "spans", "widened"),
    [
        ("abc", [(0, 1), (1, 3)], [(0, 1), (1, 3)]),
        # A letter and its mark, which the tokenizer has parted.
        ("e\N{COMBINING ACUTE ACCENT}x", [(0, 1), (1, 2), (2, 3)], [(0, 2), (0, 2), (2, 3)]),
        # A family of three with joiners is one glyph.
        ("👨\u200d👩\u200d👧!", [(0, 2), (2, 5), (5, 6)], [(0, 5), (0, 5), (5, 6)]),
        ("中文", [(0, 1), (0, 1), (1, 2)], [(0, 1), (0, 1), (1, 2)]),
        ("🇩🇪🇨🇳", [(0, 1), (1, 2), (2, 4)], [(0, 2), (0, 2), (2, 4)]),
    ],
)
def test_highlights_are_widened_to_what_is_seen_as_one_character(
    text: str, spans: list[tuple[int, int]], widened: list[tuple[int, int]]
) -> None:
    found = widen_to_glyphs(text, np.asarray(spans, np.int32))

    assert [tuple(span) for span in found.tolist()] == widened


def test_the_quantile_of_a_histogram_is_near_that_of_the_numbers() -> None:
    numbers = np.random.default_rng(0).lognormal(2, 1, 20_000)

    found = quantile_of(histogram_of(numbers.tolist()), 0.99, largest=float(numbers.max()))

    assert found == pytest.approx(np.quantile(numbers, 0.99), rel=0.08)
