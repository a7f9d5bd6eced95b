"""Figures against firings whose answer is known."""

import numpy as np
import pytest
import torch

from scopebook_demo import measure
from scopebook_demo.evaluate import Gate
from scopebook_demo.measure import Firing, Scores


def firing(fired: list[list[tuple[int, float]]], concepts: list[int], windows: list[int]) -> Firing:
    """One token per row, two places for (feature, value); four features, two concepts."""
    rows = [[*row, (0, 0.0), (0, 0.0)][:2] for row in fired]
    return Firing(
        values=torch.tensor([[value for _, value in row] for row in rows]),
        indices=torch.tensor([[feature for feature, _ in row] for row in rows]),
        concepts=torch.tensor(concepts),
        windows=torch.tensor(windows),
        width=4,
        names=("Chinese", "German"),
    )


def planted() -> Firing:
    """Feature 1 fires on every Chinese token, 2 on every token, 3 on one German token."""
    chinese = [[(1, 5.0), (2, 1.0)]] * 4
    german = [[(2, 1.0)]] * 7 + [[(2, 1.0), (3, 2.0)]]
    return firing(chinese + german, [0] * 4 + [1] * 8, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5])


def test_a_perfect_feature_scores_one_everywhere() -> None:
    scores = measure.score(planted())

    assert scores.of("Chinese", 1) == {
        "precision": 1.0, "recall": 1.0, "strong_precision": 1.0, "window_auroc": 1.0,
    }  # fmt: skip


def test_a_feature_that_always_fires_says_nothing() -> None:
    scores = measure.score(planted())

    assert scores.of("Chinese", 2)["window_auroc"] == 0.5
    assert scores.of("Chinese", 2)["precision"] == 0.5


def test_precision_does_not_depend_on_how_frequent_a_concept_is() -> None:
    rare = firing([[(1, 1.0)]] + [[(1, 1.0)]] * 9, [0] + [1] * 9, [0] + [1] * 9)

    precision = measure.balanced_precision(measure.rates(rare, rare.values > 0))

    assert precision[0, 1] == pytest.approx(0.5)


def test_recall_is_the_share_of_the_concepts_tokens() -> None:
    assert measure.score(planted()).of("German", 3)["recall"] == 0.125


def test_only_activations_near_the_maximum_are_strong() -> None:
    loud_and_faint = firing([[(1, 10.0)], [(1, 3.9)], [(1, 4.1)]], [0, 1, 0], [0, 0, 0])

    assert measure.strong(loud_and_faint)[:, 0].tolist() == [True, False, True]


def test_features_are_named_and_grouped_by_what_was_planted() -> None:
    scores = measure.score(planted())

    assert measure.steering_features(scores, "Chinese", 1) == [1]
    assert measure.group(scores, "Chinese", least_precision=0.5) == [1]


def test_rarely_strong_features_are_not_named() -> None:
    few = measure.score(planted())
    often = planted()
    often = Firing(
        often.values.repeat(10, 1), often.indices.repeat(10, 1), often.concepts.repeat(10),
        torch.arange(120) // 2, often.width, often.names,
    )  # fmt: skip

    assert measure.pure_features(few) == {}
    assert measure.pure_features(measure.score(often))[1] == ("Chinese", 1.0)
    assert measure.naming_features(measure.score(often), "Chinese", 1) == [1]


def test_a_planted_direction_is_the_most_aligned() -> None:
    generator = torch.Generator().manual_seed(0)
    directions = torch.linalg.qr(torch.randn(6, 6, generator=generator)).Q
    concepts = torch.arange(300) % 2
    x = torch.randn(300, 6, generator=generator) + 4 * concepts[:, None] * directions[:, 2]

    assert measure.aligned_features(x, concepts, 1, directions, count=1) == [2]


def test_a_feature_must_both_find_windows_and_be_pure_to_be_named() -> None:
    def table(*values: float) -> np.ndarray:
        return np.array([values])

    scores = Scores(
        ("Bible",), table(0, 0, 0), table(0, 0, 0), table(1.0, 0.85, 0.3),
        table(50, 50, 50), table(0.6, 0.98, 1.0),
    )  # fmt: skip

    assert measure.naming_features(scores, "Bible", 3) == [1, 2, 0]


def test_a_short_rest_of_a_context_joins_its_last_window() -> None:
    windows = measure.window_of_rows(rows=20, rows_per_context=10, size=4)

    assert windows.tolist() == [0] * 4 + [1] * 6 + [2] * 4 + [3] * 6


def test_window_auroc_agrees_with_counting_pairs() -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(200, 2, generator=generator).round(decimals=1)
    concepts = torch.randint(2, (200,), generator=generator)
    random = Firing(
        values, torch.tensor([[0, 1]]).repeat(200, 1), concepts, torch.arange(200), 2, ("a", "b")
    )

    found = measure.window_auroc(random)[0, 0]

    positive, negative = values[concepts == 0, 0], values[concepts == 1, 0]
    difference = positive[:, None] - negative
    pairs = (difference > 0).double() + 0.5 * (difference == 0).double()
    assert found == pytest.approx(float(pairs.mean()))


def test_explained_variance_is_one_for_a_copy_and_zero_for_the_mean() -> None:
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))

    assert measure.explained_variance(x, x) == 1.0
    assert measure.explained_variance(x, x.mean(0).expand_as(x)) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("value", "must_be", "passed"),
    [(0.91, "above", True), (0.9, "above", False), (0.1, "below", True), (np.nan, "above", False)],
)
def test_a_gate_holds_only_on_its_side_of_the_bound(
    value: float, must_be: str, passed: bool
) -> None:
    assert Gate("claim", 1, value, must_be, 0.9).passed is passed
