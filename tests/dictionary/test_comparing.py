"""What differs between two texts and two sets of texts, against a plain slow computation."""

import statistics

import numpy as np
import pytest
from sqlalchemy.orm import Session
from tests.dictionary.planted_texts import Firing, planted
from tests.makers import make_release

from scopebook.activations import Activations
from scopebook.comparing import Comparison, Contrast, compare
from scopebook.contrast_statistics import mann_whitney
from scopebook.db.tables import Sae
from scopebook.errors import InvalidInputError

A = ["the", " cat", " sat", " here", " now"]
B = ["the", " cat", " sat", "在", "这里", " here"]
#: Tokens 0 to 4 are A's, 5 to 10 B's. Feature 1 fires on Chinese, 2 on both, 3 in A.
FIRINGS = [
    (8, 1, 6.0),
    (9, 1, 8.0),
    (3, 2, 4.0),
    (10, 2, 4.0),
    (4, 3, 5.0),
    (1, 4, 9.0),
    (6, 4, 9.0),
]


@pytest.fixture
def saes(session: Session) -> list[Sae]:
    return make_release(session, layers=(1,))


def contrast(
    session: Session, saes: list[Sae], found: Activations, n_a: int = 1, **wanted: object
) -> Comparison:
    return compare(session, found, saes[0].release_id, n_a, Contrast(**wanted))  # type: ignore[arg-type]


def rows(seen: Comparison) -> list[tuple[int, str]]:
    return [(seen.features[one.feature_id].index, one.more_in) for one in seen.differences]


def test_what_fires_on_one_side_alone_comes_first(session: Session, saes: list[Sae]) -> None:
    seen = contrast(session, saes, planted([A, B], {1: FIRINGS}))

    assert rows(seen)[:2] == [(1, "b"), (3, "a")]
    assert seen.test is None
    assert seen.differences[0].p is None
    first = seen.differences[0]
    assert (first.a.rate, first.b.rate) == (0.0, pytest.approx(2 / 3))
    assert first.b.tokens == [3, 4]
    assert first.b.activations == [6.0, 8.0]


def test_figures_are_those_of_a_plain_computation(session: Session, saes: list[Sae]) -> None:
    seen = contrast(session, saes, planted([A, B], {1: FIRINGS}))

    # After the common beginning of three tokens.
    values = {side: [0.0] * n for side, n in (("a", 2), ("b", 3))}
    for index in (1, 2, 3):
        for side, tokens in (("a", (3, 4)), ("b", (8, 9, 10))):
            fired = {token: value for token, feature, value in FIRINGS if feature == index}
            values[side] = [fired.get(token, 0.0) for token in tokens]
        one = next(d for d in seen.differences if seen.features[d.feature_id].index == index)
        a, b = values["a"], values["b"]
        spread = ((len(a) * statistics.pvariance(a) + len(b) * statistics.pvariance(b)) / 5) ** 0.5
        assert one.a.mean == pytest.approx(statistics.mean(a))
        assert one.b.max == max(b)
        assert one.effect == pytest.approx((statistics.mean(b) - statistics.mean(a)) / spread)


def test_the_common_beginning_and_common_tokens_are_left_out_when_asked(
    session: Session, saes: list[Sae]
) -> None:
    found = planted([A, B], {1: FIRINGS})

    whole = contrast(session, saes, found, leave_out=())
    without = contrast(session, saes, found, leave_out=("prefix", "tokens"))

    assert (whole.a.compared, whole.b.compared) == (4, 5)  # never the first of a text
    assert (without.a.compared, without.b.compared) == (1, 2)
    assert without.b.left_out == [True, True, True, False, False, True]
    assert {index for index, _ in rows(without)} == {1, 3}


def test_texts_that_are_the_same_differ_in_nothing(session: Session, saes: list[Sae]) -> None:
    found = planted([A, A], {1: [(1, 1, 5.0), (6, 1, 5.0)]})

    seen = contrast(session, saes, found)

    assert [one.effect for one in seen.differences] == [0.0]


def test_a_side_of_which_nothing_is_left_is_named(session: Session, saes: list[Sae]) -> None:
    found = planted([["the", " cat"], ["the", " cat", " sat"]], {1: [(1, 1, 5.0)]})

    with pytest.raises(InvalidInputError, match="Nothing of A is left without how all texts begin"):
        contrast(session, saes, found)


def test_sets_are_tested_text_by_text(session: Session, saes: list[Sae]) -> None:
    draws = np.random.default_rng(0)
    texts = [[f"w{text}-{token}" for token in range(6)] for text in range(14)]
    firings: list[Firing] = []
    for text in range(14):
        for token in range(1, 6):
            if text >= 7:
                firings.append((6 * text + token, 1, float(draws.uniform(5, 9))))
            if draws.random() < 0.5:
                firings.append((6 * text + token, 2, float(draws.uniform(1, 9))))
    found = planted(texts, {1: firings})

    seen = contrast(session, saes, found, n_a=7)

    assert seen.test == "mann-whitney"
    first, second = seen.differences
    assert (rows(seen)[0], first.effect) == ((1, "b"), 1.0)
    assert first.q is not None
    assert first.q < 0.01
    assert second.p is not None
    assert second.p > 0.05
    assert (first.a.texts, first.b.texts) == (0, 7)
    means = np.zeros((14, 1))
    for token, feature, value in firings:
        means[token // 6, 0] += value / 5 if feature == 2 else 0
    assert second.p == pytest.approx(float(mann_whitney(means[:7], means[7:]).p[0]))


def test_few_texts_are_permuted_and_many_features_are_paid_for(
    session: Session, saes: list[Sae]
) -> None:
    texts = [[f"w{text}-{token}" for token in range(3)] for text in range(6)]
    firings = [(3 * text + 1, index, 5.0) for text in range(3, 6) for index in range(5)]

    seen = contrast(session, saes, planted(texts, {1: firings}), n_a=3)

    assert seen.test == "permutation"
    assert [one.p for one in seen.differences] == [pytest.approx(2 / 20)] * 5


def test_only_what_is_more_on_one_side_is_listed(session: Session, saes: list[Sae]) -> None:
    seen = contrast(session, saes, planted([A, B], {1: FIRINGS}), more_in="a")

    assert {side for _, side in rows(seen)} == {"a"}
