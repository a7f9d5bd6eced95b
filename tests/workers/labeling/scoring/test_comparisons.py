import numpy as np
import pytest
from tests.workers.labeling.scoring.judging import make_passage

from scopebook.errors import InvalidInputError
from scopebook.judges import require_other_judge, same_judge
from scopebook_workers.labeling.scoring.cases import Case, JudgedLabel
from scopebook_workers.labeling.scoring.cost import cost_of, estimate_scoring
from scopebook_workers.labeling.scoring.detection import detection_requests
from scopebook_workers.labeling.scoring.drift import drift_of
from scopebook_workers.labeling.scoring.embedding import score_embedding
from scopebook_workers.labeling.scoring.null import null_warning, permuted
from scopebook_workers.labeling.scoring.resolution import crossed_resolution, sense_resolution
from scopebook_workers.labeling.scoring.score import Predictions


def make_cases(n: int = 40) -> list[Case]:
    words = [f"w{i}" for i in range(60)]
    return [
        Case(passage=make_passage(i, words), center=30, fires=i % 2 == 0, hard=i % 4 == 1)
        for i in range(n)
    ]


def test_a_label_near_its_windows_ranks_them_first() -> None:
    cases = make_cases()
    label = np.asarray([1, 0], np.float32)
    windows = np.asarray([[1, 0.1] if case.fires else [0.1, 1] for case in cases], np.float32)

    score = score_embedding("f", label, windows, cases, embedder="some")

    assert (score.value, score.f1, score.details["auroc"]) == (1.0, 1.0, 1.0)
    assert (score.null_value, score.details["prevalence"]) == (0.5, 0.5)
    assert score.model_requested == "some"


def test_a_label_that_says_nothing_ranks_by_chance_and_wins_no_tie() -> None:
    cases = make_cases()

    score = score_embedding(
        "f", np.ones(2, np.float32), np.ones((40, 2), np.float32), cases, embedder="some"
    )

    assert (score.value, score.details["auroc"], score.f1) == (0.5, 0.5, 0.0)


def test_labelings_are_compared_by_what_they_predict() -> None:
    cases = make_cases(8)
    said = np.asarray([case.fires for case in cases], dtype=np.int8)
    other = said.copy()
    other[0], other[1] = 0, -1

    drift = drift_of(
        np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32)[:1],
        first=Predictions(said=said), second=Predictions(said=other), cases=cases,
    )  # fmt: skip

    assert drift.cosine == pytest.approx(0.75)
    assert (drift.n, drift.agreement) == (7, pytest.approx(6 / 7))
    assert drift.f1_change == pytest.approx(6 / 7 - 1)


def test_labelings_on_different_sets_are_not_compared() -> None:
    one = np.ones((1, 2), np.float32)

    with pytest.raises(InvalidInputError, match="one held-out set"):
        drift_of(
            one, one, first=Predictions(said=np.ones(3, np.int8)),
            second=Predictions(said=np.ones(4, np.int8)), cases=make_cases(4),
        )  # fmt: skip
    assert drift_of(one, one).agreement is None


@pytest.mark.parametrize(
    ("labeler", "judge"),
    [
        ("gpt-4o-mini-2024-07-18", "openai/gpt-4o-mini"),
        ("/models/Qwen3-32B/", "Qwen/Qwen3-32B"),
        ("qwen3-32b.gguf", "Qwen3-32B"),
    ],
)
def test_a_judge_that_worded_the_labels_is_refused_by_any_of_its_names(
    labeler: str, judge: str
) -> None:
    with pytest.raises(InvalidInputError, match="name another model as judge"):
        require_other_judge([labeler], judge)
    warning = require_other_judge([labeler], judge, allow_same=True)
    assert warning is not None
    assert "too high" in warning


def test_another_size_is_another_judge() -> None:
    assert same_judge(["Qwen/Qwen3-32B"], "Qwen/Qwen3-8B") is None
    assert require_other_judge([], "anything") is None


def test_no_permuted_label_is_its_own_or_an_equal_one_and_each_is_given_once() -> None:
    labels = [JudgedLabel(text=f"l{i // 2}") for i in range(30)]

    pairs = permuted(labels, key="run")

    assert len(pairs) == 30
    assert sorted(j for _, j in pairs) == list(range(30))
    assert all(labels[i] != labels[j] for i, j in pairs)


def test_labels_that_are_all_equal_have_no_null() -> None:
    assert permuted([JudgedLabel(text="x")] * 5, key="run") == []
    assert permuted([JudgedLabel(text="x")], key="run") == []


def test_a_null_far_from_a_half_is_said() -> None:
    assert null_warning(0.52, 200) is None
    assert "0.57 where 0.50" in (null_warning(0.57, 200) or "")
    assert null_warning(0.57, 10) is None


def test_an_estimate_by_a_sample_is_what_the_requests_count() -> None:
    cases, label = make_cases(), JudgedLabel(text="words", description="Words with numbers.")
    labels = [detection_requests(str(i), label, cases) for i in range(6)]

    whole = cost_of([request for requests in labels for request in requests])
    estimate = estimate_scoring(6, fuzzed=0, null=0, sample=labels[:2])

    assert estimate.requests == whole.requests == 48
    assert estimate.tokens_in == pytest.approx(whole.tokens_in, rel=0.01)
    assert estimate.tokens_out == whole.tokens_out


def test_an_estimate_grows_with_the_labels_and_names_the_cached_part() -> None:
    one, ten = (estimate_scoring(n * 1_000, null=0, fuzzed=0) for n in (1, 10))

    assert ten.tokens_in == 10 * one.tokens_in
    assert 0.6 < one.tokens_cached / one.tokens_in < 0.9
    assert one.requests == 8_000


def make_features(n: int, spread: float) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    features = []
    for _ in range(n):
        vectors = rng.normal(size=64) + spread * rng.normal(size=(40, 64))
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        features.append(unit.astype(np.float32))
    return features


def test_features_far_apart_are_resolved_and_a_threshold_of_nothing_splits_them_all() -> None:
    clear = sense_resolution(make_features(20, 0.3), 0.5)
    blurred = sense_resolution(make_features(20, 0.3), 1.5)

    assert (clear.split_rate, clear.conflated_ari) == (0.0, 1.0)
    assert (clear.n_single, clear.n_pairs) == (20, 190)
    assert (blurred.split_rate, blurred.conflated_ari, blurred.parted_rate) == (0.0, 0.0, 0.0)


def test_one_feature_has_no_resolution() -> None:
    with pytest.raises(InvalidInputError, match="two features with 8 examples"):
        sense_resolution(make_features(1, 0.3), 0.5)


def test_resolution_is_crossed_only_where_halves_can_tell() -> None:
    clear = crossed_resolution(make_features(40, 0.3))
    assert clear is not None
    assert clear.n_single == 20
    assert clear.split_rate <= 0.1
    assert clear.conflated_ari > 0.9

    assert crossed_resolution(make_features(19, 0.3)) is None
