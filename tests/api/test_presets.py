"""Presets over HTTP: two people at one preset, who may export what, and what comes out."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from fastapi.testclient import TestClient

from makers import make_corpus, make_evidence, make_examples, make_release, make_run
from people import client_of, cookie_of, make_account
from scopebook.accounts import local_actor
from scopebook.artifacts import write_artifact
from scopebook.db.preset_tables import PresetExport, PresetReport
from scopebook.db.sessions import Sessions
from scopebook.db.tables import Model
from scopebook.settings import settings, use_settings
from scopebook.visibility import set_visibility

FEATURE = "Tiny-Model/1-res-w1k-l0_8/{}"
ROLES = {"vic": "viewer", "ann": "annotator", "ben": "annotator", "eve": "editor", "ada": "admin"}


def draft(index: int = 3, value: float = 2.0, **more: Any) -> dict[str, Any]:
    one = {"feature": FEATURE.format(index), "op": "add", "value": value, "unit": "raw"}
    return {"interventions": [one], **more}


@pytest.fixture
def clients(sessions: Sessions) -> Iterator[dict[str, TestClient]]:
    with sessions.begin() as session:
        saes = make_release(session)
        run = make_run(session, saes, make_corpus(session, ["a b c"]))
        make_evidence(session, run, saes[0], 3, examples=make_examples([1]))
        for name, role in ROLES.items():
            make_account(session, name, role)
    with sessions.begin() as session:
        headers = {name: cookie_of(session, name) for name in ROLES}
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(client_of(sessions, headers=headers[name])) for name in ROLES
        }


@pytest.fixture
def make(clients: dict[str, TestClient]) -> Callable[..., Any]:
    def make_preset(name: str = "water", **more: Any) -> Any:
        answer = clients["ann"].post("/api/presets", json={"name": name, "draft": draft()} | more)
        assert answer.status_code == 201, answer.text
        return answer.json()

    return make_preset


def test_two_people_save_at_once_and_both_versions_are_kept(
    clients: dict[str, TestClient], make: Callable[..., Any]
) -> None:
    path = f"/api/presets/{make()['id']}"
    ann, eve = clients["ann"], clients["eve"]
    read = {who.get(path).headers["ETag"] for who in (ann, eve)}
    assert read == {'"1"'}

    first = eve.post(
        f"{path}/versions", json={"draft": draft(4), "note": "eve's"}, headers={"If-Match": '"1"'}
    )
    second = ann.post(
        f"{path}/versions", json={"draft": draft(5), "note": "ann's"}, headers={"If-Match": '"1"'}
    )
    again = ann.post(
        f"{path}/versions",
        json={"draft": draft(5), "note": "ann's"},
        headers={"If-Match": second.headers["ETag"]},
    )

    assert (first.status_code, second.status_code, again.status_code) == (200, 412, 200)
    problem = second.json()
    assert problem["current"]["version"] == 2
    assert "look at both, then save yours after it" in problem["detail"]
    versions = ann.get(f"{path}/versions").json()["items"]
    assert [(one["number"], one["author"], one["note"]) for one in versions] == [
        (3, "ann", "ann's"),
        (2, "eve", "eve's"),
        (1, "ann", ""),
    ]
    changes = ann.get(f"{path}/diff", params={"before": 2, "after": 3}).json()["changes"]
    assert {one["what"] for one in changes} == {FEATURE.format(4), FEATURE.format(5)}


def test_a_change_names_what_it_was_read_as(
    clients: dict[str, TestClient], make: Callable[..., Any]
) -> None:
    path = f"/api/presets/{make()['id']}"
    ann = clients["ann"]

    unnamed = ann.patch(path, json={"name": "x"})
    malformed = ann.patch(path, json={"name": "x"}, headers={"If-Match": "three"})
    stale = ann.patch(path, json={"name": "x"}, headers={"If-Match": '"7"'})
    good = ann.patch(path, json={"name": "x", "archived": True}, headers={"If-Match": '"1"'})

    assert [one.status_code for one in (unnamed, malformed, stale, good)] == [428, 422, 412, 200]
    assert (good.json()["name"], good.headers["ETag"]) == ("x", '"2"')


def test_what_is_saved_comes_back_to_be_edited(
    clients: dict[str, TestClient], make: Callable[..., Any]
) -> None:
    test = {
        "name": "stays English",
        "prompts": ["The house"],
        "measure": "script",
        "of": "Han",
        "expect": "below",
        "value": 0.05,
    }
    wanted = draft(groups=[{"name": "water", "strength": 0.5}], tests=[test])
    wanted["interventions"][0]["group"] = "water"
    made = make(draft=wanted)

    found = clients["vic"].get(f"/api/presets/{made['id']}/versions/1").json()

    assert found["draft"]["groups"] == [{"name": "water", "strength": 0.5}]
    assert found["draft"]["interventions"][0]["group"] == "water"
    assert found["draft"]["tests"][0].items() >= test.items()
    assert found["document"]["notice"]["caution"] == "For research."
    again = clients["ben"].post(
        "/api/presets/import", json={"document": found["document"], "name": "copy"}
    )
    assert again.status_code == 201, again.text
    copied = clients["ben"].get(f"/api/presets/{again.json()['id']}/versions/1").json()
    assert copied["sha256"] == found["sha256"]


def test_a_viewer_exports_nothing_that_it_may_not_see(
    clients: dict[str, TestClient], make: Callable[..., Any], sessions: Sessions, tmp_path: Any
) -> None:
    use_settings(settings().model_copy(update={"artifacts": str(tmp_path)}))
    kept = make("kept", visible_to="annotator")
    path = f"/api/presets/{kept['id']}"
    asked = clients["ben"].post(f"{path}/versions/1/exports", json={"targets": ["transformers"]})
    assert asked.status_code == 202, asked.text
    write_artifact("presets/1.zip", lambda file: file.write(b"PK") and None)
    with sessions.begin() as session:
        export = session.query(PresetExport).one()
        export.artifact, export.sha256, export.size_bytes = "presets/1.zip", "0" * 64, 2
        session.add(PresetReport(version_id=export.version_id, kind="test", job_id=export.job_id))
        number = export.id
    reads = (
        path,
        f"{path}/versions",
        f"{path}/versions/1",
        f"{path}/versions/1/targets",
        f"{path}/diff?before=1&after=1",
        f"{path}/exports",
        f"{path}/exports/{number}/file",
        f"{path}/reports",
    )

    assert {clients["vic"].get(one).status_code for one in reads} == {404}
    assert {clients["ben"].get(one).status_code for one in reads} == {200}
    refused = clients["vic"].post(f"{path}/versions/1/exports", json={"targets": ["gguf"]})
    assert refused.status_code == 404
    assert clients["vic"].get("/api/presets").json()["items"] == []
    newest, *_ = clients["ben"].get("/api/jobs").json()["items"]
    job = asked.json()
    assert newest["id"] == job["id"]
    assert job["id"] not in [one["id"] for one in clients["vic"].get("/api/jobs").json()["items"]]
    jobs = (f"/api/jobs/{job['id']}", f"/api/jobs/{job['id']}/steps")
    assert {clients["vic"].get(one).status_code for one in jobs} == {404}
    file = clients["ben"].get(f"{path}/exports/{number}/file")
    assert (file.content, file.headers["content-type"]) == (b"PK", "application/zip")
    assert "preset-1-v1-transformers.zip" in file.headers["content-disposition"]


def test_a_viewer_may_export_what_it_sees_and_change_nothing(
    clients: dict[str, TestClient], make: Callable[..., Any]
) -> None:
    path = f"/api/presets/{make()['id']}"
    vic = clients["vic"]

    statuses = {
        "export": vic.post(f"{path}/versions/1/exports", json={"targets": ["peft"]}),
        "save": vic.post(f"{path}/versions", json={"draft": draft(4)}, headers={"If-Match": '"1"'}),
        "test": vic.post(f"{path}/versions/1/tests"),
        "fork": vic.post(f"{path}/versions/1/fork", json={"name": "x"}),
    }

    assert {name: answer.status_code for name, answer in statuses.items()} == {
        "export": 202,
        "save": 403,
        "test": 403,
        "fork": 403,
    }


def test_each_target_says_what_it_would_refuse_and_lose(
    clients: dict[str, TestClient], make: Callable[..., Any]
) -> None:
    muted = {"interventions": [{"feature": FEATURE.format(3), "op": "ablate"}]}
    path = f"/api/presets/{make(draft=muted)['id']}/versions/1"

    targets = {one["name"]: one for one in clients["vic"].get(f"{path}/targets").json()["items"]}

    assert list(targets)[:3] == ["transformers", "gguf", "peft"]
    assert targets["transformers"]["refusals"] == []
    [reason] = targets["gguf"]["refusals"]
    assert FEATURE.format(3) in reason
    answer = clients["ann"].post(f"{path}/exports", json={"targets": ["transformers", "gguf"]})
    assert answer.status_code == 422
    assert reason in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ('{"feature": "F", "op": "add", "value": NaN, "unit": "raw"}', "finite number"),
        ('{"feature": "F", "op": "add", "value": 1e999, "unit": "raw"}', "finite number"),
        ('{"feature": "F", "op": "explode"}', "Input should be 'add'"),
        (", ".join(['{"feature": "F", "op": "ablate"}'] * 500), "at most 100 items"),
    ],
)
def test_numbers_that_are_none_and_too_many_features_are_refused(
    clients: dict[str, TestClient], body: str, sentence: str
) -> None:
    text = body.replace("F", FEATURE.format(3))

    answer = clients["ann"].post(
        "/api/presets",
        content=f'{{"name": "x", "draft": {{"interventions": [{text}]}}}}',
        headers={"Content-Type": "application/json"},
    )

    assert answer.status_code == 422
    assert sentence in answer.json()["detail"]


def test_a_name_that_a_hidden_preset_has_is_taken_too(
    clients: dict[str, TestClient], make: Callable[..., Any], sessions: Sessions
) -> None:
    """The preset of a release that is kept from who asks is seen by no query of hers."""
    make("water")
    with sessions.begin() as session:
        release = "SAE-Res-Tiny-Model-W1K-L0_8"
        set_visibility(session, release, role="editor", accounts=[], by=local_actor(session))
        model = session.query(Model).one()
        make_release(session, "Open", model=model, set_name="open")
    body = {"interventions": [{"feature": "Tiny-Model/1-open/3", "op": "ablate"}]}

    answer = clients["ben"].post("/api/presets", json={"name": "water", "draft": body})

    assert answer.status_code == 409
    assert "is there already" in answer.json()["detail"]


def test_what_is_asked_twice_under_a_key_is_exported_once(
    clients: dict[str, TestClient], make: Callable[..., Any]
) -> None:
    path = f"/api/presets/{make()['id']}/versions/1/exports"
    asked = {"json": {"targets": ["peft"]}, "headers": {"Idempotency-Key": "abc"}}

    first, second = (clients["vic"].post(path, **asked).json()["id"] for _ in range(2))

    assert first == second


def test_an_export_that_is_not_done_says_so(
    clients: dict[str, TestClient], make: Callable[..., Any]
) -> None:
    path = f"/api/presets/{make()['id']}"
    clients["ann"].post(f"{path}/versions/1/exports", json={"targets": ["peft"]})
    [export] = clients["ann"].get(f"{path}/exports").json()["items"]

    answer = clients["ann"].get(f"{path}/exports/{export['id']}/file")

    assert answer.status_code == 404
    assert f"job {export['job_id']} says how far it is" in answer.json()["detail"]
