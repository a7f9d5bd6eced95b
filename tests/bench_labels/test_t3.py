"""T3 in small: 60 features of a kind instead of 150; no gate is relaxed."""

from benchmarks.labels import t3


def test_planted_words_are_among_the_first_keywords() -> None:
    result = t3.run(size=0.4)

    assert {gate.name: gate.value for gate in result.gates if not gate.holds} == {}
