"""A scrape: it parses, its numbers move with what happens, and strangers get none of it."""

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

from apps import app_over
from people import HERE, bearer
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.heartbeats import Beat, flush_meters, note_beat
from scopebook.jobs import COLLECT_SHARD, MERGE_SAE, SCORE_SAE
from scopebook.meters import count
from scopebook.settings import Settings, settings, use_settings
from scopebook.steps import NewStep, claim_step, create_job, fail_step
from scopebook_api import metrics, observing
from scopebook_api.routers import jobs

Sample = Callable[..., float | None]


def scraped(client: TestClient) -> Sample:
    answer = client.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }

    def sample(name: str, **labels: str) -> float | None:
        return found.get((f"scopebook_{name}", frozenset(labels.items())))

    return sample


@pytest.fixture(autouse=True)
def _each_scrape_looks_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_FRESH_S", -1.0)


def test_requests_are_counted_by_the_template_of_their_route(client: TestClient) -> None:
    of = {"route": "/api/jobs/{job_id}", "method": "GET"}
    before = scraped(client)
    for job_id in (999_998, 999_999):
        client.get(f"/api/jobs/{job_id}")
    client.get("/api/status")
    client.request("BREW", "/api/nothing/of/the/kind")

    after = scraped(client)

    def more(name: str, **labels: str) -> float:
        return (after(name, **labels) or 0) - (before(name, **labels) or 0)

    assert more("http_requests_total", **of, status="404") == 2
    assert more("http_requests_total", route="/api/status", method="GET", status="200") == 1
    assert more("http_request_seconds_count", **of) == 2
    assert more("http_request_seconds_sum", **of) > 0
    assert more("http_request_seconds_bucket", **of, le="+Inf") == 2
    # Where the pages are built they are asked last, and know no such method.
    unknown = {"route": "unknown", "method": "other"}
    assert sum(more("http_requests_total", **unknown, status=one) for one in ("404", "405")) == 1
    # The scrape itself is under way while it counts.
    assert after("http_requests_in_progress") == 1


def test_labels_name_no_row_and_no_text(client: TestClient) -> None:
    for number in range(20):
        client.get(f"/api/features/some-model/3-some-set/{number}")
        client.get(f"/api/nowhere/{number}")
        client.get(f"/a-page/{number}")

    routes = {labels for labels, *_ in (sample for sample in metrics.REQUESTS._metrics)}

    assert not [route for route in routes if "some" in route or "nowhere" in route]
    assert not [route for route in routes if "a-page" in route]


def test_queues_tell_what_waits_runs_and_has_failed_and_since_when(
    sessions: Sessions, client: TestClient
) -> None:
    with unit_of_work(sessions) as session:
        shards = [NewStep(kind=COLLECT_SHARD, stage=0, title=str(n)) for n in range(4)]
        create_job(session, "c", "C", [*shards, NewStep(kind=MERGE_SAE, stage=1, title="m")])
        create_job(session, "s", "S", [NewStep(kind=SCORE_SAE, stage=0, title="s")])
    with unit_of_work(sessions) as session:
        how = {"worker": "w", "lease_s": 60.0, "max_attempts": 3}
        claim_step(session, COLLECT_SHARD, **how)  # type: ignore[arg-type]
        lost = claim_step(session, COLLECT_SHARD, **how)  # type: ignore[arg-type]
        score = claim_step(session, SCORE_SAE, **how)  # type: ignore[arg-type]
        assert lost is not None
        assert score is not None
        fail_step(session, score, "no", again=False)
        session.connection().exec_driver_sql(
            f"UPDATE step SET lease_until = now() - interval '90 seconds',"
            f" created_at = now() - interval '1 hour', claimed_at = now() - interval '1 hour'"
            f" WHERE id = {lost.step_id}"
        )

    found = scraped(client)

    states = {
        (queue, state): found("steps", queue=queue, state=state)
        for queue in ("gpu", "cpu", "llm", "live")
        for state in ("waiting", "blocked", "running", "failed")
    }
    assert {key: n for key, n in states.items() if n} == {
        # Two that nobody took, and one whose worker is gone.
        ("gpu", "waiting"): 3,
        ("gpu", "running"): 1,
        ("cpu", "blocked"): 1,
        ("llm", "failed"): 1,
    }
    assert 90 <= (found("oldest_waiting_seconds", queue="gpu") or 0) < 150
    assert found("oldest_waiting_seconds", queue="llm") == 0
    assert found("database_up") == 1
    assert (found("database_connections") or 0) >= 1


def beat(pid: int, *, consuming: bool = True, host: str = "box") -> Beat:
    return Beat(
        name=f"{host}:{pid}",
        host=host,
        pid=pid,
        queues=["cpu", "gpu"],
        consuming=consuming,
        gauges={"resident_memory_bytes": 100.0, "inference_saes": 2.0},
        gpus=[{"gpu": "0", "total": 80, "free": 30, "reserved": 20}],
    )


def test_a_worker_tells_of_itself_by_its_heartbeat(sessions: Sessions, client: TestClient) -> None:
    with unit_of_work(sessions) as session:
        for one in (beat(1), beat(2), beat(3, consuming=False), beat(4, host="dead")):
            note_beat(session, one)
            note_beat(session, one)
        session.connection().exec_driver_sql(
            "UPDATE worker SET seen_at = now() - interval '31 seconds' WHERE host = 'dead'"
        )

    found = scraped(client)

    assert found("workers", queue="gpu") == 2
    assert found("workers", queue="llm") == 0
    assert found("worker_resident_memory_bytes", host="box") == 300
    assert found("worker_resident_memory_bytes", host="dead") is None
    memory = [found("gpu_memory_bytes", host="box", gpu="0", state=s) for s in ("total", "used")]
    assert memory == [80, 50]
    assert found("gpu_memory_bytes", host="box", gpu="0", state="reserved") == 60
    assert found("worker_inference_saes", host="box") == 6


def test_sums_of_many_processes_add_up_and_survive_a_database_that_is_away(
    sessions: Sessions, client: TestClient
) -> None:
    def tokens() -> float:
        return scraped(client)("tokens_read_total", kind=COLLECT_SHARD) or 0

    away = sessionmaker(create_engine("postgresql+psycopg://x@127.0.0.1:1/x?connect_timeout=1"))
    flush_meters(sessions)
    before = tokens()
    count("tokens_read", 5, kind=COLLECT_SHARD)
    count("tokens_read", 7, kind=COLLECT_SHARD)
    with pytest.raises(Exception, match="connection"):
        flush_meters(away)
    flush_meters(sessions)
    flush_meters(sessions)

    assert tokens() - before == 12

    def add() -> None:
        for _ in range(20):
            count("tokens_read", 1, kind=COLLECT_SHARD)
            count("leases_lost", kind=COLLECT_SHARD)
            flush_meters(sessions)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert tokens() - before == 92


def test_a_scrape_without_a_database_tells_of_the_api_and_that_it_is_away() -> None:
    away = sessionmaker(create_engine("postgresql+psycopg://x@127.0.0.1:1/x?connect_timeout=1"))

    with TestClient(app_over(away), base_url=HERE, client=("127.0.0.1", 5)) as client:
        found = scraped(client)

    assert found("database_up") == 0
    assert found("database_pool_limit") == 22
    assert found("http_requests_in_progress") == 1
    assert found("steps", queue="gpu", state="waiting") is None


def test_open_event_streams_are_counted_as_long_as_they_are_open(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float | None] = []

    async def one_event(*_: object) -> object:
        seen.append(metrics.OPEN_STREAMS._value.get())
        yield "data: {}\n\n"

    monkeypatch.setattr(jobs, "_changes", one_event)
    before = scraped(client)
    client.get("/api/jobs/events")
    after = scraped(client)

    assert seen == [1]
    assert after("event_streams_open") == before("event_streams_open") == 0
    of = {"route": "/api/jobs/events", "method": "GET"}
    assert after("http_requests_total", **of, status="200") == 1 + (
        before("http_requests_total", **of, status="200") or 0
    )
    assert after("http_request_seconds_count", **of) is None


@pytest.fixture
def chosen() -> Iterator[Callable[..., None]]:
    before = settings()
    yield lambda **values: use_settings(Settings(**values))
    use_settings(before)


def status_of(
    sessions: Sessions, headers: dict[str, str] | None = None, client: str = "127.0.0.1"
) -> int:
    with TestClient(app_over(sessions), base_url=HERE, client=(client, 5)) as asking:
        return asking.get("/metrics", headers=headers).status_code


def test_without_a_token_metrics_are_for_who_sits_at_the_machine(
    sessions: Sessions, chosen: Callable[..., None]
) -> None:
    chosen()
    assert status_of(sessions) == 200
    assert status_of(sessions, client="192.0.2.7") == 403
    assert status_of(sessions, {"X-Forwarded-For": "192.0.2.7"}) == 403
    chosen(public_url="https://scopebook.example.org")
    assert status_of(sessions) == 403


def test_with_a_token_metrics_are_for_who_shows_it_and_nobody_else(
    sessions: Sessions, chosen: Callable[..., None]
) -> None:
    chosen(metrics_token="a long and secret token", public_url="https://scopebook.example.org")

    assert status_of(sessions, bearer("a long and secret token"), client="192.0.2.7") == 200
    assert status_of(sessions) == 401
    for wrong in ("", "a long and secret toke", "ä", "a long and secret token2"):
        given = {b"Authorization": f"Bearer {wrong}".encode()}
        assert status_of(sessions, given) == 401  # type: ignore[arg-type]
    assert status_of(sessions, {"Authorization": "Basic a long and secret token"}) == 401


def test_a_short_token_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 16"):
        Settings(metrics_token="short")


def test_every_metric_is_explained(sessions: Sessions, client: TestClient) -> None:
    page = (Path(__file__).parents[2] / "docs/operations.md").read_text()
    with unit_of_work(sessions) as session:
        note_beat(session, beat(1))
    told = {
        line.split(" ")[2]
        for line in client.get("/metrics").text.splitlines()
        if line.startswith("# TYPE scopebook_") and not line.split(" ")[2].endswith("_created")
    }

    explained = set(re.findall(r"`(scopebook_\w+)", page)) | {
        f"scopebook_worker{name}" for name in re.findall(r"`(_inference_\w+)`", page)
    }

    assert told - explained == set()
    assert {name for name in explained if name not in told} == set()


def test_a_page_is_no_route(client: TestClient) -> None:
    assert observing.route_of({"type": "http", "path": "/features/x"}) == "files"
