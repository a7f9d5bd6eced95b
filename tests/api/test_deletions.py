"""Corpora and scans are deleted over HTTP and by command, once it was said what goes."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fastapi.testclient import TestClient
from typer import Typer
from typer.testing import CliRunner

from makers import make_corpus, make_evidence, make_examples, make_release, make_run, make_scan
from scopebook.commands import corpora, deleting, scan_list
from scopebook.db.jobs import Job
from scopebook.db.scan_tables import Scan
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.db.tables import Corpus
from scopebook.errors import InvalidInputError


@pytest.fixture
def made(sessions: Sessions) -> None:
    """A corpus with a run, and a scan of another text."""
    with unit_of_work(sessions) as session:
        [sae] = make_release(session, layers=[1])
        documents = make_corpus(session, ["text"])
        run = make_run(session, [sae], documents)
        make_evidence(session, run, sae, 1, examples=make_examples([]))
        session.get_one(Job, run.job_id).state = "done"
        [scanned] = make_corpus(session, ["scanned"], name="scanned")
        scan = make_scan(session, sae.release_id, scanned.corpus_id)
        session.get_one(Job, scan.job_id).state = "done"


@pytest.mark.usefixtures("made")
def test_what_goes_is_told_and_who_asks_second_is_told_of_the_job(client: TestClient) -> None:
    [corpus] = client.get("/api/corpora").json()["items"]
    address = f"/api/corpora/{corpus['id']}"

    told = client.get(f"{address}/deletion").json()
    first, second = client.delete(address), client.delete(address)
    [after] = client.get("/api/corpora").json()["items"]

    assert (told["documents"], told["runs"], told["evidence"]) == (1, [1], 1)
    assert told["sentences"][0].startswith("With the corpus tiny go 1 document, ")
    assert (first.status_code, first.json()["state"]) == (202, "queued")
    assert second.status_code == 409
    assert f"by job {first.json()['id']}" in second.json()["detail"]
    assert after["deletion_job_id"] == first.json()["id"]
    assert client.get("/api/runs").json()["items"] == []
    assert client.delete("/api/corpora/999").status_code == 404


@pytest.mark.usefixtures("made")
def test_a_scan_is_gone_for_readers_as_soon_as_its_deletion_is_asked_for(
    client: TestClient,
) -> None:
    [scan] = client.get("/api/scans").json()["items"]
    address = f"/api/scans/{scan['id']}"

    told = client.get(f"{address}/deletion").json()
    answer = client.delete(address)

    assert (told["documents"], told["runs"], told["scans"]) == (1, [], [scan["id"]])
    # It is what is deleted, and none that goes with it.
    assert told["sentences"] == [f"With scan {scan['id']} of {scan['dataset']} go 1 document."]
    assert (answer.status_code, answer.json()["kind"]) == (202, "delete")
    assert client.get(address).status_code == 404


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize(
    ("command", "which", "told"),
    [
        (corpora.corpus, "tiny", "With the corpus tiny go 1 document"),
        (scan_list.scans, "1", "With scan 1 of "),
    ],
)
def test_the_command_says_what_goes_and_asks_before_it_begins(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, command: Typer, which: str, told: str
) -> None:
    @contextmanager
    def here(**_: object) -> Iterator[Sessions]:
        yield sessions

    monkeypatch.setattr(deleting, "dictionary", here)
    run = CliRunner().invoke

    dry = run(command, ["remove", which, "--dry-run", "--json"])
    unasked = run(command, ["remove", which])

    assert json.loads(dry.stdout)["documents"] == 1
    assert told in dry.stderr
    assert isinstance(unasked.exception, InvalidInputError)
    assert "say --yes" in str(unasked.exception)
    with sessions() as session:
        assert session.get_one(Corpus, 1).deletion_job_id is None
        assert session.get_one(Scan, 1).deletion_job_id is None
