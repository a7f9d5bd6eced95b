"""Scripts that are written for Neuronpedia and steer a model."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from tests.makers import make_model, make_release
from tests.workers.inference.conftest import Asking
from tests.workers.inference.test_prompts import TEMPLATE

from scopebook.db.inference_tables import Inference

MODEL, SOURCE = "tiny-model", "1-res-w1k-l0_8"
OURS = "Tiny-Model/1-res-w1k-l0_8/{index}"
TEXT = "the cat sat on"
TOKENS = 6
FEATURE = {"modelId": MODEL, "layer": SOURCE, "index": 7, "strength": 10}
#: As the scripts of its documentation have it.
BODY = {
    "prompt": TEXT,
    "modelId": MODEL,
    "features": [FEATURE],
    "temperature": 0.5,
    "n_tokens": TOKENS,
    "freq_penalty": 1.0,
    "seed": 16,
    "strength_multiplier": 4,
}
HELLO = [{"role": "user", "content": "the cat"}]
CHAT = {key: value for key, value in BODY.items() if key != "prompt"} | {
    "defaultChatMessages": HELLO,
    "steeredChatMessages": HELLO,
    "steer_special_tokens": True,
}


def post(client: TestClient, body: dict[str, Any], path: str = "steer") -> Any:
    answer = client.post(f"/api/{path}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ours(client: TestClient, **body: Any) -> Any:
    asked = {"text": TEXT, "go_on": {"tokens": TOKENS, "temperature": 0.5, "seed": 16}, **body}
    return post(client, asked)


@pytest.mark.usefixtures("working")
def test_a_strength_is_the_activation_that_our_own_steering_adds(client: TestClient) -> None:
    found = post(client, BODY)
    mine = ours(
        client,
        interventions=[{"feature": OURS.format(index=7), "op": "add", "value": 40, "unit": "raw"}],
    )

    unsteered, steered = mine["variants"]
    assert found["DEFAULT"] == unsteered["text"][unsteered["begun"] :]
    assert found["STEERED"] == steered["text"][steered["begun"] :]
    assert found["STEERED"] != found["DEFAULT"]
    for told, variant in (
        (found["defaultLogProbs"], unsteered),
        (found["steeredLogProbs"], steered),
    ):
        assert [one["token"] for one in told] == [one["text"] for one in variant["tokens"]]
        for one, token in zip(told, variant["tokens"], strict=True):
            assert one["logprob"] == pytest.approx(math.log(token["probability"]), abs=1e-3)
            likeliest = [
                (text, pytest.approx(math.log(p), abs=1e-3))
                for text, p in token["alternatives"][:5]
            ]
            assert [(it["token"], it["logprob"]) for it in one["topLogprobs"]] == likeliest
    assert found["limit"] is None
    assert found["notes"] == [
        "freq_penalty 1 is not applied: tokens are drawn by temperature alone."
    ]
    kept = client.get(f"/api/steer/{found['id']}").json()
    assert kept["interventions"] == mine["interventions"]


@pytest.mark.usefixtures("working")
def test_the_page_of_the_share_url_asks_the_same(client: TestClient) -> None:
    found = post(client, BODY)

    assert found["shareUrl"] == (
        "http://localhost:8000/steer?text=the+cat+sat+on&features=Tiny-Model%2F1-res-w1k-l0_8%2F7"
        "~add~40.0~raw&tokens=6&temperature=0.5&seed=16"
    )
    assert post(client, BODY | {"steer_special_tokens": False})["shareUrl"] is None


@pytest.mark.usefixtures("working")
def test_a_feature_by_its_other_names_twice_is_added_together(client: TestClient) -> None:
    once = post(client, BODY | {"freq_penalty": 0})
    half = {"modelId": "Tiny-Model", "source": SOURCE, "index": "7", "strength": 5}

    twice = post(client, BODY | {"features": [half, half | {"modelId": MODEL}], "seed": 16.0})

    assert once["notes"] == []
    assert twice["STEERED"] == once["STEERED"]
    assert twice["steeredLogProbs"] == once["steeredLogProbs"]


@pytest.mark.usefixtures("working")
def test_the_orthogonal_method_scales_what_is_there_along_the_direction(
    client: TestClient,
) -> None:
    body = BODY | {"steer_method": "ORTHOGONAL_DECOMP", "strength_multiplier": 0.5}

    found = post(client, body)

    mine = ours(
        client, interventions=[{"feature": OURS.format(index=7), "op": "project", "value": 5}]
    )
    steered = mine["variants"][1]
    assert found["STEERED"] == steered["text"][steered["begun"] :]


@pytest.mark.usefixtures("working")
def test_a_stream_repeats_the_whole_answer_as_it_grows(client: TestClient) -> None:
    with client.stream("POST", "/api/steer", json=BODY | {"stream": True}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        frames = [
            json.loads(line.removeprefix("data: "))
            for line in answer.iter_lines()
            if line.startswith("data: ")
        ]

    *growing, whole = frames
    assert growing
    for one in growing:
        assert whole["STEERED"].startswith(one["STEERED"])
        assert one["steeredLogProbs"] is None
    again = post(client, BODY)
    assert whole | {"id": ""} == again | {"id": ""}


@pytest.mark.usefixtures("working")
def test_a_stream_ends_with_what_went_wrong(client: TestClient) -> None:
    body = CHAT | {"stream": True}  # its tokenizer has no template

    with client.stream("POST", "/api/steer-chat", json=body) as answer:
        [told] = [line for line in answer.iter_lines() if line]

    assert json.loads(told.removeprefix("data: ")).keys() == {"message"}
    assert "has no chat template" in told


@pytest.mark.usefixtures("working")
def test_each_chat_goes_on_with_its_own_turns(
    asking: Asking, client: TestClient, tmp_path: Path
) -> None:
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": TEMPLATE}
    (tmp_path / "model" / "tokenizer_config.json").write_text(json.dumps(config))
    other = [{"role": "developer", "content": "hm"}, {"role": "user", "content": "der Hund"}]

    same = post(client, CHAT, "steer-chat")
    apart = post(client, CHAT | {"defaultChatMessages": other}, "steer-chat")

    assert apart["STEERED"] == same["STEERED"]
    assert apart["DEFAULT"]["raw"] != same["DEFAULT"]["raw"]
    for found, begun in ((same["DEFAULT"], HELLO), (apart["DEFAULT"], other)):
        assert found["chatTemplate"] == found["chat_template"]
        assert found["chatTemplate"][:-1] == begun
        assert found["chatTemplate"][-1] == {"role": "assistant", "content": found["raw"]}
        assert "".join(one["token"] for one in found["logprobs"]) == found["raw"]
    assert same["settings"] == {
        **{"temperature": 0.5, "n_tokens": TOKENS, "freq_penalty": 1.0, "seed": 16},
        **{"strength_multiplier": 4.0, "steer_special_tokens": True},
        "steer_method": "SIMPLE_ADDITIVE",
    }
    assert same["shareUrl"] is None
    with asking.sessions() as session:
        first, second = session.scalars(select(Inference).order_by(Inference.id))
    assert len(first.parameters["prompts"]) == 1
    assert [turn["role"] for turn in second.parameters["prompts"][1]["messages"]] == [
        "system",
        "user",
    ]


@pytest.mark.parametrize(
    ("changes", "status", "sentence"),
    [
        ({"prompt": ""}, 400, "The text is empty"),
        ({"features": []}, 400, "features: List should have at least 1 item"),
        ({"modelId": "no-such"}, 404, "There is no model 'no-such' here"),
        ({"features": [FEATURE | {"layer": "9-x"}]}, 404, "has no source '9-x' here"),
        ({"features": [FEATURE | {"index": 99}]}, 404, "There is no feature"),
        ({"features": [FEATURE | {"strength": 1e6}]}, 400, "give a number between"),
        ({"modelId": "other"}, 400, "Feature 1 is one of tiny-model, and other is to be steered"),
        ({"steer_method": "PROJECTION_CAP"}, 400, "steer_method: Input should be 'SIMPLE_ADD"),
        (
            {
                "features": [FEATURE, FEATURE | {"index": 3}],
                "steer_method": "ORTHOGONAL_DECOMP",
            },
            400,
            "give one feature of each layer, or SIMPLE_ADDITIVE",
        ),
    ],
)
def test_a_refusal_has_their_shape(
    asking: Asking, client: TestClient, changes: dict[str, Any], status: int, sentence: str
) -> None:
    with asking.sessions.begin() as session:
        make_other(session)

    answer = client.post("/api/steer", json=BODY | changes)

    assert (answer.status_code, answer.json().keys()) == (status, {"message"})
    assert sentence in answer.json()["message"]


def make_other(session: Any) -> None:
    """Add a second model with a release."""
    make_release(session, "Other", model=make_model(session, "Other"), layers=(1,), set_name="x")


def test_a_refusal_of_ours_at_the_same_path_stays_ours(client: TestClient) -> None:
    answer = client.post("/api/steer", json={"text": "modelId"})
    broken = client.post(
        "/api/steer",
        content=b'{"modelId": "modelId"',
        headers={"Content-Type": "application/json"},
    )

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert "interventions: Field required" in answer.json()["detail"]
    assert broken.status_code == 422


@pytest.mark.parametrize("changes", [{"axes": ["persona"]}, {"isAssistantAxis": True}])
def test_readouts_are_refused(client: TestClient, changes: dict[str, Any]) -> None:
    answer = client.post("/api/steer-chat", json=CHAT | changes)

    assert answer.status_code == 400
    assert next(iter(changes)) in answer.json()["message"]
