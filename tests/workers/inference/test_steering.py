"""Steering asked for over HTTP and by the command line, with a real model and a real database."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
import typer
from fastapi.testclient import TestClient
from sqlalchemy import select
from tests.api.test_client import ToTheApp
from tests.makers import make_release
from tests.tiny_collections import D_SAE, ask_for_collection, do_all_steps
from tests.workers.inference.conftest import Asking
from typer.testing import CliRunner

from scopebook import Client
from scopebook.commands import steer
from scopebook.corpus_statistics import statistics_of
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.db.tables import Model, Sae
from scopebook.errors import InvalidInputError, NotFoundError
from scopebook.steering import Intervention, resolve
from scopebook_workers.inference import service
from scopebook_workers.qwen.steer import steered
from scopebook_workers.sae.edits import Edit, LayerEdits

SET = "Tiny-Model/{layer}-res-w1k-l0_8/{index}"
TEXT = "the cat sat on"
TOKENS = 6


def named(layer: int, index: int) -> str:
    return SET.format(layer=layer, index=index)


@pytest.fixture
def collected(asking: Asking) -> Asking:
    ask_for_collection(asking.sessions)
    do_all_steps()
    return asking


def often(asking: Asking, layer: int = 1) -> int:
    """Return a feature of a layer that fires, but not on everything."""
    with asking.sessions() as session:
        sae = session.scalars(select(Sae).where(Sae.layer == layer)).one()
        density = statistics_of(session, sae).density
    return int(np.where(np.nan_to_num(density) < 0.9, np.nan_to_num(density), 0).argmax())


def post(client: TestClient, **body: Any) -> Any:
    asked = {"text": TEXT, "go_on": {"tokens": TOKENS}, **body}
    answer = client.post("/api/steer", json=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.usefixtures("working")
def test_the_unsteered_text_stands_beside_the_steered_ones_with_what_moved(
    collected: Asking, client: TestClient
) -> None:
    feature = often(collected)
    named_one, other = named(1, feature), named(3, often(collected, 3))

    found = post(
        client,
        interventions=[
            {"feature": named_one, "op": "add", "value": 2, "unit": "max_act"},
            {"feature": other, "op": "scale", "value": 3},
        ],
        strengths=[0, 1, 4],
        asked_for={"text": "say it in words: the cat"},
    )
    plain = client.post("/api/inspect", json={"model": "Tiny-Model", **going_on()}).json()

    unsteered, none, once, strongly, asked = found["variants"]
    kinds = [(one["kind"], one["strength"]) for one in found["variants"]]
    assert kinds == [
        *[("unsteered", None), ("steered", 0.0), ("steered", 1.0), ("steered", 4.0)],
        ("asked", None),
    ]
    assert unsteered["text"] == plain["text"] == none["text"]
    assert asked["text"].startswith("say it in words: the cat")
    assert [len(one["tokens"]) for one in found["variants"]] == [TOKENS] * 5
    for one in found["variants"]:
        assert one["text"][one["begun"] :] == "".join(token["text"] for token in one["tokens"])
        assert all(token["alternatives"][0][1] >= token["probability"] for token in one["tokens"])
    assert none["divergence"] == pytest.approx(0, abs=1e-5)
    assert once["divergence"] > 0.01
    assert strongly["divergence"] > 0.01
    assert unsteered["divergence"] is asked["divergence"] is None
    assert none["means"] == unsteered["means"]
    with collected.sessions() as session:
        sae = session.scalars(select(Sae).where(Sae.layer == 1)).one()
        largest = float(statistics_of(session, sae).max[feature])
    added, scaled = found["interventions"]
    assert added["value"] == pytest.approx(2 * largest)
    assert added["share_of_norm"] > 0
    assert (scaled["value"], scaled["share_of_norm"]) == (3, None)
    assert found["norms"].keys() == {"1", "3"}
    assert client.get(f"/api/steer/{found['id']}").json() == found


def going_on() -> dict[str, Any]:
    return {"text": TEXT, "go_on": {"tokens": TOKENS}}


@pytest.mark.usefixtures("working")
def test_a_share_of_the_norm_is_what_is_added(collected: Asking, client: TestClient) -> None:
    wanted = {"feature": named(1, 7), "op": "add", "value": -0.5, "unit": "resid_norm"}

    found = post(client, interventions=[wanted])

    [applied] = found["interventions"]
    assert applied["share_of_norm"] == pytest.approx(0.5)
    resident = service._residents()._resident
    assert resident is not None
    sae = service._residents().saes({1: next(iter(service._residents().held))})[1]
    length = abs(applied["value"]) * float(sae.w_dec[7].norm())
    assert applied["value"] < 0
    assert length == pytest.approx(found["norms"]["1"] / 2, rel=1e-3)


@pytest.mark.usefixtures("working")
def test_the_first_token_is_what_a_run_with_the_same_edit_makes_likeliest(
    collected: Asking, client: TestClient
) -> None:
    found = post(client, interventions=[{"feature": named(1, 3), "op": "ablate"}])

    resident = service._residents()._resident
    assert resident is not None
    sae = service._residents().saes({1: service._residents().held[0]})[1]
    token_ids = torch.tensor([resident.tokenizer.encode(TEXT).ids])
    where = torch.ones_like(token_ids, dtype=torch.bool)
    layers = {1: LayerEdits(sae, [[Edit(3, "ablate")]])}
    with torch.no_grad(), steered(resident.model, layers) as steering, steering.at(where):
        logits = resident.model(token_ids).logits[0, -1]
    likely = logits[: len(resident.pieces)].softmax(0)
    first = found["variants"][1]["tokens"][0]
    assert first["probability"] == pytest.approx(float(likely.max()), rel=1e-3)
    assert found["variants"][0]["tokens"][0]["probability"] != first["probability"]


@pytest.mark.usefixtures("working")
def test_progress_tells_of_each_variant(asking: Asking, client: TestClient) -> None:
    body = {**going_on(), "interventions": [{"feature": named(1, 3), "op": "ablate"}]}
    told = []
    with client.stream(
        "POST", "/api/steer", json=body, headers={"Accept": "text/event-stream"}
    ) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                told.append(json.loads(line.removeprefix("data: ")))

    *progress, found = told
    last = [one for one in progress if one["written"]][-1]
    assert [[text for text, _ in row] for row in last["written"]] == [
        [token["text"] for token in variant["tokens"]] for variant in found["variants"]
    ]


@pytest.mark.usefixtures("working")
def test_without_a_collection_nothing_is_measured_and_a_share_of_the_norm_is_refused(
    asking: Asking, client: TestClient
) -> None:
    found = post(client, interventions=[{"feature": named(1, 3), "op": "ablate"}])
    assert (found["norms"], found["neutral_tokens"]) == ({}, 0)
    assert found["variants"][1]["divergence"] is None

    share = {"feature": named(1, 3), "op": "add", "value": 1, "unit": "resid_norm"}
    answer = client.post("/api/steer", json={**going_on(), "interventions": [share]})

    assert answer.status_code == 422
    assert "give it in raw or max_act" in answer.json()["detail"]


@pytest.mark.usefixtures("working")
def test_the_client_asks_the_same(asking: Asking, client: TestClient) -> None:
    with Client(transport=ToTheApp(client)) as scopebook:
        found = scopebook.steer(
            TEXT,
            [{"feature": named(1, 3), "op": "add", "value": 2.0, "unit": "raw"}],
            go_on={"tokens": TOKENS, "temperature": 0.0, "seed": 0},
        )
        again = scopebook.steering(found["id"])

    assert again == found
    assert found["interventions"][0]["value"] == 2.0


@pytest.mark.parametrize(
    ("interventions", "said"),
    [
        ([], "0 features are to be steered; name 1 to 100."),
        ([Intervention(feature=named(1, place), op="ablate") for place in range(101)], "101 feat"),
        (
            [Intervention(feature=named(1, 3), value=math.nan)],
            "has the value nan; give a number between",
        ),
        (
            [Intervention(feature=named(1, 3), value=math.inf)],
            "has the value inf; give a number between",
        ),
        ([Intervention(feature=named(1, 3), value=1e7)], "value 1e.07; give a number between"),
        (
            [
                Intervention(feature=named(1, 3), op="project", value=0.0),
                Intervention(feature=named(1, 4), op="project", value=0.5),
            ],
            "Projections of layer 1 leave 0 and 0.5",
        ),
        ([Intervention(feature=named(1, 3))], "add of .* needs a value"),
        ([Intervention(feature=named(1, 3), op="ablate", value=1.0)], "ablate takes no value"),
        ([Intervention(feature=named(1, 3), op="ablate")] * 2, "is named twice"),
        (
            [
                Intervention(feature=named(1, 3), op="ablate"),
                Intervention(feature=named(1, 3).replace("/3", "/03"), op="ablate"),
            ],
            "/03 is named twice",
        ),
        ([Intervention(feature=named(1, 3), value=1.0)], "fired nowhere in what was collected"),
        (
            [
                Intervention(feature=named(1, 3), op="ablate"),
                Intervention(feature="Tiny-Model/1-other/3", op="ablate"),
            ],
            "belong to several releases",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_sentence(
    asking: Asking, interventions: list[Intervention], said: str
) -> None:
    with unit_of_work(asking.sessions) as session:
        model = session.scalars(select(Model)).one()
        make_release(session, "Other", model=model, layers=(1,), d_sae=D_SAE, set_name="other")
        with pytest.raises(InvalidInputError, match=said):
            resolve(session, interventions)


def test_a_feature_that_is_not_there_is_named(asking: Asking) -> None:
    with asking.sessions() as session, pytest.raises(NotFoundError, match="There is no feature"):
        resolve(session, [Intervention(feature=named(1, D_SAE), op="ablate")])


@pytest.mark.parametrize("strengths", [[], [1.0] * 17])
def test_strengths_that_are_none_or_too_many_are_refused(
    client: TestClient, strengths: list[float]
) -> None:
    wanted = [{"feature": named(1, 3), "op": "ablate"}]
    body = {**going_on(), "interventions": wanted, "strengths": strengths}

    assert client.post("/api/steer", json=body).status_code == 422


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"strengths": [2e6]}, "The strengths are 2e+06; give 1 to 16 numbers"),
        ({"positions": {"prompt": "none", "written": False}}, "No token is to be steered"),
        (
            {"positions": {"prompt": "none"}, "go_on": {"tokens": 1}},
            "No token is to be steered",
        ),
        ({"text": ""}, "The text is empty"),
        ({"go_on": {"tokens": 1, "temperature": 0.0}, "text": None}, "The text is empty"),
    ],
)
def test_a_request_that_says_nothing_is_refused(
    client: TestClient, body: dict[str, Any], said: str
) -> None:
    wanted = [{"feature": named(1, 3), "op": "ablate"}]

    answer = client.post("/api/steer", json={**going_on(), "interventions": wanted, **body})

    assert answer.status_code == 422
    assert said in answer.json()["detail"]


@pytest.mark.usefixtures("working")
def test_a_sweep_over_every_operation_begins_where_nothing_is_done(
    collected: Asking, client: TestClient
) -> None:
    operations = [
        *({"op": op, "value": 3, "unit": "raw"} for op in ("add", "set", "min_set")),
        *({"op": op, "value": 0} for op in ("scale", "project")),
        {"op": "ablate"},
    ]
    wanted = [
        {"feature": named(1, index), **operation}
        for index, operation in zip((3, 4, 5, 6, 7, 8), operations, strict=True)
    ]

    found = post(client, interventions=wanted, strengths=[0, 0.5, 1])

    unsteered, none, half, whole = found["variants"]
    assert none["tokens"][0]["probability"] == pytest.approx(
        unsteered["tokens"][0]["probability"], rel=1e-3
    )
    assert none["divergence"] == pytest.approx(0, abs=1e-5)
    assert 0 < half["divergence"] != whole["divergence"] > 0
    assert [one["op"] for one in found["interventions"]] == [one["op"] for one in wanted]


@pytest.mark.usefixtures("working")
def test_a_text_that_is_read_too_often_is_refused(asking: Asking, client: TestClient) -> None:
    wanted = [{"feature": named(1, 3), "op": "ablate"}]
    body = {"text": "the cat " * 400, "interventions": wanted, "strengths": [1.0] * 16}

    answer = client.post("/api/steer", json=body)

    assert answer.status_code == 422
    assert "is read 17 times" in answer.json()["detail"]


@pytest.mark.usefixtures("working")
def test_the_command_shows_both_texts_and_refuses_what_is_no_edit(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def here(*, work: bool = False) -> Iterator[Sessions]:
        yield asking.sessions

    monkeypatch.setattr(steer, "dictionary", here)

    app = typer.Typer()
    app.command()(steer.steer_text)
    shown = CliRunner().invoke(app, [TEXT, "--mute", named(1, 3), "--go-on", str(TOKENS)])
    as_json = CliRunner().invoke(
        app,
        [
            *(TEXT, "--add", f"{named(1, 3)}=-2.5", "--unit", "raw", "--strengths", "1,2"),
            *("--go-on", str(TOKENS), "--json"),
        ],
    )
    refused = CliRunner().invoke(app, [TEXT, "--add", named(1, 3)])

    assert shown.exit_code == 0, shown.output
    assert "Unsteered" in shown.stdout
    assert "Steered × 1" in shown.stdout
    assert "ablate" in shown.stdout
    found = json.loads(as_json.stdout)
    assert [one["strength"] for one in found["variants"]] == [None, 1.0, 2.0]
    assert found["interventions"][0]["value"] == -2.5
    assert isinstance(refused.exception, InvalidInputError)
    assert "is no FEATURE=VALUE" in str(refused.exception)
