"""T5 in small: 81 features instead of all; no gate is relaxed."""

from benchmarks.labels import t5


def test_features_are_found_by_what_their_labels_mean() -> None:
    result = t5.run(size=0.18)

    assert {gate.name: gate.value for gate in result.gates if not gate.holds} == {}
