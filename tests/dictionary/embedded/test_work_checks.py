"""What `scopebook doctor` finds in the database: each wrong thing, and what mends it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from sqlalchemy import text
from sqlalchemy.orm import Session

from makers import make_embedding, make_label, make_release
from people import make_account, make_token
from scopebook.commands import doctor as command
from scopebook.commands.doctor import doctor
from scopebook.commands.worker_health import worker_health
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.embedded import work_checks as looks
from scopebook.embedded.checks import Check
from scopebook.errors import UnavailableError
from scopebook.heartbeats import Beat, note_beat, note_end
from scopebook.jobs import COLLECT_SHARD, MERGE_SAE
from scopebook.settings import Settings, settings, use_settings
from scopebook.steps import NewStep, claim_step, create_job, fail_step


@pytest.fixture(autouse=True)
def chosen(database_url: str, tmp_path: Path) -> Iterator[Settings]:
    before = settings()
    use_settings(Settings(database_url=database_url, data_dir=tmp_path))
    yield settings()
    use_settings(before)


def found(name: str) -> Check:
    checks = {check.name: check for check in looks.work_checks(settings())}
    return checks[name]


def beat(session: Session, *queues: str, consuming: bool = True, host: str = "box") -> None:
    note_beat(
        session,
        Beat(
            name=f"{host}:{'-'.join(queues)}",
            host=host,
            pid=1,
            queues=queues,
            consuming=consuming,
            gauges={},
            gpus=[],
        ),
    )


def ask_for_work(session: Session, kind: str = COLLECT_SHARD) -> int:
    return create_job(session, "t", "Test", [NewStep(kind=kind, stage=0, title="t")]).id


def test_an_instance_without_work_is_fine_and_says_who_is_not_there() -> None:
    checks = looks.work_checks(settings())

    assert {check.state for check in checks} == {"fine", "note"}
    assert found("Queue: gpu").says == "no worker reads from it, and nothing waits there"
    assert "nobody can inspect" in found("Inference workers").says


def test_a_queue_that_nobody_reads_from_is_named_with_the_worker_to_start(
    sessions: Sessions,
) -> None:
    with unit_of_work(sessions) as session:
        ask_for_work(session)
        beat(session, "cpu")
    check = found("Queue: gpu")
    with unit_of_work(sessions) as session:
        beat(session, "cpu", "gpu")

    assert check.state == "missing"
    assert check.says.startswith("1 steps wait, the oldest for 0 s")
    assert check.mend == "scopebook worker --queues gpu"
    assert found("Queue: gpu").state == "fine"


def test_steps_that_idle_workers_leave_are_stuck_and_those_of_busy_ones_are_not(
    sessions: Sessions,
) -> None:
    with unit_of_work(sessions) as session:
        beat(session, "gpu")
        for _ in range(2):
            ask_for_work(session)
        session.execute(text("UPDATE step SET created_at = now() - interval '2 minutes'"))
    stuck = found("Queue: gpu")
    with unit_of_work(sessions) as session:
        claim_step(session, COLLECT_SHARD, worker="w", lease_s=60, max_attempts=3)

    assert stuck.state == "missing"
    assert "none of 1 idle worker processes takes them" in stuck.says
    assert "scopebook sweep" in (stuck.mend or "")
    assert found("Queue: gpu").state == "fine"


def test_workers_that_lost_their_broker_or_fell_silent_are_named(sessions: Sessions) -> None:
    with unit_of_work(sessions) as session:
        beat(session, "gpu", host="silent")
        session.execute(text("UPDATE worker SET seen_at = now() - interval '1 hour'"))
    silent = found("Workers")
    with unit_of_work(sessions) as session:
        beat(session, "cpu", host="cut-off", consuming=False)

    assert silent.state == "note"
    assert "silent" in silent.says
    assert found("Workers").state == "missing"
    assert "cut-off" in found("Workers").says


def test_failed_jobs_are_named_with_what_shows_and_retries_them(sessions: Sessions) -> None:
    with unit_of_work(sessions) as session:
        job_id = ask_for_work(session, MERGE_SAE)
        claim = claim_step(session, MERGE_SAE, worker="w", lease_s=60, max_attempts=3)
        assert claim is not None
        fail_step(session, claim, "The disk is full.", again=False)

    check = found("Failed jobs")

    assert check.state == "note"
    assert check.mend == f"scopebook jobs show {job_id}, then scopebook jobs retry {job_id}"


def test_artifacts_that_take_no_files_are_named(tmp_path: Path) -> None:
    assert found("Artifacts").state == "fine"
    assert not list((tmp_path / "artifacts").iterdir())
    (tmp_path / "artifacts").rmdir()
    (tmp_path / "artifacts").write_text("")

    check = found("Artifacts")

    assert check.state == "missing"
    assert f"{tmp_path / 'artifacts'} takes no files" in check.says


def test_labels_with_vectors_of_another_embedder_are_named(sessions: Sessions) -> None:
    with unit_of_work(sessions) as session:
        sae, _ = make_release(session, "SAE-Res-One")
        label = make_label(session, sae, 1, "rivers")
    without = found("Label vectors")
    with unit_of_work(sessions) as session:
        make_embedding(session, label, [1.0, 0.0])
        session.execute(text("UPDATE embedder SET name = 'another', artifact = '/x'"))
    another = found("Label vectors")
    with unit_of_work(sessions) as session:
        session.execute(text("UPDATE embedder SET name = 'all-MiniLM-L6-v2'"))

    assert without.state == "note"
    assert another.state == "missing"
    assert another.says.startswith("1 labels of SAE-Res-One have none of all-MiniLM-L6-v2")
    assert another.mend == "scopebook map SAE-Res-One"
    assert found("Label vectors").state == "fine"


@pytest.mark.parametrize(("apart", "state"), [(0.0, "fine"), (10.0, "note"), (-3600.0, "missing")])
def test_clocks_that_differ_are_named(
    monkeypatch: pytest.MonkeyPatch, apart: float, state: str
) -> None:
    now = looks.time.time
    monkeypatch.setattr(looks, "time", type("Clock", (), {"time": lambda: now() + apart}))

    assert found("Clocks").state == state


def test_tokens_that_end_soon_are_named_and_others_are_not(sessions: Sessions) -> None:
    with unit_of_work(sessions) as session:
        make_account(session, "ada")
        make_token(session, "ada")
    soon = found("Tokens")
    with unit_of_work(sessions) as session:
        session.execute(text("UPDATE api_token SET expires_at = now() + interval '30 days'"))

    assert soon.state == "note"
    assert soon.says.startswith("'test' of ada ends on 20")
    assert found("Tokens").state == "fine"


def test_doctor_ends_with_one_where_work_waits_for_nobody(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "machine_checks", lambda _: [])
    doctor(as_json=True)
    assert json.loads(capsys.readouterr().out)["fine"]
    with unit_of_work(sessions) as session:
        ask_for_work(session)

    with pytest.raises(typer.Exit) as ended:
        doctor()

    assert ended.value.exit_code == 1
    assert "mend it: scopebook worker --queues gpu" in capsys.readouterr().out


def healthy(capsys: pytest.CaptureFixture[str], *queues: str) -> str | None:
    """Return why the worker is not well, or None."""
    code = 0
    try:
        worker_health(queue=list(queues), host="box", as_json=True)
    except typer.Exit as ended:
        code = ended.exit_code
    said = json.loads(capsys.readouterr().out)
    assert said["healthy"] == (code == 0)
    reason: str | None = said["says"]
    return reason


def test_a_host_tells_whether_its_worker_lives_and_reads(
    sessions: Sessions, capsys: pytest.CaptureFixture[str]
) -> None:
    with unit_of_work(sessions) as session:
        beat(session, "gpu", host="another")
    assert "none ever was" in (healthy(capsys) or "")
    with unit_of_work(sessions) as session:
        beat(session, "gpu")
    assert healthy(capsys) is None
    assert healthy(capsys, "gpu") is None
    told = healthy(capsys, "cpu", "llm", "live") or ""
    assert "and not from cpu, llm, live" in told
    assert "start one by `scopebook worker --queues cpu,llm`" in told
    assert "by `scopebook worker --queues live`" in (healthy(capsys, "live") or "")
    with unit_of_work(sessions) as session:
        beat(session, "gpu", consuming=False)
    assert "is not in touch with its broker: it has just started, or" in (healthy(capsys) or "")
    with unit_of_work(sessions) as session:
        session.execute(text("UPDATE worker SET seen_at = now() - interval '1 minute'"))
    assert "the last was seen at" in (healthy(capsys) or "")
    with unit_of_work(sessions) as session:
        note_end(session, "box:gpu")
    assert "none ever was" in (healthy(capsys) or "")


def test_without_a_database_nobody_knows_of_workers(tmp_path: Path) -> None:
    use_settings(Settings(database_url="postgresql+psycopg://x@127.0.0.1:1/x", data_dir=tmp_path))
    with pytest.raises(UnavailableError, match="does not say whether the worker lives"):
        worker_health()
    use_settings(Settings(data_dir=tmp_path))
    with pytest.raises(UnavailableError, match="No database is set"):
        worker_health()
