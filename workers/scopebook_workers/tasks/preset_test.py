"""Run the tests of a preset version: what it does to what the model writes."""

from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.db.preset_tables import PresetReport
from scopebook.jobs import TEST_PRESET
from scopebook.preset_tests import PresetTest, holds, read_test
from scopebook.release_names import parse_feature_id
from scopebook.steps import Claim
from scopebook_workers.claims import Finish, Progress, step_task
from scopebook_workers.exporters.compiling import edits_of
from scopebook_workers.inference.measured import Bench, Edits, Measured, measure
from scopebook_workers.tasks.preset_versions import LoadedVersion, load_version

_UNSTEERED: Final[Edits] = {}


@step_task(TEST_PRESET)
def run_tests_of(claim: Claim, progress: Progress) -> Finish:
    """Run each test unsteered and steered, and hold it against what is expected."""
    loaded = load_version(claim.job_id)
    tests = [read_test(one) for one in loaded.document["tests"]]
    bench = bench_of(loaded, progress)
    found = []
    for done, test in enumerate(tests):
        progress(done, len(tests), "tests")
        variants = [_UNSTEERED, edits_of(loaded.document)]
        measured = measure(test, bench, variants, feature=feature_of(test))
        found.append(_told(test, measured))

    def write(session: Session) -> None:
        report_of(session, claim.job_id).found = {"tests": found}

    return write


def report_of(session: Session, job_id: int) -> PresetReport:
    """Return the report that a job fills."""
    return session.scalars(select(PresetReport).where(PresetReport.job_id == job_id)).one()


def bench_of(loaded: LoadedVersion, progress: Progress) -> Bench:
    """Return what tests of a version are run on; work is dropped where its claim is lost."""
    return Bench(
        resident=loaded.resident,
        saes=loaded.saes,
        positions=loaded.preset.positions,
        neutral=loaded.neutral,
        told=progress.check,
    )


def feature_of(test: PresetTest) -> tuple[int, int] | None:
    """Return layer and index of the feature whose activation a test measures."""
    if test.measure != "activation":
        return None
    feature = parse_feature_id(test.of or "")
    return feature.layer, feature.index


def _told(test: PresetTest, measured: Measured) -> dict[str, Any]:
    unsteered, steered = measured.values
    return {
        "name": test.name,
        "sentence": test.sentence,
        "unsteered": unsteered,
        "steered": steered,
        "holds": holds(test, unsteered=unsteered, steered=steered),
        "texts": [
            {"prompt": prompt, "unsteered": texts[0], "steered": texts[1]}
            for prompt, texts in measured.texts
        ],
    }
