"""T10 in small: 16,000 tokens instead of 160,000.

Whether its gates hold is for the whole tier to say; here, that real features are measured.
"""

from benchmarks.labels import t10
from benchmarks.labels.real_features import EXAMPLES, demo_features


def test_real_features_have_examples_that_fire_in_text() -> None:
    features = demo_features(tokens=16_000)

    assert len(features) > 100
    for feature in features:
        assert len(feature.firings) == EXAMPLES
        assert len({firing.passage.id for firing in feature.firings}) == EXAMPLES
        for firing in feature.firings:
            assert firing.positions.min() > 0
            assert firing.peak in firing.positions
            assert firing.positions.max() < len(firing.passage.begins)


def test_sense_resolution_is_measured_on_them() -> None:
    result = t10.run(size=0.1)

    assert [0 <= gate.value <= 1 for gate in result.gates] == [True, True]
