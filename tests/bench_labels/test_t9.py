"""T9 in small: that it measures, and that the bill is right; how fast, no timed test says."""

import pytest
from benchmarks.labels import t9
from benchmarks.labels.cost import BOUND, byte_pairs, told_and_counted, wordpiece


def test_the_tier_words_each_feature_once_measures_a_rate_and_tells_the_bill() -> None:
    result = t9.run(size=0.05)

    labels, once, answers, *bill = result.gates
    assert (labels.name, labels.bound) == ("labels/s, database included", 150.0)
    assert labels.value > 0
    assert answers.value > 0
    assert once.holds
    assert {gate.name: gate.value for gate in bill if not gate.holds} == {}


def test_the_cost_of_32k_features_is_within_15_percent_of_what_a_tokenizer_counts() -> None:
    told = told_and_counted(48, wordpiece())

    assert told.told.calls == 32_768
    assert abs(told.off) <= BOUND
    assert abs(told.off_in_dollars) <= BOUND


def test_a_models_own_tokenizer_is_closer_than_the_guess_where_it_is_at_hand() -> None:
    guessed = told_and_counted(32, byte_pairs())
    counted = told_and_counted(32, byte_pairs(), guess=byte_pairs())

    assert abs(counted.off) <= BOUND < abs(guessed.off)


@pytest.mark.parametrize("characters", [2, 4, 8])
def test_what_a_server_has_counted_sets_the_guess_right_however_it_counts(
    characters: int,
) -> None:
    told = told_and_counted(32, lambda text: len(text) // characters, after_trial=True)

    assert abs(told.off) <= BOUND
