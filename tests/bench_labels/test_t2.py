"""T2 in small: 60 features instead of 150.

The mean of 60 is uncertain by 0.05, so the gate is relaxed by as much.
"""

from benchmarks.labels import t2

UNCERTAIN = 0.05


def test_one_word_of_several_modules_comes_apart_as_often_as_claimed() -> None:
    [gate] = t2.run(size=0.4).gates

    assert gate.value >= gate.bound - UNCERTAIN
