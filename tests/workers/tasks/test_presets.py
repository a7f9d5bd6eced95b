"""Presets done by real steps: exports that are the same bytes, tests that hold or fail, pruning."""

import hashlib
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from tests.tiny_collections import Tiny, ask_for_collection, do_all_steps, make_tiny, write_sae

from scopebook.accounts import local_actor
from scopebook.artifacts import open_artifact
from scopebook.db.jobs import Step
from scopebook.db.preset_tables import PresetExport, PresetReport
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.db.tables import Sae
from scopebook.jobs import EXPORT_PRESET, PRUNE_PRESET, TEST_PRESET
from scopebook.preset_drafts import DraftIntervention, Group, PresetDraft
from scopebook.preset_exports import request_exports, request_pruning, request_tests
from scopebook.preset_tests import PresetTest
from scopebook.presets import create_preset
from scopebook.steering import Intervention
from scopebook_workers.claims import work_off

TARGETS = ("transformers", "gguf", "peft", "interp-engine", "easysteer", "lm-eval", "vllm-lens")


@pytest.fixture
def tiny(worker: Sessions, tmp_path: Path) -> Tiny:
    made = make_tiny(worker, tmp_path)
    ask_for_collection(worker)
    do_all_steps()
    return made


def added(index: int, value: float, *, layer: int = 1, **more: Any) -> DraftIntervention:
    feature = f"Tiny-Model/{layer}-res-w1k-l0_8/{index}"
    intervention = Intervention(feature=feature, op="add", value=value, unit="raw")
    return DraftIntervention(intervention=intervention, **more)


def saved(worker: Sessions, *interventions: DraftIntervention, **more: Any) -> int:
    with unit_of_work(worker) as session:
        draft = PresetDraft(interventions=interventions, **more)
        return create_preset(session, local_actor(session), "tiny: preset, 1", draft).id


def exported(worker: Sessions, preset_id: int, *targets: str) -> dict[str, bytes]:
    """Return the zip file of each target, by a job of its own."""
    with unit_of_work(worker) as session:
        actor = local_actor(session)
        job_id = request_exports(session, actor, preset_id, 1, targets).id
    work_off(EXPORT_PRESET)
    with worker() as session:
        rows = session.scalars(select(PresetExport).where(PresetExport.job_id == job_id)).all()
        found = {}
        for row in rows:
            assert row.artifact is not None, session.scalars(select(Step.error)).all()
            with open_artifact(row.artifact) as file:
                found[row.target] = file.read()
            digest = hashlib.sha256(found[row.target]).hexdigest()
            assert (row.sha256, row.size_bytes) == (digest, len(found[row.target]))
    return found


def test_a_version_is_the_same_bytes_whenever_it_is_exported(worker: Sessions, tiny: Tiny) -> None:
    preset = saved(worker, added(5, 3.0), added(7, -2.0, layer=3))

    first, second = (exported(worker, preset, *TARGETS) for _ in range(2))

    assert set(first) == set(TARGETS)
    assert first == second
    with worker() as session:  # one probe for both
        probes = select(PresetReport).where(PresetReport.kind == "probe")
        assert len(session.scalars(probes).all()) == 1


def test_a_bundle_proves_itself_in_a_process_that_knows_nothing_of_scopebook(
    worker: Sessions, tiny: Tiny, tmp_path: Path
) -> None:
    preset = saved(worker, added(5, 3.0), added(7, -2.0, layer=3))
    packed = exported(worker, preset, "transformers")["transformers"]
    zipfile.ZipFile(io.BytesIO(packed)).extractall(tmp_path / "out")
    [folder] = (tmp_path / "out").iterdir()

    done = subprocess.run(
        [sys.executable, "verify.py", "--model", str(tiny.model_path)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )

    document = json.loads((folder / "preset.json").read_text())
    assert folder.name == f"tiny--preset--1-{document['id'][:8]}-v1-transformers"
    assert done.returncode == 0, done.stdout + done.stderr
    assert "STEERS AS MEASURED" in done.stdout
    assert document["name"] == "tiny: preset, 1"


def test_an_sae_file_that_was_exchanged_fails_the_export(
    worker: Sessions, tiny: Tiny, tmp_path: Path
) -> None:
    preset = saved(worker, added(5, 3.0))
    with unit_of_work(worker) as session:
        actor = local_actor(session)
        job_id = request_exports(session, actor, preset, 1, ["transformers"]).id
    (tmp_path / "other").mkdir()
    other = write_sae(tmp_path / "other", 1, seed=99)
    with worker.begin() as session:  # the rows still say what was registered
        session.scalars(select(Sae).where(Sae.layer == 1)).one().artifact = str(other)

    work_off(EXPORT_PRESET)

    with worker() as session:
        error = session.scalars(select(Step.error).where(Step.job_id == job_id)).one()
        assert "has the SHA-256" in (error or "")
        assert session.scalars(select(PresetExport.artifact)).all() == [None]


def of_test(name: str, **more: Any) -> PresetTest:
    asked: dict[str, Any] = {"prompts": ["the cat sat on"], "tokens": 5, "samples": 2}
    asked |= {"temperature": 1.0}
    return PresetTest(name=name, **asked | more)


def test_tests_hold_or_fail_by_what_is_written(worker: Sessions, tiny: Tiny) -> None:
    feature = "Tiny-Model/3-res-w1k-l0_8/3"
    tests = [
        of_test("moved", measure="divergence", expect="above", value=0.01),
        of_test("still", measure="divergence", expect="below", value=0.01),
        of_test("read", measure="activation", of=feature, expect="above", value=1.0),
        of_test("varied", measure="distinct", expect="above", value=-1),
        of_test("Han", measure="script", of="Han", expect="above", value=2),
        of_test("word", measure="text", of="the", expect="rises", value=2),
    ]
    preset = saved(worker, added(5, 8.0), tests=tests)
    with unit_of_work(worker) as session:
        job_id = request_tests(session, local_actor(session), preset, 1).id

    work_off(TEST_PRESET)

    found = report(worker, job_id)["tests"]
    verdicts = {one["name"]: one["holds"] for one in found}
    assert verdicts == {
        "moved": True,
        "still": False,
        "read": True,
        "varied": True,
        "Han": False,
        "word": False,
    }
    moved, _, read, varied, *_ = found
    assert moved["unsteered"] == 0.0
    assert read["steered"] > 1_000  # of a feature that always fires with more
    assert 0 < varied["steered"] <= 1
    assert len(varied["texts"]) == 2
    assert varied["texts"][0]["prompt"] == "the cat sat on"


def report(worker: Sessions, job_id: int) -> Any:
    with worker() as session:
        error = session.scalars(select(Step.error).where(Step.job_id == job_id)).one()
        assert error is None
        row = session.scalars(select(PresetReport).where(PresetReport.job_id == job_id)).one()
        return row.found


def test_what_a_group_can_do_without_is_found(worker: Sessions, tiny: Tiny) -> None:
    """One feature moves the model far, and two hardly at all: the one is enough."""
    members = [added(5, 9.0, group="g"), added(7, 0.01, group="g"), added(9, 0.01, group="g")]
    tests = [of_test("moved", measure="divergence", expect="above", value=0.05)]
    preset = saved(
        worker,
        *members,
        added(11, 0.001, layer=3),
        groups=[Group(name="g")],
        tests=tests,
    )
    with unit_of_work(worker) as session:
        actor = local_actor(session)
        job_id = request_pruning(session, actor, preset, 1, test="moved", group="g").id

    work_off(PRUNE_PRESET)

    found = report(worker, job_id)
    kept = {one["feature"].rsplit("/")[-1]: one["kept"] for one in found["members"]}
    assert kept == {"5": True, "7": False, "9": False}
    strong, weak, _ = found["members"]
    assert found["whole"] == pytest.approx(strong["alone"], rel=0.05)
    assert weak["alone"] < 0.05 < weak["without"]
    assert strong["without"] < 0.05
    assert found["pruned"] > 0.05


def test_a_test_that_does_not_hold_prunes_nothing(worker: Sessions, tiny: Tiny) -> None:
    tests = [of_test("never", measure="divergence", expect="above", value=999)]
    preset = saved(worker, added(5, 1.0), added(7, 1.0), tests=tests)
    with unit_of_work(worker) as session:
        actor = local_actor(session)
        job_id = request_pruning(session, actor, preset, 1, test="never", group=None).id

    work_off(PRUNE_PRESET)

    with worker() as session:
        error = session.scalars(select(Step.error).where(Step.job_id == job_id)).one()
    assert "does not hold with all of 2 features" in (error or "")
