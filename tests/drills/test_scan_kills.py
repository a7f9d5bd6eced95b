"""A scan whose worker is killed with SIGKILL ends with what an undisturbed scan finds."""

import signal
from pathlib import Path

from sqlalchemy import select
from tests.drills.workers import LoneWorker, until
from tests.tiny_collections import ask_for_collection, do_all_steps, make_tiny
from tests.tiny_scans import ask_for_scan, do_scan_steps, scan_of

from scopebook.artifacts import list_artifacts, open_artifact
from scopebook.db.jobs import Job, Step
from scopebook.db.scan_tables import Scan
from scopebook.db.sessions import Sessions
from scopebook.jobs import PLAN_SCAN, SCAN_SHARD, TOKENISE_CORPUS
from scopebook.settings import settings, use_settings
from scopebook_workers.claims import work_off

RECORDS = [{"text": f"the cat number {i} ran to the dog; 中文 中国 {i}"} for i in range(12)]


def results(scan: Scan) -> list[object]:
    found: list[object] = [scan.summary]
    for name in (scan.features_artifact, scan.hits_artifact):
        with open_artifact(name or "") as file:
            found.append(file.read())
    return found


def test_a_killed_worker_costs_a_shard_and_changes_nothing(
    worker: Sessions, lone_worker: LoneWorker, tmp_path: Path
) -> None:
    make_tiny(worker, tmp_path)
    ask_for_collection(worker)
    do_all_steps()
    use_settings(settings().model_copy(update={"shard_tokens": 80}))
    undisturbed = ask_for_scan(worker, RECORDS)
    do_scan_steps()

    scan_id = ask_for_scan(worker, RECORDS)
    for kind in (TOKENISE_CORPUS, PLAN_SCAN):
        work_off(kind)
    lone_worker.start(kind=SCAN_SHARD, lease_s=1.0, pause_s=0.2)
    # The second report comes after a batch: some of the shard is counted by then.
    lone_worker.wait_inside(after=1)
    lone_worker.send(signal.SIGKILL)
    lone_worker.kill()
    lone_worker.start(kind=SCAN_SHARD, lease_s=60.0)
    _wait_for_shards(worker, scan_id)
    lone_worker.kill()
    do_scan_steps()

    scan = scan_of(worker, scan_id)
    assert results(scan) == results(scan_of(worker, undisturbed))
    with worker() as session:
        steps = session.scalars(
            select(Step).where(Step.job_id == scan.job_id, Step.kind == SCAN_SHARD)
        ).all()
        assert session.get_one(Job, scan.job_id).state == "done"
    assert len(steps) > 2
    assert max(step.fence for step in steps) > 1
    assert list_artifacts(f"scans/{scan_id}") == [scan.features_artifact, scan.hits_artifact]


def _wait_for_shards(sessions: Sessions, scan_id: int) -> None:
    def over() -> bool:
        with sessions() as session:
            job_id = session.get_one(Scan, scan_id).job_id
            left = select(Step.id).where(
                Step.job_id == job_id, Step.kind == SCAN_SHARD, Step.state != "done"
            )
            return session.scalar(left) is None

    # Another process has to load the model first.
    until(over)
