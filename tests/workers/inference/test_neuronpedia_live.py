"""Scripts that are written for Neuronpedia and run a model."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

TEXT = "the cat 中文 sat on the mat"
MODEL, SOURCE = "tiny-model", "1-res-w1k-l0_8"
MANY = {"modelId": MODEL, "sourceSet": "res-w1k-l0_8", "ignoreBos": False}

pytestmark = pytest.mark.usefixtures("working")


def post(client: TestClient, path: str, body: dict[str, Any]) -> Any:
    answer = client.post(f"/api/{path}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_search_all_finds_what_fires_and_what_fires_on_some_tokens(client: TestClient) -> None:
    found = post(client, "search-all", MANY | {"text": TEXT, "numResults": 7})

    assert "".join(found["tokens"]) == TEXT
    assert len(found["result"]) == 7
    largest = [one["maxValue"] for one in found["result"]]
    assert largest == sorted(largest, reverse=True)
    for one in found["result"]:
        assert len(one["values"]) == len(found["tokens"])
        assert one["values"][one["maxValueIndex"]] == max(one["values"]) == one["maxValue"]
        assert one["neuron"]["index"] == one["index"]

    last = len(found["tokens"]) - 1
    on_last = post(client, "search-all", MANY | {"text": TEXT, "sortIndexes": [last]})
    values = [one["values"][last] for one in on_last["result"]]
    assert values == sorted(values, reverse=True)
    assert min(values) > 0


def test_search_all_of_several_texts_and_of_one_layer(client: TestClient) -> None:
    body = MANY | {"text": [TEXT, "der Hund"], "selectedLayers": [SOURCE]}

    found = post(client, "search-all", body)["results"]

    assert ["".join(one["tokens"]) for one in found] == [TEXT, "der Hund"]
    assert {one["layer"] for answer in found for one in answer["result"]} == {SOURCE}


def test_each_token_has_its_strongest_features_as_activation_new_tells_them(
    client: TestClient,
) -> None:
    body = {"modelId": MODEL, "source": SOURCE, "text": TEXT, "numResults": 3}

    found = post(client, "search-topk-by-token", body)

    assert found["source"] == SOURCE
    assert found["results"][0]["topFeatures"] == []  # the first token is left out
    assert "".join(one["token"] for one in found["results"]) == TEXT
    of_token = found["results"][4]
    assert len(of_token["topFeatures"]) == 3
    top = of_token["topFeatures"][0]
    feature = {"modelId": MODEL, "source": SOURCE, "index": str(top["featureIndex"])}
    one = post(client, "activation/new", {"feature": feature, "customText": TEXT})
    assert one["values"][of_token["position"]] == top["activationValue"]
    assert one["tokens"] == [token["token"] for token in found["results"]]


@pytest.mark.parametrize(
    ("path", "body", "status", "sentence"),
    [
        ("search-all", MANY | {"text": ""}, 400, "The text is empty"),
        ("search-all", MANY | {"text": ["a", ""]}, 400, "Text 2 is empty"),
        ("search-all", MANY | {"text": "a", "sourceSet": "x"}, 404, "has no source set 'x' here"),
        (
            "activation/new",
            {"feature": {"modelId": MODEL, "source": SOURCE, "index": 99}, "customText": "a"},
            404,
            "has 48 features",
        ),
    ],
)
def test_a_refusal_has_their_shape(
    client: TestClient, path: str, body: dict[str, Any], status: int, sentence: str
) -> None:
    answer = client.post(f"/api/{path}", json=body)

    assert answer.status_code == status
    assert answer.json().keys() == {"message"}
    assert sentence in answer.json()["message"]
