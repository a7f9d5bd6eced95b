"""Write the requests about an SAE's features to batch files, and read what comes back."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from scopebook.batch_requests import BATCH_ENDPOINT
from scopebook.db.label_tables import Labeling
from scopebook.db.sessions import sessions, unit_of_work
from scopebook.errors import InvalidInputError, UnavailableError
from scopebook.jobs import READ_BATCH, WRITE_BATCH
from scopebook.llm_labelings import continue_labeling, features_to_ask, publish_outcomes
from scopebook.steps import Claim, retitle_step
from scopebook_workers.claims import Finish, Progress, step_task
from scopebook_workers.labeling.llm_labels import wording_of
from scopebook_workers.labeling.prompts import SYSTEM, request_for
from scopebook_workers.llm.batch_files import BatchAnswers, requested, write_batches
from scopebook_workers.llm.budget import estimate
from scopebook_workers.llm.chat import ChatAnswer, ChatFailedError, ChatRequest
from scopebook_workers.tasks.materials import MaterialReader
from scopebook_workers.tasks.word import BATCH, outcome_of, said

#: What a host says where it has not tried: another batch may have an answer.
_UNTRIED = frozenset({"rate", "timeout", "server", "connection"})


@step_task(WRITE_BATCH)
def write_requests(claim: Claim, progress: Progress) -> Finish:
    """Write a request for each eligible feature that has no answer yet; all files or none."""
    labeling_id, reader = _labeling(claim, progress)
    folder = Path(claim.parameters["folder"]) / f"layer-{claim.parameters['layer']}"
    with sessions()() as session:
        wanted = features_to_ask(session, labeling_id, limit=claim.parameters["limit"])
    sample: list[ChatRequest] = []

    def requests() -> Iterator[ChatRequest]:
        for number, request in enumerate(_requests(reader, wanted), start=1):
            if len(sample) < BATCH:
                sample.append(request)
            yield request
            progress(number, len(wanted), "requests")

    try:
        files = write_batches(requests(), folder, model=claim.parameters["model"])
    except OSError as error:
        raise InvalidInputError(
            f"The requests cannot be written to {folder} ({error.strerror}); give a folder that "
            "the workers may write to."
        ) from error
    if not files:
        return _retitled(claim, "nothing is left to ask")
    cost = estimate(sample, calls=len(wanted))
    return _retitled(claim, f"{len(files)} file{'s' * (len(files) > 1)} in {folder}, {cost}")


@step_task(READ_BATCH)
def read_answers(claim: Claim, progress: Progress) -> Finish:
    """Keep every answer to a feature that has none yet, batch by batch."""
    labeling_id, reader = _labeling(claim, progress)
    folder = Path(claim.parameters["folder"])
    written = _written(folder / f"layer-{claim.parameters['layer']}")
    with sessions()() as session:
        left = features_to_ask(session, labeling_id, limit=None)
    wanted = {str(key) for key in left} & written
    answers = BatchAnswers(_answer_files(folder), asked=wanted)
    kept = 0
    for some in _in_batches(answers):
        kept += _publish(labeling_id, reader, some, progress)
        progress(kept, len(wanted), "answers")
    missing = len(wanted) - kept
    if missing and not claim.parameters["skip_missing"]:
        raise UnavailableError(
            f"{missing:,} of {len(wanted):,} features of layer {claim.parameters['layer']} have no "
            f"answer in {folder}, what was answered is kept; put the other answers there and read "
            "again, write what is left with `scopebook batch write` to another folder, or go "
            "without with --skip-missing."
        )
    wrong = answers.problems.malformed
    lines = f", {len(wrong):,} lines are no answers ({wrong[0]})" if wrong else ""
    without = f", {missing:,} without" if missing else ""
    return _retitled(claim, f"{kept:,} answers{without}{lines}")


def _labeling(claim: Claim, progress: Progress) -> tuple[int, MaterialReader]:
    """Return the unfinished labeling by this model's batches, and its material."""
    model = claim.parameters["model"]
    with unit_of_work(sessions()) as session:
        progress.hold(session)
        labeling_id = continue_labeling(
            session,
            job_id=claim.job_id,
            sae_id=claim.parameters["sae_id"],
            run_id=claim.parameters["run_id"],
            model=model,
            rules=SYSTEM,
            parameters=said(BATCH_ENDPOINT, model),
        )
        base_id = session.get_one(Labeling, labeling_id).base_id
        return labeling_id, MaterialReader(session.get_one(Labeling, base_id))


def _requests(reader: MaterialReader, wanted: Sequence[int]) -> Iterator[ChatRequest]:
    for start in range(0, len(wanted), BATCH):
        with sessions()() as session:
            materials = reader.read(session, wanted[start : start + BATCH])
        for key, material in materials.items():
            yield request_for(str(key), material)


def _written(folder: Path) -> frozenset[str]:
    keys = requested(folder)
    if not keys:
        raise InvalidInputError(
            f"{folder} holds no requests; give the folder that `scopebook batch write` has written "
            "to, with the answers in it."
        )
    return keys


def _answer_files(folder: Path) -> list[Path]:
    files = sorted(f for f in folder.rglob("*.jsonl") if not f.name.startswith("batch-"))
    if not files:
        raise InvalidInputError(
            f"{folder} holds no answers; put the output and error files of the batch there, as "
            "NAME.jsonl."
        )
    return files


Answers = Mapping[int, ChatAnswer | ChatFailedError]


def _in_batches(answers: BatchAnswers) -> Iterator[Answers]:
    """Yield what counts as an answer, in batches."""
    some: dict[int, ChatAnswer | ChatFailedError] = {}
    for key, answer in answers:
        if isinstance(answer, ChatFailedError) and answer.error_class in _UNTRIED:
            continue
        some[int(key)] = answer
        if len(some) == BATCH:
            yield some
            some = {}
    if some:
        yield some


def _publish(labeling_id: int, reader: MaterialReader, answers: Answers, progress: Progress) -> int:
    with sessions()() as session:
        materials = reader.read(session, sorted(answers))
    outcomes = [
        outcome_of(key, wording_of(str(key), material, answers[key]))
        for key, material in materials.items()
    ]
    with unit_of_work(sessions()) as session:
        progress.hold(session)
        publish_outcomes(session, labeling_id, outcomes)
    return len(outcomes)


def _retitled(claim: Claim, what: str) -> Finish:
    title = claim.title.split(": ")[0]

    def write(session: Session) -> Any:
        retitle_step(session, claim, f"{title}: {what}")

    return write
