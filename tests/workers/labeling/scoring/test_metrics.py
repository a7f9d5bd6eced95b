import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score, f1_score

from scopebook_workers.labeling.scoring.metrics import (
    Confusion,
    auprc,
    auroc,
    kappa,
    pearson,
    wilson,
)


def test_figures_of_counts_are_those_of_the_library() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        truth = rng.random(40) < 0.3
        truth[:2] = True, False
        said = rng.random(40) < 0.5

        counted = Confusion.of(truth.tolist(), said.tolist())

        assert counted.balanced_accuracy == pytest.approx(balanced_accuracy_score(truth, said))
        assert counted.f1 == pytest.approx(f1_score(truth, said, zero_division=0))
        assert counted.accuracy == pytest.approx((truth == said).mean())


@pytest.mark.parametrize(("successes", "n"), [(0, 5), (5, 5), (7, 20), (38, 40)])
def test_wilsons_interval_is_that_of_the_library(successes: int, n: int) -> None:
    expected = binomtest(successes, n).proportion_ci(method="wilson")

    assert wilson(successes, n) == pytest.approx((expected.low, expected.high))


def test_nothing_counted_tells_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


def test_forty_cases_are_known_to_about_thirteen_hundredths() -> None:
    low, high = Confusion(tp=15, fn=5, fp=5, tn=15).balanced_interval()

    assert (high - low) / 2 == pytest.approx(0.13, abs=0.01)


@pytest.mark.parametrize(("recall", "specificity"), [(0.6, 0.9), (0.8, 0.8), (0.95, 0.7)])
def test_intervals_hold_the_true_figure_nineteen_times_in_twenty(
    recall: float, specificity: float
) -> None:
    rng = np.random.default_rng(0)
    balanced = (recall + specificity) / 2
    f1 = 2 * recall / (2 * recall + (1 - recall) + (1 - specificity))
    held = np.zeros(2)
    for _ in range(2_000):
        tp, tn = int(rng.binomial(20, recall)), int(rng.binomial(20, specificity))
        counted = Confusion(tp=tp, fn=20 - tp, tn=tn, fp=20 - tn)
        for place, (interval, truth) in enumerate(
            ((counted.balanced_interval(), balanced), (counted.f1_interval(), f1))
        ):
            held[place] += interval[0] <= truth <= interval[1]

    assert (held / 2_000 >= 0.93).all()


def _plain_auroc(truth: np.ndarray, values: np.ndarray) -> float:
    pairs = [(a, b) for a in values[truth] for b in values[~truth]]
    return sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs) / len(pairs)


def _plain_auprc(truth: np.ndarray, values: np.ndarray) -> float:
    total = 0.0
    before = 0.0
    for threshold in sorted(set(values.tolist()), reverse=True):
        taken = values >= threshold
        recall = truth[taken].sum() / truth.sum()
        total += (recall - before) * truth[taken].mean()
        before = recall
    return total


def test_rankings_agree_with_counting_every_pair_and_threshold() -> None:
    rng = np.random.default_rng(1)
    truth = rng.random(30) < 0.4
    values = rng.integers(0, 8, 30) / 8 + truth * 0.2  # with ties

    assert auroc(truth, values) == pytest.approx(_plain_auroc(truth, values))
    assert auprc(truth, values) == pytest.approx(_plain_auprc(truth, values))


def test_figures_without_a_class_are_those_of_chance() -> None:
    none = np.zeros(4, dtype=bool)

    assert auroc(none, np.arange(4.0)) == 0.5
    assert auprc(none, np.arange(4.0)) == 0.0


def test_correlation_and_agreement_are_those_of_the_libraries() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.random(30), rng.random(30)

    assert pearson(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert pearson(a, np.ones(30)) == 0.0
    assert kappa(a > 0.4, b > 0.6) == pytest.approx(cohen_kappa_score(a > 0.4, b > 0.6))
    assert kappa(a > 2, b > 2) == 1.0
