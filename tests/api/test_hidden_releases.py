"""Routes about a release that is kept for others answer as if it were not there."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from makers import (
    make_corpus,
    make_embedding,
    make_evidence,
    make_examples,
    make_label,
    make_labeling,
    make_model,
    make_release,
    make_run,
    make_scan,
    make_score,
)
from people import OWN, client_of, cookie_of, make_account
from scopebook.accounts import local_actor
from scopebook.db.jobs import Job
from scopebook.db.map_tables import FeatureMap
from scopebook.db.sessions import Sessions
from scopebook.preset_drafts import DraftIntervention, PresetDraft
from scopebook.presets import create_preset
from scopebook.steering import Intervention
from scopebook.visibility import set_visibility

KEPT, OPEN = "SAE-Res-Kept", "SAE-Res-Open"
#: Steering as Neuronpedia asks for it.
THEIRS = {
    **{"modelId": "tiny-model", "temperature": 0, "n_tokens": 1, "seed": 1},
    "features": [{"modelId": "tiny-model", "layer": "1-kept", "index": 7, "strength": 1}],
    **{"strength_multiplier": 1, "prompt": "a"},
    **{
        f"{which}ChatMessages": [{"role": "user", "content": "a"}]
        for which in ("default", "steered")
    },
}
#: With what each is about; all ids are 1, which is the kept release's, but for those of labelings.
NOT_THERE = [
    ("GET", f"/api/features?release={KEPT}", None),
    ("GET", "/api/features/Tiny-Model/1-kept/7", None),
    ("GET", "/api/features/Tiny-Model/1-kept/7/origins", None),
    ("GET", "/api/features/Tiny-Model/1-kept/7/alike", None),
    ("GET", f"/api/search?q=rivers&release={KEPT}", None),
    ("GET", "/api/labels/drift?first=1&second=2", None),
    ("GET", f"/api/labels/coverage?release={KEPT}", None),
    ("GET", f"/api/labels/scores?release={KEPT}", None),
    ("POST", "/api/labels", {"release": KEPT}),
    ("POST", "/api/scores", {"release": KEPT}),
    ("GET", f"/api/maps/latest?release={KEPT}", None),
    ("GET", "/api/maps/1/points", None),
    ("POST", "/api/maps", {"release": KEPT}),
    ("GET", f"/api/runs?release={KEPT}", None),
    ("POST", "/api/runs", {"release": KEPT, "corpus": f"corpus {KEPT}"}),
    ("GET", "/api/runs/1", None),
    ("POST", "/api/runs/1/use", None),
    ("GET", f"/api/scans?release={KEPT}", None),
    ("POST", "/api/scans", {"release": KEPT, "texts": ["text"]}),
    ("GET", "/api/scans/1", None),
    ("GET", "/api/scans/1/deletion", None),
    ("DELETE", "/api/scans/1", None),
    ("GET", "/api/scans/1/features", None),
    ("GET", "/api/scans/1/hits?feature=Tiny-Model/1-kept/7", None),
    ("GET", "/api/scans/1/documents/1", None),
    ("GET", "/api/scans/1/export", None),
    (
        "POST",
        "/api/steer",
        {"text": "a", "interventions": [{"feature": "Tiny-Model/1-kept/7", "op": "ablate"}]},
    ),
    ("GET", f"/api/presets?release={KEPT}", None),
    (
        "POST",
        "/api/presets",
        {
            "name": "p",
            "draft": {"interventions": [{"feature": "Tiny-Model/1-kept/7", "op": "ablate"}]},
        },
    ),
    ("GET", "/api/presets/1", None),
    ("GET", "/api/presets/1/versions", None),
    ("GET", "/api/presets/1/versions/1", None),
    ("GET", "/api/presets/1/versions/1/targets", None),
    ("POST", "/api/presets/1/versions/1/exports", {"targets": ["peft"]}),
    ("GET", "/api/presets/1/exports", None),
    ("GET", "/api/presets/1/reports", None),
    ("POST", "/api/steer?theirs", THEIRS),
    ("POST", "/api/steer-chat", THEIRS),
    ("GET", "/api/jobs/1", None),
    ("GET", "/api/jobs/1/steps", None),
    ("GET", "/api/jobs/1/events", None),
    ("POST", "/api/jobs/1/cancel", None),
    ("POST", "/api/jobs/1/retry", None),
]
#: Answers that mention all releases.
LISTS = (
    "/api/releases",
    "/api/features",
    "/api/search?q=rivers",
    "/api/search?q=rivers&sort=density",
    "/api/search?q=7",
    "/api/search/facets?q=rivers",
    "/api/search?q=Tiny-Model/1-kept/7",
    "/api/labels/coverage",
    "/api/labels/scores",
    "/api/runs",
    "/api/scans",
    "/api/presets",
    "/api/jobs",
    "/api/status",
)


@pytest.fixture
def clients(sessions: Sessions) -> Iterator[dict[str, TestClient]]:
    """Two editors; one release is kept for ben."""
    with sessions.begin() as session:
        model = make_model(session)
        for name, set_name in ((KEPT, "kept"), (OPEN, "open")):
            (sae,) = make_release(session, name, model=model, layers=[1], set_name=set_name)
            documents = make_corpus(session, ["text"], name=f"corpus {name}")
            run = make_run(session, [sae], documents)
            session.get_one(Job, run.job_id).title = f"Collect {name}"
            make_evidence(session, run, sae, 7, examples=make_examples([run.id], peak=1, end=2))
            label = make_label(session, sae, 7, "names of rivers")
            make_score(session, label, 0.9)
            embedder_id = make_embedding(session, label, [1.0, 0.0, 0.0])
            for _ in range(2):
                make_labeling(session, sae, run.id)
            make_scan(session, sae.release_id, documents[0].corpus_id)
            session.add(
                FeatureMap(
                    release_id=sae.release_id,
                    embedder_id=embedder_id,
                    layers=[1],
                    labels_state="",
                    parameters={},
                    regions=[],
                    points=0,
                    artifact="nowhere",
                )
            )
        for name in ("ada", "ben"):
            make_account(session, name, "editor")
        operator = local_actor(session)
        for set_name, release in (("kept", KEPT), ("open", OPEN)):
            muted = Intervention(feature=f"Tiny-Model/1-{set_name}/7", op="ablate")
            draft = PresetDraft(interventions=[DraftIntervention(intervention=muted)])
            create_preset(session, operator, f"preset for {release}", draft)
        set_visibility(session, KEPT, role=None, accounts=["ben"], by=operator)
        cookies = {name: cookie_of(session, name) for name in ("ada", "ben")}
    with (
        client_of(sessions, headers=cookies["ada"]) as ada,
        client_of(sessions, headers=cookies["ben"]) as ben,
    ):
        yield {"ada": ada, "ben": ben}


def test_what_is_kept_for_others_is_not_there(clients: dict[str, TestClient]) -> None:
    statuses = {
        (method, path): [client.request(method, path, json=body).status_code for client in asked]
        for method, path, body in NOT_THERE
        # A stream does not end for who may see it.
        for asked in [[clients["ada"]] * 2 if path.endswith("events") else [*clients.values()]]
    }

    assert {asked for asked, (hidden, _) in statuses.items() if hidden != 404} == set()
    seen = {asked: status for asked, (_, status) in statuses.items() if "events" not in asked[1]}
    assert {asked for asked, status in seen.items() if status in (403, 404, 500)} == set()


def test_no_list_tells_of_what_is_kept_for_others(clients: dict[str, TestClient]) -> None:
    told = {path: [client.get(path) for client in clients.values()] for path in LISTS}

    assert {answer.status_code for answers in told.values() for answer in answers} == {200}
    hidden, seen = ({path: answers[i].text for path, answers in told.items()} for i in (0, 1))
    assert {path for path, text in hidden.items() if KEPT in text or "1-kept" in text} == set()
    assert {path for path, text in seen.items() if KEPT not in text} == {"/api/status"}
    held = [answer.json() for answer in told["/api/status"]]
    counts = [(answer["releases"], answer["labelled"]) for answer in held]
    assert counts == [(1, 1), (2, 2)]


def test_a_shared_list_tells_nothing_of_what_is_kept_for_others(
    clients: dict[str, TestClient],
) -> None:
    features = [f"Tiny-Model/1-{name}/7" for name in ("kept", "open")]
    wanted = {"name": "rivers", "shared": True, "features": features}
    made = clients["ben"].post("/api/lists", json=wanted, headers=OWN).json()

    path = f"/api/lists/{made['id']}"
    told = {
        name: [client.get(f"{path}{part}").text for part in ("", "/items", "/export")]
        for name, client in clients.items()
    }

    assert "1-kept" in told["ben"][1]
    assert "1-kept" in told["ben"][2]
    assert not any("1-kept" in text or KEPT in text for text in told["ada"])
    assert "1-open" in told["ada"][1]
    assert "1-open" in told["ada"][2]
    added = clients["ada"].post(f"{path}/items", json={"features": features[:1]}, headers=OWN)
    assert added.status_code == 404
