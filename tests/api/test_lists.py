"""Lists over HTTP: whose they are, what they export, and what they refuse."""

import pytest
from fastapi.testclient import TestClient

from makers import make_label, make_release
from people import client_of, cookie_of, make_account
from scopebook.db.sessions import Sessions, unit_of_work

FEATURE = "Tiny-Model/1-res-w1k-l0_8/1"


@pytest.fixture
def clients(sessions: Sessions) -> dict[str, TestClient]:
    """Two annotators, an editor and a viewer, each with a browser of their own."""
    roles = {"ada": "annotator", "ben": "annotator", "eve": "editor", "vic": "viewer"}
    with unit_of_work(sessions) as session:
        sae, _ = make_release(session)
        make_label(session, sae, 1, "=rivers()")
        for name, role in roles.items():
            make_account(session, name, role)
    with unit_of_work(sessions) as session:
        headers = {name: cookie_of(session, name) for name in roles}
    return {name: client_of(sessions, headers=headers[name]) for name in roles}


@pytest.mark.parametrize(
    ("who", "shared", "reads", "writes"),
    [
        ("ada", False, 200, 200),
        ("ben", False, 404, 404),
        ("ben", True, 200, 403),
        ("eve", False, 404, 404),
        ("eve", True, 200, 200),
        ("vic", True, 200, 403),
        ("vic", False, 404, 403),
    ],
)
def test_a_list_is_its_owners_until_it_is_shared_and_then_editors_too(
    clients: dict[str, TestClient], who: str, shared: bool, reads: int, writes: int
) -> None:
    with clients["ada"] as ada:
        made = ada.post("/api/lists", json={"name": "set", "shared": shared}).json()
    path = f"/api/lists/{made['id']}"

    with clients[who] as client:
        assert client.get(path).status_code == reads
        assert client.get(f"{path}/items").status_code == reads
        assert client.get(f"{path}/export").status_code == reads
        added = client.post(f"{path}/items", json={"features": [FEATURE]})
        renamed = client.patch(path, json={"name": "other"}, headers={"If-Match": '"1"'})

    assert (added.status_code, renamed.status_code) == (writes, writes)


def test_a_list_is_kept_changed_and_exported(clients: dict[str, TestClient]) -> None:
    with clients["ada"] as ada:
        made = ada.post(
            "/api/lists",
            json={"name": "set", "search": {"q": "rivers"}, "features": [FEATURE]},
        )
        path = f"/api/lists/{made.json()['id']}"
        etag = ada.get(path).headers["ETag"]
        changed = ada.patch(path, json={"description": "why"}, headers={"If-Match": etag})
        stale = ada.patch(path, json={"description": "late"}, headers={"If-Match": etag})
        table = ada.get(f"{path}/export", params={"form": "csv"})
        lines = ada.get(f"{path}/export").text
        gone = ada.delete(path)

    assert made.status_code == 201
    assert changed.json()["description"] == "why"
    assert changed.json()["search"] == {"q": "rivers"}
    assert (stale.status_code, gone.status_code) == (409, 204)
    assert "was changed since you read it" in stale.json()["detail"]
    # A spreadsheet must not take a label for a formula.
    assert table.text.splitlines()[1].startswith(f"{FEATURE},'=rivers(),keywords,,,ada,")
    assert '"label": "=rivers()"' in lines


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"name": ""}, "name"),
        ({"name": "x", "odd": 1}, "odd"),
        ({"name": "x", "features": ["nope"]}, "nope"),
        ({"name": "x" * 201}, "name"),
    ],
)
def test_what_is_no_list_is_refused(
    clients: dict[str, TestClient], body: dict[str, object], said: str
) -> None:
    with clients["ada"] as ada:
        answer = ada.post("/api/lists", json=body)

    assert answer.status_code == 422
    assert said in answer.json()["detail"]
