"""Scripts that are written for Neuronpedia: its paths, names and shapes, over what is here."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from apps import app_over
from makers import (
    make_corpus,
    make_embedding,
    make_evidence,
    make_examples,
    make_label,
    make_model,
    make_release,
    make_run,
    make_score,
)
from people import client_of, make_account, make_token
from scopebook.accounts import local_actor
from scopebook.db.label_tables import Label
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.db.tables import Context
from scopebook.search_ways import QueryVector
from scopebook.visibility import set_visibility

MODEL, SOURCE = "tiny-model", "1-res-w1k-l0_8"
RIVERS: dict[str, Any] = {"modelId": MODEL, "layer": SOURCE, "index": 1}
KINGS: dict[str, Any] = {"modelId": MODEL, "source": SOURCE, "index": "2"}
NAMED = {"modelId": MODEL, "layer": SOURCE, "index": "1"}


@pytest.fixture
def clients(sessions: Sessions) -> Iterator[dict[str, TestClient]]:
    """Scripts of two annotators and a viewer; a second release is kept for ben alone."""
    with unit_of_work(sessions) as session:
        model = make_model(session, "Qwen/Tiny-Model")
        sae, _ = make_release(session, "Qwen/SAE-Res-Tiny-Model-W1K-L0_8", model=model)
        [kept] = make_release(session, "SAE-Kept", model=model, layers=[1], set_name="kept")
        run = make_run(session, [sae], make_corpus(session, ["Am Rhein entlang"]))
        contexts = session.scalars(select(Context.id)).all()
        make_evidence(session, run, sae, 1, examples=make_examples(contexts))
        rivers = make_label(session, sae, 1, "names of rivers", source="llm")
        make_score(session, rivers, 0.9)
        embedder_id = make_embedding(session, rivers, [1.0, 0.0, 0.0])
        for index in range(2, 16):
            make_label(session, sae, index, f"names of kings {index}")
            make_label(session, kept, index, f"names of kings {index}")
        for name, role in (("ada", "annotator"), ("ben", "annotator"), ("vic", "viewer")):
            make_account(session, name, role)
        set_visibility(session, "SAE-Kept", role=None, accounts=["ben"], by=local_actor(session))
        secrets = {name: make_token(session, name, "annotate") for name in ("ada", "ben", "vic")}
    app = app_over(sessions, lambda _: QueryVector(embedder_id, [1.0, 0.0, 0.0]))
    clients = {
        name: client_of(sessions, app=app, headers={"x-api-key": secret})
        for name, secret in secrets.items()
    }
    with clients["ada"], clients["ben"], clients["vic"]:
        yield clients


def test_a_feature_is_told_in_its_shape_by_its_name_there_or_here(
    clients: dict[str, TestClient],
) -> None:
    ada = clients["ada"]
    listed = {"name": "set", "features": [RIVERS | {"description": "wet"}]}
    made = ada.post("/api/list/new-with-features", json=listed).json()

    found = ada.get(f"/api/feature/{MODEL}/{SOURCE}/1").json()

    assert NAMED.items() <= found.items()
    assert (found["sourceSetName"], found["frac_nonzero"]) == ("res-w1k-l0_8", 0.01)
    assert (found["pos_str"], found["pos_values"]) == (["the", "\\xe4\\xb8"], [2.5, 1.5])
    assert (found["topkCosSimIndices"], found["freq_hist_data_bar_heights"]) == ([2], [5.0])
    assert (found["correlated_features_l1"], found["vector"], found["umap_x"]) == ([], [], None)
    [explanation] = found["explanations"]
    assert explanation["description"] == "names of rivers"
    assert (explanation["typeName"], explanation["explanationModelName"]) == (
        "scopebook-llm",
        "test-1",
    )
    [score] = explanation["scores"]
    assert (score["value"], score["explanationScoreTypeName"]) == (0.9, "detection")
    assert score["explanationId"] == explanation["id"]
    [activation] = found["activations"]
    assert "".join(activation["tokens"]) == "Am R"
    assert activation["values"][activation["maxValueTokenIndex"]] == activation["maxValue"] == 3.0
    assert (activation["binContains"], activation["dataSource"]) == (-1.0, "tiny")
    [member] = found["lists"]
    assert (member["listId"], member["description"]) == (made["id"], "wet")
    assert found["model"]["id"] == MODEL
    assert (found["source"]["id"], found["source"]["visibility"]) == (SOURCE, "PUBLIC")
    assert found["sourceSet"]["releaseName"] == "sae-res-tiny-model-w1k-l0_8"
    assert ada.get(f"/api/feature/Qwen/Tiny-Model/{SOURCE}/1").json() == found
    both = ada.post("/api/features", json=[KINGS, RIVERS | {"maxActsToReturn": 0}]).json()
    assert [one["index"] for one in both] == ["2", "1"]
    assert [len(one["activations"]) for one in both] == [0, 0]
    assert both[0]["maxActApprox"] is None
    assert both[1]["explanations"] == found["explanations"]


def test_labels_are_searched_in_layers_models_releases_and_everywhere_by_pages(
    clients: dict[str, TestClient],
) -> None:
    ada = clients["ada"]
    asked = {
        "search": {"modelId": MODEL, "layers": [SOURCE]},
        "search-model": {"modelId": MODEL},
        "search-release": {"releaseName": "sae-res-tiny-model-w1k-l0_8"},
        "search-all": {},
    }

    answers = {
        path: ada.post(f"/api/explanation/{path}", json=body | {"query": "river"}).json()
        for path, body in asked.items()
    }
    elsewhere = {"modelId": MODEL, "layers": ["2-res-w1k-l0_8"], "query": "river"}
    nothing = ada.post("/api/explanation/search", json=elsewhere).json()

    for path, answer in answers.items():
        [result] = answer["results"]
        assert NAMED.items() <= result.items()
        assert (result["description"], result["cosine_similarity"]) == ("names of rivers", 1.0)
        assert result["neuron"]["explanations"][0]["description"] == "names of rivers"
        assert result["neuron"]["activations"][0]["maxValue"] == 3.0
        assert (answer["resultsCount"], answer["hasMore"], answer["nextOffset"]) == (1, False, None)
        assert answer["request"] == asked[path] | {"query": "river", "offset": 0}
    assert (nothing["results"], nothing["resultsCount"]) == ([], 0)

    ask: dict[str, Any] = {"modelId": MODEL, "query": "names of kings"}
    first = clients["ben"].post("/api/explanation/search-model", json=ask).json()
    ask["offset"] = first["nextOffset"]
    second = clients["ben"].post("/api/explanation/search-model", json=ask).json()

    seen = [(one["layer"], one["index"]) for one in first["results"] + second["results"]]
    # Both releases, and the label that is near by its vector alone.
    assert (first["resultsCount"], first["hasMore"], first["nextOffset"]) == (20, True, 20)
    assert (len(seen), len(set(seen)), second["hasMore"]) == (29, 29, False)


def test_what_is_kept_for_others_is_not_there(clients: dict[str, TestClient]) -> None:
    path = f"/api/feature/{MODEL}/1-kept/3"
    everywhere = {"query": "names of kings 3"}
    body = [{"modelId": MODEL, "layer": "1-kept", "index": 3}]

    statuses = {
        name: [
            clients[name].get(path).status_code,
            clients[name].post("/api/features", json=body).status_code,
            "1-kept" in clients[name].post("/api/explanation/search-all", json=everywhere).text,
        ]
        for name in ("ada", "ben")
    }
    refused = clients["ada"].get(path).json()

    assert statuses == {"ada": [404, 404, False], "ben": [200, 200, True]}
    assert set(refused) == {"message"}
    assert "1-kept" not in refused["message"].split("there is")[1]
    assert clients["ben"].get(path).json()["source"]["visibility"] == "PRIVATE"


def test_a_persons_wording_is_a_proposal(
    sessions: Sessions, clients: dict[str, TestClient]
) -> None:
    said = RIVERS | {"explanation": "great rivers", "explanationModel": "a-model"}

    answer = clients["ada"].post("/api/explanation/new", json={"feature": said})
    again = clients["ada"].post("/api/explanation/new", json={"feature": said})

    assert answer.status_code == 200
    assert answer.json()["url"].endswith(f"/features/Qwen/Tiny-Model/{SOURCE}/1")
    with sessions() as session:
        label = session.scalars(select(Label).where(Label.text == "great rivers")).one()
        assert (label.source, label.author, label.current) == ("person", "ada", False)
    history = clients["ada"].get(f"/api/features/Qwen/Tiny-Model/{SOURCE}/1/history").json()
    assert history["items"][0]["reason"] == "Worded by a-model, as it was sent."
    assert (again.status_code, set(again.json())) == (409, {"message"})


def test_lists_are_made_changed_and_removed(clients: dict[str, TestClient]) -> None:
    ada = clients["ada"]

    def post(path: str, key: str | None = None, **body: Any) -> Any:
        headers = {"Idempotency-Key": key} if key else {}
        answer = ada.post(f"/api/list/{path}", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    made = post("new", "key", name="first", testText="the Rhine")
    again = post("new", "key", name="first", testText="the Rhine")
    listed = post("new-with-features", name="second", features=[KINGS])
    added = post("add-features", listId=made["id"], featuresToAdd=[RIVERS | {"description": "wet"}])
    edited = post("edit-feature", listId=made["id"], **RIVERS, description="dry")
    updated = post("update", listId=made["id"], name="other", description="why")
    own = post("list")
    full = post("get", listId=made["id"])
    removed = post("remove", listId=made["id"], **NAMED)
    left = post("get", listId=int(made["id"]))
    post("delete", listId=listed["id"])
    gone = ada.post("/api/list/get", json={"listId": listed["id"]})

    assert again == made
    assert made["url"].endswith(f"/lists/{made['id']}")
    assert (made["user"], made["defaultTestText"]) == ({"name": "ada"}, None)
    expected = NAMED | {"listId": made["id"], "description": "wet"}
    assert [expected.items() <= one.items() for one in added] == [True]
    assert (edited["description"], updated["name"], updated["description"]) == (
        "dry",
        "other",
        "why",
    )
    assert [one["name"] for one in own] == ["other", "second"]
    [item] = full["neurons"]
    assert (item["description"], item["neuron"]["index"]) == ("dry", "1")
    assert NAMED.items() <= removed.items()
    assert (left["neurons"], gone.status_code, set(gone.json())) == ([], 404, {"message"})


REFUSED: list[tuple[str, str, Any, int, str]] = [
    ("ada", "features", [RIVERS | {"layer": "nope"}], 400, "LAYER-SET"),
    ("ada", "features", [RIVERS | {"index": "x"}], 400, "index"),
    ("ada", "features", [RIVERS | {"index": 99}], 404, "99"),
    ("ada", "features", [RIVERS | {"modelId": "gpt2"}], 404, "gpt2"),
    ("ada", "explanation/search", {"query": "x"}, 400, "modelId"),
    ("ada", "explanation/search-all", {"query": " "}, 400, "empty"),
    ("ada", "explanation/search-all", {"query": "x", "offset": 590}, 400, "600"),
    ("ada", "explanation/search-release", {"query": "x", "releaseName": "no"}, 404, "'no'"),
    ("vic", "list/new", {"name": "x"}, 403, "annotator"),
]


def test_what_is_refused_says_so_in_a_message(clients: dict[str, TestClient]) -> None:
    for who, path, body, status, said in REFUSED:
        answer = clients[who].post(f"/api/{path}", json=body)

        assert (answer.status_code, set(answer.json())) == (status, {"message"}), path
        assert said in answer.json()["message"]
