"""A preset version that a hand at the database has broken is told in one sentence."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from makers import make_corpus, make_evidence, make_examples, make_release, make_run
from scopebook.db.sessions import Sessions

DRAFT = {
    "interventions": [
        {"feature": "Tiny-Model/1-res-w1k-l0_8/3", "op": "add", "value": 2.0, "unit": "raw"}
    ]
}


@pytest.fixture
def preset(client: TestClient, sessions: Sessions) -> Any:
    with sessions.begin() as session:
        saes = make_release(session)
        run = make_run(session, saes, make_corpus(session, ["a b c"]))
        make_evidence(session, run, saes[0], 3, examples=make_examples([1]))
    answer = client.post("/api/presets", json={"name": "water", "draft": DRAFT})
    assert answer.status_code == 201, answer.text
    return answer.json()


def plant(sessions: Sessions, statement: str, **values: str) -> None:
    with sessions.begin() as session:
        # Versions only grow: no trigger is in the way of a hand at the database.
        session.execute(text("SET LOCAL session_replication_role = replica"))
        session.execute(text(f"UPDATE preset_version SET document = {statement}"), values)


@pytest.mark.parametrize(
    "statement",
    [
        *(f"CAST('{json.dumps(one)}' AS jsonb)" for one in ({}, [], "x", 3)),
        "document - 'positions'",
        """jsonb_set(document, '{interventions,0,op}', '"multiply"')""",
        """jsonb_set(document, '{interventions,0,sae}', '"elsewhere"')""",
        "jsonb_set(document, '{interventions}', '7')",
    ],
)
def test_a_document_that_is_none_is_told_and_hides_no_other(
    client: TestClient, sessions: Sessions, preset: Any, statement: str
) -> None:
    path = f"/api/presets/{preset['id']}"
    plant(sessions, statement)

    listed = client.get("/api/presets")
    around = [client.get(at) for at in (path, f"{path}/versions", f"{path}/exports")]
    headers = {"If-Match": around[0].headers["ETag"]}
    refused = [
        client.get(f"{path}/versions/1"),
        client.get(f"{path}/versions/1/targets"),
        client.post(f"{path}/versions/1/fork", json={"name": "another"}),
        client.post(f"{path}/versions", json={"draft": DRAFT}, headers=headers),
    ]

    assert [one["name"] for one in listed.json()["items"]] == ["water"]
    assert [answer.status_code for answer in around] == [200, 200, 200]
    for answer in refused:
        assert answer.status_code == 409, answer.text
        said = answer.json()["detail"]
        assert said.startswith(f"Version 1 of preset {preset['id']} cannot be read")
        assert said.endswith("bring it back from a backup.")


def test_a_preset_counts_its_enabled_features(client: TestClient, preset: Any) -> None:
    assert preset["features"] == 1
    assert client.get("/api/presets").json()["items"][0]["features"] == 1
