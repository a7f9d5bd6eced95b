"""The routes: shapes, problems, and commits that are no lie."""

import gc
import json

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import create_engine, select, text
from sqlalchemy.orm import sessionmaker

from makers import make_corpus, make_evidence, make_examples, make_label, make_release, make_run
from scopebook.db.sessions import Sessions
from scopebook.db.tables import Context, Sae
from scopebook.job_reports import read_job
from scopebook.jobs import COLLECT_SHARD
from scopebook.steps import (
    NewStep,
    claim_step,
    create_job,
    fail_step,
    finish_step,
)
from scopebook_api.app import create_app
from scopebook_api.job_schemas import JobRead
from scopebook_api.routers.jobs import is_settled


@pytest.fixture
def filled(sessions: Sessions) -> None:
    """Two features with labels, one of them with an example."""
    with sessions.begin() as session:
        sae, _ = make_release(session)
        run = make_run(session, [sae], make_corpus(session, ["das 中文 text"], tag="zh"))
        context_id = session.scalars(select(Context.id)).one()
        make_evidence(session, run, sae, 7, examples=make_examples([context_id], peak=4, end=8))
        make_label(session, sae, 7, "names of rivers")
        make_label(session, sae, 8, "names of kings")


def make_jobs(sessions: Sessions, *titles: str) -> list[int]:
    with sessions.begin() as session:
        step = NewStep(kind=COLLECT_SHARD, stage=0, title="Shard")
        return [create_job(session, "test", title, [step]).id for title in titles]


def end_next_step(sessions: Sessions) -> None:
    with sessions.begin() as session:
        claim = claim_step(session, COLLECT_SHARD, worker="w", lease_s=60, max_attempts=3)
        assert claim is not None
        finish_step(session, claim)


@pytest.mark.usefixtures("filled")
def test_search_answers_a_page_of_hits(client: TestClient) -> None:
    answer = client.get("/api/search", params={"q": "river", "preview": True}).json()

    (hit,) = answer["items"]
    assert answer["next"] is None
    assert hit["id"] == "Tiny-Model/1-res-w1k-l0_8/7"
    assert hit["label"]["source"] == "keywords"
    assert hit["matched"] == ["words"]
    assert hit["preview"]["tokens"][hit["preview"]["peak"]]["text"] == "中"


@pytest.mark.usefixtures("filled")
def test_search_pages_by_its_cursor(client: TestClient) -> None:
    first = client.get("/api/search", params={"q": "names", "limit": 1}).json()

    second = client.get("/api/search", params={"q": "names", "limit": 1, "cursor": first["next"]})

    assert [item["index"] for item in first["items"] + second.json()["items"]] == [7, 8]


@pytest.mark.usefixtures("filled")
def test_labels_are_counted_and_asked_for(client: TestClient) -> None:
    (layer, _) = client.get("/api/labels/coverage").json()["items"]
    asked = client.post("/api/labels", json={"release": layer["release"], "layers": [1]})
    busy = client.post("/api/labels", json={"release": layer["release"], "layers": [1]})
    missing = client.post("/api/labels", json={"release": layer["release"]})

    assert (layer["layer"], layer["fired"], layer["by_source"]) == (1, 1, {"keywords": 2})
    assert asked.status_code == 202
    assert asked.json()["kind"] == "label"
    assert busy.status_code == 409
    assert "at this moment" in busy.json()["detail"]
    assert missing.status_code == 422
    assert "has no examples" in missing.json()["detail"]


@pytest.mark.usefixtures("filled")
def test_scores_are_asked_for_once_and_a_judge_needs_labels_to_judge(client: TestClient) -> None:
    wanted = {"release": "SAE-Res-Tiny-Model-W1K-L0_8", "layers": [1]}
    judge = {"endpoint": "http://127.0.0.1:1/v1", "model": "judge"}
    keywords = client.post("/api/scores", json=wanted | {"judge": judge})
    unknown = client.post("/api/scores", json=wanted | {"scorers": ["taste"]})
    asked = client.post("/api/scores", json=wanted)
    busy = client.post("/api/scores", json=wanted)

    assert keywords.status_code == 422
    assert "--source keywords" in keywords.json()["detail"]
    assert unknown.status_code == 422
    assert asked.status_code == 202
    assert asked.json()["kind"] == "score"
    assert busy.status_code == 409
    assert "at this moment" in busy.json()["detail"]


@pytest.mark.usefixtures("filled")
def test_a_feature_answers_by_its_id(client: TestClient) -> None:
    answer = client.get("/api/features/Tiny-Model/1-res-w1k-l0_8/7").json()

    assert answer["label"]["text"] == "names of rivers"
    assert answer["examples"][0]["document"]["name"] == "doc-0"
    assert answer["statistics"]["top_tokens"][0]["text"] == " der"


@pytest.mark.usefixtures("filled")
def test_lists_say_what_there_is(client: TestClient) -> None:
    features = client.get("/api/features", params={"sort": "density"}).json()["items"]
    releases = client.get("/api/releases").json()["items"]
    corpora = client.get("/api/corpora").json()["items"]
    status = client.get("/api/status").json()

    assert [feature["index"] for feature in features] == [7]
    assert [sae["layer"] for sae in releases[0]["saes"]] == [1, 2]
    assert releases[0]["saes"][0] == {
        "layer": 1, "set_name": "res-w1k-l0_8", "kind": "topk", "features": 16,
        "alive": 1, "labelled": 2, "corpus": "tiny", "tokens_seen": 100,
    }  # fmt: skip
    assert (corpora[0]["documents"], corpora[0]["tags"]) == (1, {"zh": 1})
    assert corpora[0]["near_duplicates"] == 0
    assert (status["features"], status["labelled"], status["ready"]) == (32, 2, True)
    assert (status["semantic"], status["demo"]) == (False, None)


def test_an_empty_dictionary_answers_everywhere(client: TestClient) -> None:
    for path in ("/api/search?q=x", "/api/features", "/api/releases", "/api/corpora", "/api/jobs"):
        answer = client.get(path).json()
        assert (answer["items"], answer["next"]) == ([], None), path


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/api/search", 422, "q: Field required"),
        ("/api/search?q=" + "x" * 10_000, 422, "10,000 characters"),
        ("/api/search?q=%00", 422, "is empty"),
        ("/api/search?q=x&limit=1000", 422, "limit"),
        ("/api/search?q=x&cursor=!", 422, "cursor"),
        ("/api/search?q=x&release=nope", 404, "no release 'nope'"),
        ("/api/features/Nope/1-res-w1k-l0_8/1", 404, "Nope is not registered"),
        ("/api/features/Nope/1-res-w1k-l0_8/x", 422, "Nope/1-res-w1k-l0_8/x"),
        ("/api/jobs/77", 404, "no job 77"),
        ("/api/jobs/99999999999", 404, "no job 99999999999"),
        ("/api/jobs/99999999999/steps", 404, "no job 99999999999"),
        ("/api/jobs/99999999999/events", 404, "no job 99999999999"),
        ("/api/runs/99999999999", 404, "no run 99999999999"),
        ("/api/features/Nope/1-res-w1k-l0_8/99999999999", 404, "no feature Nope/1-res"),
        ("/api/features/a%00/1-x/3", 422, "NUL"),
        ("/api/search?q=x&release=%00", 422, "NUL"),
        ("/api/jobs?state=odd", 422, "state"),
        ("/api/nowhere", 404, "Not Found"),
    ],
)
def test_bad_input_is_a_problem_with_one_sentence(
    client: TestClient, path: str, status: int, said: str
) -> None:
    response = client.get(path)

    problem = response.json()
    assert response.status_code == problem["status"] == status
    assert response.headers["content-type"] == "application/problem+json"
    assert said in problem["detail"]


@pytest.mark.parametrize("path", ["jobs/{}/cancel", "jobs/{}/retry", "runs/{}/use"])
@pytest.mark.parametrize("number", [0, 2**31, 2**63, 10**30])
def test_a_number_beyond_all_rows_is_no_job_and_no_run(
    client: TestClient, path: str, number: int
) -> None:
    answer = client.post(f"/api/{path.format(number)}")

    assert answer.status_code == 404
    assert f"There is no {path[:3]} {number};" in answer.json()["detail"]


def test_a_database_that_is_down_is_a_503(client: TestClient) -> None:
    away = sessionmaker(create_engine("postgresql+psycopg://x@127.0.0.1:1/x?connect_timeout=1"))

    with TestClient(create_app(away, lambda _: None), raise_server_exceptions=False) as client:
        response = client.get("/api/status")

    assert response.status_code == 503
    assert "database does not answer" in response.json()["detail"]


def test_an_error_nobody_foresaw_tells_no_internals(sessions: Sessions, client: TestClient) -> None:
    with sessions.begin() as session:
        session.execute(text("DROP TABLE label_embedding, label_choice, label CASCADE"))

    response = client.get("/api/search?q=x")

    assert response.status_code == 500
    assert "label" not in response.json()["detail"]


def test_a_commit_that_fails_is_no_200(sessions: Sessions, client: TestClient) -> None:
    (job_id,) = make_jobs(sessions, "Test")
    with sessions.begin() as session:
        session.execute(
            text(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN RAISE EXCEPTION 'no'; END $$"
            )
        )
        session.execute(
            text(
                "CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON job DEFERRABLE INITIALLY DEFERRED "
                "FOR EACH ROW EXECUTE FUNCTION refuse()"
            )
        )

    response = client.post(f"/api/jobs/{job_id}/cancel")

    assert response.status_code == 500
    assert client.get(f"/api/jobs/{job_id}").json()["state"] == "queued"


def test_jobs_are_cancelled_and_retried(sessions: Sessions, client: TestClient) -> None:
    (job_id,) = make_jobs(sessions, "Test")

    cancelled = client.post(f"/api/jobs/{job_id}/cancel")
    again = client.post(f"/api/jobs/{job_id}/cancel")
    retried = client.post(f"/api/jobs/{job_id}/retry")

    assert cancelled.json()["state"] == "cancelled"
    assert again.status_code == 409
    assert retried.json()["state"] == "queued"


def test_a_jobs_events_end_with_the_job(sessions: Sessions, client: TestClient) -> None:
    (job_id,) = make_jobs(sessions, "Test")
    end_next_step(sessions)

    response = client.get(f"/api/jobs/{job_id}/events")

    (event,) = response.text.strip().split("\n\n")
    name, data = event.split("\n")
    assert name == "event: job"
    assert json.loads(data.removeprefix("data: "))["state"] == "done"


def test_a_collection_of_nothing_registered_is_refused(client: TestClient) -> None:
    response = client.post("/api/runs", json={"release": "nope", "corpus": "nope"})

    assert response.status_code == 404
    assert client.get("/api/jobs").json()["items"] == []


@pytest.mark.usefixtures("filled")
def test_answers_are_compressed_but_event_streams_are_not(
    sessions: Sessions, client: TestClient
) -> None:
    (job_id,) = make_jobs(sessions, "Test")
    end_next_step(sessions)

    answer = client.get("/api/features")
    stream = client.get(f"/api/jobs/{job_id}/events")

    assert answer.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in stream.headers


def test_a_jobs_steps_page_and_filter(sessions: Sessions, client: TestClient) -> None:
    with sessions.begin() as session:
        steps = [NewStep(kind=COLLECT_SHARD, stage=2, title=f"Shard {i}") for i in range(3)]
        job_id = create_job(session, "test", "Test", steps).id
    end_next_step(sessions)

    first = client.get(f"/api/jobs/{job_id}/steps", params={"limit": 2}).json()
    rest = client.get(f"/api/jobs/{job_id}/steps", params={"cursor": first["next"]}).json()
    done = client.get(f"/api/jobs/{job_id}/steps", params={"state": "done"}).json()

    assert [step["title"] for step in first["items"] + rest["items"]] == [
        "Shard 0",
        "Shard 1",
        "Shard 2",
    ]
    assert [step["title"] for step in done["items"]] == ["Shard 0"]
    assert client.get("/api/jobs/99/steps").status_code == 404


def test_events_hold_only_steps_that_need_a_look(sessions: Sessions, client: TestClient) -> None:
    (job_id,) = make_jobs(sessions, "Test")
    end_next_step(sessions)

    (event,) = client.get(f"/api/jobs/{job_id}/events").text.strip().split("\n\n")

    job = json.loads(event.split("data: ")[1])
    assert job["steps"] == []
    assert job["stages"][0]["states"] == {"done": 1}
    assert job["shards"] == [{"state": "done", "count": 1}]
    assert len(client.get(f"/api/jobs/{job_id}").json()["steps"]) == 1


@pytest.mark.usefixtures("filled")
def test_a_run_is_chosen_to_be_shown(sessions: Sessions, client: TestClient) -> None:
    with sessions.begin() as session:
        for sae in session.scalars(select(Sae)):
            sae.current_run_id = None

    (before,) = client.get("/api/runs").json()["items"]
    used = client.post(f"/api/runs/{before['id']}/use")
    refused = client.post(f"/api/runs/{before['id']}/use", json={"layers": [2]})

    assert (before["collected"], before["shown"]) == ([1], [])
    assert used.json()["shown"] == [1]
    assert client.get(f"/api/runs/{before['id']}").json() == used.json()
    assert refused.status_code == 404
    assert "has no layer 2" in refused.json()["detail"]


def test_an_unknown_run_is_named(client: TestClient) -> None:
    answer = client.post("/api/runs/77/use")

    assert answer.status_code == 404
    assert "no run 77" in answer.json()["detail"]


def test_the_events_of_a_job_with_a_failed_shard_go_on_until_the_others_have_ended(
    sessions: Sessions,
) -> None:
    with sessions.begin() as session:
        steps = [NewStep(kind=COLLECT_SHARD, stage=0, title=f"Shard {i}") for i in range(2)]
        job_id = create_job(session, "test", "Test", steps).id
        broken, working = (
            claim_step(session, COLLECT_SHARD, worker=name, lease_s=60, max_attempts=3)
            for name in ("a", "b")
        )
        assert broken is not None
        assert working is not None
        fail_step(session, broken, "It broke.", again=False)
        running = read_job(session, job_id, others=0)
        finish_step(session, working)
        stopped = read_job(session, job_id, others=0)

    assert (running.state, stopped.state) == ("running", "failed")
    assert not is_settled(JobRead.model_validate(running))
    assert is_settled(JobRead.model_validate(stopped))


@pytest.mark.usefixtures("filled")
def test_searches_take_filters_and_count_what_they_would_leave(client: TestClient) -> None:
    asked = {"q": "names", "source": ["keywords"], "state": "labelled", "layer": 1}
    hits = client.get("/api/search", params=asked).json()["items"]
    none = client.get("/api/search", params=asked | {"source": "llm"}).json()["items"]
    counted = client.get("/api/search/facets", params=asked).json()
    odd = client.get("/api/search", params=asked | {"state": "odd"})

    assert [hit["index"] for hit in hits] == [7, 8]
    assert hits[0]["why"]["text"][0] == {"text": "names", "matches": True}
    assert none == []
    assert (counted["of"], counted["more"]) == (2, False)
    assert counted["facets"]["layer"] == [{"value": "1", "count": 2, "low": None, "high": None}]
    assert odd.status_code == 422


def test_while_the_app_is_served_garbage_is_looked_for_less_often(sessions: Sessions) -> None:
    before = gc.get_threshold()

    with TestClient(create_app(sessions, lambda _: None)):
        served = gc.get_threshold()

    assert all(more > less for more, less in zip(served, before, strict=True))
    assert gc.get_threshold() == before
