"""T0 in small: a quarter of the features; no gate is relaxed."""

from benchmarks.labels import t0


def test_senses_of_simulated_windows_are_found() -> None:
    result = t0.run(size=0.25)

    assert {gate.name: gate.value for gate in result.gates if not gate.holds} == {}
