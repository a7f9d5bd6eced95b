"""Labels by batch files, end to end: files on disk, real rows, a stub that answers them."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from tests.chat_server import Chats
from tests.makers import feature_id
from tests.workers.tasks.panels import make_panel
from tests.workers.tasks.test_label import make_dictionary
from tests.workers.tasks.test_word import check_labels

from scopebook.batch_requests import read_batch, told_results, write_batch
from scopebook.db.jobs import Job
from scopebook.db.label_tables import Labeling, LabelOrigin
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.db.tables import Release, Sae
from scopebook.errors import ConflictError, InvalidInputError
from scopebook.jobs import LABEL_SAE, READ_BATCH, WRITE_BATCH
from scopebook.labeling_requests import label_once
from scopebook.labels import current_labels
from scopebook_workers.claims import work_off
from scopebook_workers.labeling.prompts import prompt_sha256
from scopebook_workers.llm.chat import ChatRequest, Message


@pytest.fixture
def sae(worker: Sessions) -> Sae:
    """An SAE that is sorted into senses; five of its features are eligible."""
    with unit_of_work(worker) as session:
        found, run = make_dictionary(session)
        label_once(session, name_of(session, found))
    make_panel(worker, found, run)
    work_off(LABEL_SAE)
    with unit_of_work(worker) as session:
        session.query(Job).update({"state": "done"})
    return found


def name_of(session: Any, sae: Sae) -> str:
    name: str = session.get_one(Release, sae.release_id).name
    return name


def write(sessions: Sessions, sae: Sae, folder: Path, **wanted: Any) -> int:
    with unit_of_work(sessions) as session:
        release = name_of(session, sae)
        job_id = write_batch(session, release, None, model="m", folder=folder, **wanted)
    work_off(WRITE_BATCH)
    return job_id


def read(sessions: Sessions, sae: Sae, folder: Path, **wanted: Any) -> int:
    with unit_of_work(sessions) as session:
        release = name_of(session, sae)
        job_id = read_batch(session, release, None, model="m", folder=folder, **wanted)
    work_off(READ_BATCH)
    with sessions() as session:
        state = session.get_one(Job, job_id).state
    if state == "running":
        check_labels()
    return job_id


def requests_of(folder: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for file in sorted(folder.rglob("batch-*.jsonl"))
        for line in file.read_text().splitlines()
    ]


def answer(requests: list[dict[str, Any]], file: Path) -> None:
    """Answer as a host does: in another order, a line each."""
    stub = Chats()
    lines = []
    for request in reversed(requests):
        status, body = stub.reply(request["body"], None)
        response = {"status_code": status, "body": body}
        lines.append(json.dumps({"custom_id": request["custom_id"], "response": response}))
    file.write_text("\n".join(lines) + "\n")


def sentence(sessions: Sessions, job_id: int) -> str:
    with sessions() as session:
        return session.get_one(Job, job_id).error or ""


def test_answers_to_written_requests_come_into_force(
    worker: Sessions, sae: Sae, tmp_path: Path
) -> None:
    written = write(worker, sae, tmp_path)
    requests = requests_of(tmp_path / "layer-1")
    answer(requests, tmp_path / "output.jsonl")

    done = read(worker, sae, tmp_path)

    wanted = [feature_id(sae, index) for index in range(5)]
    with worker() as session:
        labels = current_labels(session, wanted)
        origins = session.scalars(select(LabelOrigin)).all()
        labeling = session.scalars(select(Labeling).where(Labeling.source == "llm")).one()
        said = [*told_results(session, written), *told_results(session, done)]
    assert sorted(int(request["custom_id"]) for request in requests) == sorted(wanted)
    assert {label.source for label in labels.values()} == {"llm"}
    assert {origin.model_reported for origin in origins} == {"stub-1"}
    assert len(origins) == 5
    asked = {int(one["custom_id"]): one["body"]["messages"] for one in requests}
    assert all("contrast 3>" in messages[-1]["content"] for messages in asked.values())
    assert {origin.feature_id: origin.prompt_sha256 for origin in origins} == {
        key: prompt_sha256(ChatRequest(key="", messages=[Message(**m) for m in messages]))
        for key, messages in asked.items()
    }
    assert (labeling.method, labeling.parameters["endpoint"]) == ("m", "batch")
    assert labeling.finished_at is not None
    assert "layer-1, about 5 calls" in said[0]
    assert said[1] == "Read the answers of layer 1: 5 answers"


def test_what_has_no_answer_can_be_written_again_and_read_from_another_folder(
    worker: Sessions, sae: Sae, tmp_path: Path
) -> None:
    first, rest = tmp_path / "first", tmp_path / "rest"
    write(worker, sae, first)
    answer(requests_of(first)[:3], first / "output.jsonl")
    expired = {"custom_id": requests_of(first)[3]["custom_id"], "error": {"code": "batch_expired"}}
    (first / "errors.jsonl").write_text(json.dumps(expired | {"response": None}) + "\nnonsense\n")

    job_id = read(worker, sae, first)
    assert "2 of 5 features of layer 1 have no answer" in sentence(worker, job_id)
    with worker() as session:
        labels = current_labels(session, [feature_id(sae, index) for index in range(5)])
    assert {label.source for label in labels.values()} == {"keywords"}

    write(worker, sae, rest)
    assert [r["custom_id"] for r in requests_of(rest)] == [
        r["custom_id"] for r in requests_of(first)[3:]
    ]
    answer(requests_of(rest), rest / "output.jsonl")
    read(worker, sae, rest)

    with worker() as session:
        labels = current_labels(session, [feature_id(sae, index) for index in range(5)])
        assert len(session.scalars(select(LabelOrigin)).all()) == 5
    assert {label.source for label in labels.values()} == {"llm"}


def test_one_can_go_without_what_has_no_answer(worker: Sessions, sae: Sae, tmp_path: Path) -> None:
    write(worker, sae, tmp_path)
    answer(requests_of(tmp_path)[:4], tmp_path / "output.jsonl")

    done = read(worker, sae, tmp_path, skip_missing=True)

    with worker() as session:
        labels = current_labels(session, [feature_id(sae, index) for index in range(5)])
        [said] = told_results(session, done)
    assert sorted(label.source for label in labels.values()) == ["keywords"] + ["llm"] * 4
    assert said == "Read the answers of layer 1: 4 answers, 1 without"


def test_a_limit_holds_for_what_is_written_and_nothing_else_is_missed(
    worker: Sessions, sae: Sae, tmp_path: Path
) -> None:
    write(worker, sae, tmp_path, limit=2)
    answer(requests_of(tmp_path), tmp_path / "output.jsonl")

    done = read(worker, sae, tmp_path)

    assert sentence(worker, done) == ""
    with worker() as session:
        labels = current_labels(session, [feature_id(sae, index) for index in range(5)])
    assert sorted(label.source for label in labels.values()) == ["keywords"] * 3 + ["llm"] * 2


def test_a_folder_that_does_not_fit_is_refused_by_name(
    worker: Sessions, sae: Sae, tmp_path: Path
) -> None:
    write(worker, sae, tmp_path)
    assert "holds no answers" in sentence(worker, read(worker, sae, tmp_path))

    other = tmp_path / "other"
    other.mkdir()
    said = sentence(worker, read(worker, sae, other))
    assert f"{other}/layer-1 holds no requests" in said

    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    said = sentence(worker, write(worker, sae, in_the_way))
    assert f"cannot be written to {in_the_way}/layer-1" in said


def test_what_cannot_be_asked_for_is_refused(worker: Sessions, sae: Sae, tmp_path: Path) -> None:
    with worker() as session:
        release = name_of(session, sae)
        with pytest.raises(InvalidInputError, match="give --llm MODEL"):
            write_batch(session, release, None, model=" ", folder=tmp_path)
        with pytest.raises(InvalidInputError, match="must be given in full"):
            write_batch(session, release, None, model="m", folder=Path("here"))
        with pytest.raises(InvalidInputError, match="No requests to m wait for answers"):
            read_batch(session, release, None, model="m", folder=tmp_path)
    with unit_of_work(worker) as session:
        write_batch(session, release, None, model="m", folder=tmp_path)
        with pytest.raises(ConflictError, match="wait for it, or cancel it"):
            read_batch(session, release, None, model="m", folder=tmp_path)
