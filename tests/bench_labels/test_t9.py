"""T9 in small: that it measures; how fast the client is, the benchmark says and no timed test."""

from benchmarks.labels import t9


def test_the_tier_measures_a_rate() -> None:
    result = t9.run(size=0.05)

    [gate] = result.gates
    assert (gate.name, gate.bound) == ("answers/s", 150.0)
    assert gate.value > 0
