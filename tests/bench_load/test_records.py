"""What the load tool has noted is read as times from when each request was due."""

import json
import math
from pathlib import Path

import pytest
from benchmarks.load.tool import SETTLE_S, Answers, _read, percentile, planned_for

BEGIN = 1_700_000_000.0


def write(path: Path, *rows: tuple[str, str, float, float, float, int]) -> Path:
    """Write records whose moments are seconds since the run began."""
    lines = [
        json.dumps([kind, what, *(BEGIN + at for at in moments), status])
        for kind, what, *moments, status in rows
    ]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.fixture
def answers(tmp_path: Path) -> Answers:
    after = SETTLE_S
    records = write(
        tmp_path / "records.jsonl",
        ("search", "search", 0.0, 0.0, 9.0, 500),
        ("search", "search", after, after + 0.01, after + 0.25, 200),
        ("page", "feature", after + 1, after + 1.0, after + 1.1, 200),
        ("page", "status", after + 1, after + 1.0, after + 1.3, 503),
        ("whole page", "all but live", after + 1, after + 1, after + 1.3, 200),
        ("inspect", "inspect", after + 2, after + 2, after + 32, 0),
    )
    return _read(records, 2.0, 4.0)


def test_times_count_from_when_a_request_was_due_and_from_when_all_is_warm(
    answers: Answers,
) -> None:
    assert answers.ms("search") == pytest.approx([250])
    assert answers.sent[0].late_ms == pytest.approx(10, abs=0.01)
    assert answers.ms("page") == pytest.approx([100, 300])


def test_a_whole_page_is_timed_and_is_no_request_of_its_own(answers: Answers) -> None:
    assert answers.ms("whole page") == pytest.approx([300])
    assert len(answers.requests) == 4
    assert len(answers.ms()) == 4
    assert answers.per_second == 1.0


def test_an_answer_that_is_none_or_not_of_200_is_an_error(answers: Answers) -> None:
    assert answers.errors == 2


def test_a_load_tool_that_was_late_itself_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [("search", "search", at, at + 0.2, at + 0.3, 200) for at in (0.0, 20.0, 21.0)]

    _read(write(tmp_path / "records.jsonl", *rows), 1.0, 3.0)

    assert "The load tool itself was late: 99 of 100 began within 200 ms." in (
        capsys.readouterr().err
    )


def test_a_percentile_is_what_so_many_of_a_hundred_do_not_exceed() -> None:
    values = [float(value) for value in range(1, 1000)]

    assert percentile(values, 50) == pytest.approx(500)
    assert percentile(values, 95) == pytest.approx(950)
    assert percentile(values[::-1], 99) == pytest.approx(990)
    assert math.isnan(percentile([3.0], 95))
    assert math.isnan(percentile([], 95))


def test_more_are_planned_than_come() -> None:
    assert planned_for(2.0, 60.0) > 2.0 * (60.0 + SETTLE_S)
