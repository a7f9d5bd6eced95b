"""Memory of a long run: caches that fill are flat afterwards, and a leak is not."""

import numpy as np
import pytest
from benchmarks.load import report
from benchmarks.load.watching import Memory
from numpy.typing import NDArray

#: A sample each ten seconds, for twenty minutes.
AT = np.arange(0, 1200, 10.0)
MINUTES = AT / 60
Floats = NDArray[np.float64]


def missed(grown: Floats, *, scatter: float = 0.2, at: Floats = AT) -> list[str]:
    """Judge an API of 380 MB that grows by so many MB, with what is used for a moment beside."""
    used = 380 + grown + np.random.default_rng(1).normal(0, scatter, len(at))
    seen = Memory([], at=at.tolist(), of={"API": (used * 1e6).tolist()})
    return report.memory(seen, [{"API": 375e6}, {"API": 400e6}])


@pytest.mark.parametrize(
    "grown",
    [
        np.zeros_like(AT),
        30 * np.minimum(MINUTES / 5, 1),
        60 * np.minimum(MINUTES / 9.5, 1),
        30 * (1 - np.exp(-MINUTES / 2)),
        20.0 * (MINUTES > 1),
        20.0 * (MINUTES > 9),
        2.0 * (MINUTES > 12),
        -5.0 * (MINUTES > 10),
    ],
    ids=["flat", "ramp", "long ramp", "filling", "step", "late step", "arena", "given back"],
)
def test_what_fills_at_the_beginning_and_stays_is_flat(
    grown: Floats, capsys: pytest.CaptureFixture[str]
) -> None:
    assert missed(grown) == []
    assert "| API | 375 | 400 | 380 |" in capsys.readouterr().out


@pytest.mark.parametrize("rate", [0.3, 0.5, 2.0])
@pytest.mark.parametrize("scatter", [0.0, 0.2, 1.0])
def test_a_leak_is_not(rate: float, scatter: float) -> None:
    [said] = missed(rate * MINUTES, scatter=scatter)

    assert said.startswith("memory of API grows by ")


@pytest.mark.parametrize("step", [0.5, 1.0])
def test_a_leak_is_seen_after_caches_have_filled_and_in_the_steps_of_an_allocator(
    step: float,
) -> None:
    caches = 30 * np.minimum(MINUTES / 5, 1)

    assert missed(caches + step * np.floor(0.4 * MINUTES / step))


def test_memory_that_scatters_too_much_is_told_to_and_is_not_called_flat() -> None:
    [said] = missed(np.zeros_like(AT), scatter=8.0)

    assert "scatters too much" in said


def test_a_run_that_is_too_short_tells_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    short = AT[AT <= 120]

    assert missed(10 * short / 60, at=short) == []
    assert "too short to tell" in capsys.readouterr().out


def test_a_part_that_has_no_process_is_flat() -> None:
    seen = Memory([], at=AT.tolist(), of={"broker": [0.0] * len(AT)})

    assert report.memory(seen, [{"broker": 0.0}]) == []
