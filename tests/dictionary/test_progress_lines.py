"""Long work in the terminal: what a line says, and what Ctrl-C leaves behind."""

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from scopebook import progress_lines
from scopebook.console import what_becomes_of
from scopebook.embedded.folder import Holder
from scopebook.job_reports import JobReport
from scopebook.job_stages import StageReport
from scopebook.jobs import COLLECT_SHARD, LABEL_SAE, MERGE_SAE
from scopebook.progress_lines import duration, line, showing, speed, stage_done, state_word


def report(**values: Any) -> JobReport:
    """A job in the middle of its collection, unless said otherwise."""
    stages = [
        StageReport(stage=0, title="Cut the corpus", steps=1, states={"done": 1}),
        StageReport(
            stage=2,
            title="Collect the shards",
            kinds=[COLLECT_SHARD],
            steps=7,
            states={"done": 4, "running": 3},
        ),
    ]
    middle: dict[str, Any] = {
        "id": 5,
        "kind": "collect",
        "title": "Collect X over Y",
        "state": "running",
        "progress": 0.43,
        "detail": "Collect shard 5 of 7: 41,984 of 100,000 tokens",
        "error": None,
        "created_at": datetime.now(UTC),
        "started_at": None,
        "finished_at": None,
        "tokens_done": 441_984,
        "tokens_total": 700_000,
        "tokens_per_s": 5210.0,
        "seconds_left": 125.0,
        "steps_total": 8,
        "runs": [],
        "stages": stages,
    }
    return JobReport(**middle | values)


def test_a_line_says_stage_speed_and_time_left() -> None:
    assert line(report()) == (
        "Job 5, Collect X over Y: 43%; stage 2 of 2, Collect the shards (4 of 7); "
        "Collect shard 5 of 7: 41,984 of 100,000 tokens; 5,210 tokens/s, 2 min 5 s left"
    )


def test_what_is_not_known_is_left_out() -> None:
    said = line(report(detail=None, tokens_per_s=None, seconds_left=None))

    assert said.endswith("Collect the shards (4 of 7)")


def test_a_failed_job_says_why() -> None:
    over = report(state="failed", detail=None, error="It broke.", seconds_left=None)

    assert line(over) == (
        "Job 5, Collect X over Y: failed in stage 2 of 2, Collect the shards (4 of 7); "
        "5,210 tokens/s on average; It broke."
    )


def test_a_job_that_is_over_says_the_stage_it_ended_in_and_no_share() -> None:
    over, done = report(state="cancelled"), report(state="done", progress=1.0, stages=[])

    assert (stage_done(over), stage_done(done)) == ("ended in stage 2 of 2", "100%")
    assert stage_done(report()) == "43%"


def test_steps_of_a_job_that_is_over_were_not_started_rather_than_queued() -> None:
    later = StageReport(stage=3, title="Later", kinds=[MERGE_SAE], steps=2)
    collecting = report().stages[1]

    assert state_word(report(state="failed"), collecting, "queued") == "not started"
    assert state_word(report(state="cancelled"), collecting, "cancelled") == "cancelled"
    assert state_word(report(state="cancelled"), later, "cancelled") == "not started"
    assert state_word(report(state="failed"), collecting, "done") == "done"
    assert state_word(report(), later, "queued") == "queued"


@pytest.mark.parametrize(("kind", "unit"), [(MERGE_SAE, "features"), (LABEL_SAE, "features")])
def test_a_stage_that_reads_no_tokens_shows_no_tokens_per_second(kind: str, unit: str) -> None:
    later = StageReport(stage=3, title="Later", kinds=[kind], steps=2, states={"running": 2})
    collected = StageReport(stage=2, title="C", kinds=[COLLECT_SHARD], steps=1, states={"done": 1})
    running = report(
        stages=[collected, later], detail=f"Layer 1: 512 of 1,024 {unit}", seconds_left=None
    )

    assert speed(running) == ""
    assert line(running).endswith(f"stage 2 of 2, Later (0 of 2); Layer 1: 512 of 1,024 {unit}")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59.6, "1 min 0 s"), (125, "2 min 5 s"), (7500, "2 h 5 min")],
)
def test_durations_are_said_as_people_read_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_where_no_terminal_is_a_line_comes_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = (100.0, 100.3, 109.9, 110.1, 112.0, 121.0)
    written = io.StringIO()

    with showing(Console(file=written)) as show:
        for moment in moments:
            monkeypatch.setattr(progress_lines.time, "monotonic", lambda moment=moment: moment)
            show(report())

    assert written.getvalue().count("\n") == 3


def test_a_terminal_gets_a_bar_with_stage_and_speed() -> None:
    written = io.StringIO()

    with showing(Console(file=written, force_terminal=True, width=160)) as show:
        show(report())

    assert "Collect the shards (4 of 7)" in written.getvalue()
    assert "5,210 tokens/s, 2 min 5 s left" in written.getvalue()


def test_what_is_left_goes_on_in_a_running_instance() -> None:
    for holder in (Holder(pid=1, kind="up"), None):
        sentence = what_becomes_of(5, holder)

        assert "goes on in the running instance" in sentence
        assert "scopebook jobs cancel 5" in sentence


def test_what_is_left_with_its_instance_goes_on_at_the_next_start() -> None:
    sentence = what_becomes_of(5, Holder(pid=1, kind="command"))

    assert "goes on at the next start" in sentence
    assert "scopebook jobs cancel 5" in sentence
