"""How many features have a label, counted anew only as often as that costs little."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from sqlalchemy.orm import Session

from scopebook.visibility import Hidden, leave_out
from scopebook_api import label_counts
from scopebook_api.label_counts import LabelCounts


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Time that passes by itself only while somebody counts: 0.2 s, and one more each time."""
    at = SimpleNamespace(now=100.0, counted=0)

    def count(_: Session) -> int:
        at.now += 0.2
        at.counted += 1
        return int(at.counted)

    monkeypatch.setattr(label_counts, "count_labelled", count)
    monkeypatch.setattr(label_counts, "time", SimpleNamespace(monotonic=lambda: at.now))
    return at


def test_a_count_is_good_for_two_hundred_times_as_long_as_it_took(clock: SimpleNamespace) -> None:
    counts = LabelCounts()
    assert counts.labelled(Session()) == 1
    clock.now += 39.9
    assert counts.labelled(Session()) == 1
    clock.now += 0.2
    assert counts.labelled(Session()) == 2


def test_who_sees_less_has_a_count_of_their_own(clock: SimpleNamespace) -> None:
    counts = LabelCounts()
    shut_out = Session()
    leave_out(shut_out, Hidden([7], ["secret"], [70]))
    assert [counts.labelled(Session()), counts.labelled(shut_out)] == [1, 2]
    assert [counts.labelled(shut_out), counts.labelled(Session())] == [2, 1]


def test_while_somebody_counts_others_get_the_last_count(
    clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = LabelCounts()
    counts.labelled(Session())
    clock.now += 60
    count: Callable[[Session], int] = label_counts.count_labelled
    meanwhile: list[int] = []

    def slow(session: Session) -> int:
        meanwhile.append(counts.labelled(session))
        return count(session)

    monkeypatch.setattr(label_counts, "count_labelled", slow)
    assert counts.labelled(Session()) == 2
    assert meanwhile == [1]
