"""The routes of labels: their scores, and what stands behind them."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from annotating import hold, make_reviewable, say
from makers import (
    make_corpus,
    make_evidence,
    make_examples,
    make_label,
    make_labeling,
    make_origin,
    make_release,
    make_run,
    make_score,
)
from scopebook.accounts import local_actor
from scopebook.db.sessions import Sessions
from scopebook.db.tables import Context
from scopebook.groupings import merge_senses

FEATURE = "Tiny-Model/1-res-w1k-l0_8/7"
#: As a labeling by keywords keeps it.
SHARP = {
    "split_rate": 0.05,
    "conflated_ari": 0.9,
    "parted_rate": 0.95,
    "n_single": 100,
    "n_pairs": 200,
}


@pytest.fixture
def scored(sessions: Sessions) -> None:
    """Two labels by a model, one with a score and one with two, and what it was asked."""
    with sessions.begin() as session:
        sae, _ = make_release(session)
        run = make_run(session, [sae], make_corpus(session, ["rivers run down"]))
        context_id = session.scalars(select(Context.id)).one()
        make_evidence(session, run, sae, 7, examples=make_examples([context_id], end=6))
        label = make_label(session, sae, 7, "names of rivers", source="llm")
        make_score(session, label, 0.9)
        make_score(session, label, 0.8, scorer="support")
        make_score(session, make_label(session, sae, 8, "kings", source="llm"), 0.3)
        labeling = make_labeling(session, sae, run.id, source="llm")
        labeling.parameters = {"endpoint": "http://127.0.0.1:1/v1", "prompt": "label-1"}
        make_origin(session, labeling, 7, shown=[0])


@pytest.mark.usefixtures("scored")
def test_a_feature_is_read_with_the_scores_of_its_labels(client: TestClient) -> None:
    feature = client.get(f"/api/features/{FEATURE}").json()

    assert [(score["scorer"], score["value"]) for score in feature["scores"]] == [
        ("support", 0.8),
        ("detection", 0.9),
    ]
    assert {score["label_id"] for score in feature["scores"]} == {feature["label"]["id"]}
    assert feature["label"]["current"] is True


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        ({}, None),
        ({"resolution": None}, None),
        ({"resolution": SHARP}, SHARP | {"coarse": False}),
        (
            {"resolution": SHARP | {"split_rate": 0.62}},
            SHARP | {"split_rate": 0.62, "coarse": True},
        ),
        (
            {"resolution": SHARP | {"conflated_ari": 0.79}},
            SHARP | {"conflated_ari": 0.79, "coarse": True},
        ),
    ],
)
def test_how_far_senses_can_be_trusted_is_told_of_a_layer_and_of_a_feature(
    client: TestClient, sessions: Sessions, kept: dict[str, Any], told: dict[str, Any] | None
) -> None:
    with sessions.begin() as session:
        sae, _ = make_release(session)
        run = make_run(session, [sae], make_corpus(session, ["rivers run down"]))
        context_id = session.scalars(select(Context.id)).one()
        make_evidence(session, run, sae, 7, examples=make_examples([context_id], end=6))
        sorting = make_labeling(session, sae, run.id)
        sorting.parameters = kept
        wording = make_labeling(session, sae, run.id, source="llm")
        wording.base_id = sorting.id
        make_origin(session, wording, 7)
        # Of single features alone: it speaks of them, not of the layer.
        make_labeling(session, sae, run.id).parameters = {"features": [7], "resolution": SHARP}

    coverage = client.get("/api/labels/coverage").json()["items"]
    feature = client.get(f"/api/features/{FEATURE}").json()

    assert [layer["resolution"] for layer in coverage] == [told, None]
    assert (feature["resolution"], feature["asked"], feature["ineligible"]) == (told, 1, None)


def test_senses_that_a_person_has_joined_are_no_pass_over_a_layer(
    client: TestClient, sessions: Sessions
) -> None:
    with sessions.begin() as session:
        sae, run = make_reviewable(session)
        senses = [("rivers", [0]), ("streams", [1])]
        labeling, _ = say(session, sae, run, "water", source="keywords", senses=senses)
        merge_senses(session, hold(session, local_actor(session), sae), [0, 1], None)
        machines = labeling.id

    [layer] = client.get("/api/labels/coverage").json()["items"]

    assert [told["id"] for told in layer["labelings"]] == [machines]


@pytest.mark.usefixtures("scored")
@pytest.mark.parametrize(
    ("wanted", "status", "said"),
    [
        ({"embedder": "all-MiniLM-L6-v2"}, 202, ""),
        ({"embedder": "http://localhost:1/v1", "embedder_model": "m"}, 202, ""),
        ({"embedder": "/etc"}, 422, "embedder"),
        ({"embedder": "../models/x"}, 422, "embedder"),
        ({"embedder": "http://me:s3cret@localhost/v1"}, 422, "must hold no password"),
        ({"embedder": "terms", "embedder_model": "m"}, 422, "no server's address"),
        ({"embedder_model": "m"}, 422, "no server's address"),
    ],
)
def test_senses_are_asked_for_by_an_embedder(
    client: TestClient, wanted: dict[str, str], status: int, said: str
) -> None:
    [layer, *_] = client.get("/api/labels/coverage").json()["items"]
    body = {"release": layer["release"], "layers": [1], **wanted}

    answer = client.post("/api/labels", json=body)

    assert answer.status_code == status, answer.text
    assert said in answer.text


@pytest.mark.usefixtures("scored")
def test_what_a_model_was_asked_is_read_with_the_texts_it_saw(client: TestClient) -> None:
    answer = client.get(f"/api/features/{FEATURE}/origins").json()

    [origin] = answer["items"]
    assert (origin["endpoint"], origin["prompt_version"]) == ("http://127.0.0.1:1/v1", "label-1")
    assert "".join(token["text"] for token in origin["shown"][0]["tokens"]) == "rivers"
    assert client.get(f"/api/features/{FEATURE[:-1]}9/origins").json()["items"] == []
    missing = client.get(f"/api/features/{FEATURE}99/origins")
    assert (missing.status_code, "has 16 features" in missing.json()["detail"]) == (404, True)


@pytest.mark.usefixtures("scored")
def test_features_labelled_nearly_the_same_are_asked_for_by_the_features_id(
    client: TestClient,
) -> None:
    assert client.get(f"/api/features/{FEATURE}/alike").json() == {
        "items": [],
        "next": None,
        "total": 0,
    }
    missing = client.get(f"/api/features/{FEATURE}99/alike")
    assert (missing.status_code, "has 16 features" in missing.json()["detail"]) == (404, True)


@pytest.mark.usefixtures("scored")
def test_scores_are_told_with_the_worst_labels_first(client: TestClient) -> None:
    first = client.get("/api/labels/scores", params={"limit": 1}).json()
    second = client.get("/api/labels/scores", params={"limit": 1, "cursor": first["next"]}).json()
    support = client.get("/api/labels/scores", params={"scorer": "support", "layer": 1}).json()
    wrong = client.get("/api/labels/scores", params={"scorer": "guess"})

    assert [one["scorer"] for one in first["distributions"]] == ["detection", "support"]
    assert [item["label"]["text"] for item in first["items"] + second["items"]] == [
        "kings",
        "names of rivers",
    ]
    assert second["next"] is None
    assert [item["feature"]["id"] for item in support["items"]] == [FEATURE]
    assert support["distributions"][1]["unscored"] == {"llm": 1}
    assert wrong.status_code == 422
