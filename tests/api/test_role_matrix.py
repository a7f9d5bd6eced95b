"""Every route for everybody: who may come in, and who may not.

A route that is not in the table fails the test: say there who may ask it.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial

import pytest
from fastapi.routing import iter_route_contexts
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from people import bearer, client_of, cookie_of, make_account, make_token
from scopebook.accounts import ROLES
from scopebook.db.sessions import Sessions
from scopebook.tokens import SCOPES
from scopebook_api.app import create_app
from scopebook_api.routers import jobs, live

OF_FEATURE = "/api/features/{model:path}/{source}/{index}"
#: Paths of Neuronpedia.
THEIR_SEARCHES = ("search", "search-model", "search-release", "search-all")
THEIR_CHANGES = (
    *("new", "new-with-features", "add-features", "remove", "edit-feature", "update", "delete"),
)
#: The least role for each route; `anybody` takes no login. `person` is any account by a login, but
#: not by a token.
ROUTES = {
    "GET /api/openapi.json": "anybody",
    "GET /api/docs": "anybody",
    "GET /api/health": "anybody",
    "GET /api/health/ready": "anybody",
    # Who sits at the machine, as all do here; tests/api/test_metrics.py has the others.
    "GET /metrics": "machine",
    "GET /api/session": "anybody",
    "POST /api/session": "anybody",
    "DELETE /api/session": "anybody",
    "POST /api/links/look": "anybody",
    "POST /api/links/use": "anybody",
    "GET /api/provider": "anybody",
    "GET /api/provider/callback": "anybody",
    "GET /api/status": "viewer",
    "POST /api/inspect": "viewer",
    "GET /api/inspect/{inference_id}": "viewer",
    "DELETE /api/inspect/{inference_id}": "viewer",
    "POST /api/compare": "viewer",
    "POST /api/search-all": "viewer",
    "POST /api/search-topk-by-token": "viewer",
    "POST /api/activation/new": "viewer",
    "POST /api/steer-chat": "viewer",
    "GET /api/compare/{inference_id}": "viewer",
    "DELETE /api/compare/{inference_id}": "viewer",
    "POST /api/steer": "viewer",
    "GET /api/steer/{inference_id}": "viewer",
    "DELETE /api/steer/{inference_id}": "viewer",
    "GET /api/search": "viewer",
    "GET /api/search/facets": "viewer",
    "GET /api/features": "viewer",
    "GET /api/features/{model:path}/{source}/{index}": "viewer",
    "GET /api/features/{model:path}/{source}/{index}/origins": "viewer",
    "GET /api/features/{model:path}/{source}/{index}/alike": "viewer",
    f"GET {OF_FEATURE}/annotation": "viewer",
    f"GET {OF_FEATURE}/history": "viewer",
    f"GET {OF_FEATURE}/live": "viewer",
    f"POST {OF_FEATURE}/reviews": "annotator",
    f"POST {OF_FEATURE}/proposals": "annotator",
    f"POST {OF_FEATURE}/pin": "editor",
    f"POST {OF_FEATURE}/second-opinion": "annotator",
    f"POST {OF_FEATURE}/comments": "annotator",
    f"PUT {OF_FEATURE}/comments/{{comment_id}}": "annotator",
    f"DELETE {OF_FEATURE}/comments/{{comment_id}}": "annotator",
    f"PUT {OF_FEATURE}/tags/{{tag:path}}": "annotator",
    f"DELETE {OF_FEATURE}/tags/{{tag:path}}": "annotator",
    f"PUT {OF_FEATURE}/off-meaning/{{context_id}}": "annotator",
    f"DELETE {OF_FEATURE}/off-meaning/{{context_id}}": "annotator",
    f"POST {OF_FEATURE}/senses/merge": "annotator",
    f"POST {OF_FEATURE}/senses/split": "annotator",
    f"POST {OF_FEATURE}/history/{{change_id}}/undo": "annotator",
    "GET /api/reviews": "viewer",
    "POST /api/reviews/bulk": "annotator",
    "POST /api/reviews/bulk/{token}/apply": "annotator",
    "POST /api/reviews/bulk/{bulk_id}/undo": "annotator",
    "GET /api/queue": "viewer",
    "GET /api/queue/live": "viewer",
    "POST /api/queue/next": "annotator",
    "POST /api/queue/release": "annotator",
    "POST /api/queue/skip": "annotator",
    "GET /api/tags": "viewer",
    "PUT /api/tags/{name:path}": "editor",
    "GET /api/comments/mentions": "viewer",
    "GET /api/agreement": "viewer",
    "POST /api/features/batch": "viewer",
    "GET /api/labels.ndjson": "viewer",
    "GET /api/labels/drift": "viewer",
    "GET /api/labels/coverage": "viewer",
    "GET /api/labels/scores": "viewer",
    "GET /api/labels/servers": "editor",
    "POST /api/labels": "editor",
    "POST /api/scores": "editor",
    "GET /api/maps/latest": "viewer",
    "GET /api/maps/{map_id}/points": "viewer",
    "POST /api/maps": "editor",
    "GET /api/releases": "viewer",
    "GET /api/releases/{release:path}/visibility": "admin",
    "PUT /api/releases/{release:path}/visibility": "admin",
    "GET /api/corpora": "viewer",
    "GET /api/corpora/{corpus_id}/deletion": "admin",
    "DELETE /api/corpora/{corpus_id}": "admin",
    "GET /api/jobs": "viewer",
    "GET /api/jobs/events": "viewer",
    "GET /api/jobs/{job_id}": "viewer",
    "GET /api/jobs/{job_id}/steps": "viewer",
    "GET /api/jobs/{job_id}/events": "viewer",
    "POST /api/jobs/{job_id}/cancel": "editor",
    "POST /api/jobs/{job_id}/retry": "editor",
    "GET /api/runs": "viewer",
    "POST /api/runs": "editor",
    "GET /api/runs/{run_id}": "viewer",
    "POST /api/runs/{run_id}/use": "editor",
    "GET /api/scans": "viewer",
    "POST /api/scans": "editor",
    "GET /api/scans/{scan_id}": "viewer",
    "GET /api/scans/{scan_id}/deletion": "editor",
    "DELETE /api/scans/{scan_id}": "editor",
    "GET /api/scans/{scan_id}/features": "viewer",
    "GET /api/scans/{scan_id}/hits": "viewer",
    "GET /api/scans/{scan_id}/documents/{document_id}": "viewer",
    "GET /api/scans/{scan_id}/export": "viewer",
    "GET /api/presets": "viewer",
    "POST /api/presets": "annotator",
    "POST /api/presets/import": "annotator",
    "GET /api/presets/{preset_id}": "viewer",
    "PATCH /api/presets/{preset_id}": "annotator",
    "GET /api/presets/{preset_id}/versions": "viewer",
    "POST /api/presets/{preset_id}/versions": "annotator",
    "GET /api/presets/{preset_id}/versions/{number}": "viewer",
    "POST /api/presets/{preset_id}/versions/{number}/status": "editor",
    "POST /api/presets/{preset_id}/versions/{number}/fork": "annotator",
    "GET /api/presets/{preset_id}/diff": "viewer",
    "GET /api/presets/{preset_id}/versions/{number}/targets": "viewer",
    "POST /api/presets/{preset_id}/versions/{number}/exports": "viewer",
    "GET /api/presets/{preset_id}/exports": "viewer",
    "GET /api/presets/{preset_id}/exports/{export_id}/file": "viewer",
    "POST /api/presets/{preset_id}/versions/{number}/tests": "annotator",
    "POST /api/presets/{preset_id}/versions/{number}/prune": "annotator",
    "GET /api/presets/{preset_id}/reports": "viewer",
    "GET /api/lists": "viewer",
    "POST /api/lists": "annotator",
    "GET /api/lists/{list_id}": "viewer",
    "PATCH /api/lists/{list_id}": "annotator",
    "DELETE /api/lists/{list_id}": "annotator",
    "GET /api/lists/{list_id}/items": "viewer",
    "POST /api/lists/{list_id}/items": "annotator",
    "POST /api/lists/{list_id}/items/move": "annotator",
    "POST /api/lists/{list_id}/items/note": "annotator",
    "POST /api/lists/{list_id}/items/remove": "annotator",
    "GET /api/lists/{list_id}/export": "viewer",
    "GET /api/feature/{model_id:path}/{layer}/{index}": "viewer",
    "POST /api/features": "viewer",
    **dict.fromkeys(
        (f"POST /api/explanation/{path}" for path in THEIR_SEARCHES),
        "viewer",
    ),
    "POST /api/explanation/new": "annotator",
    **dict.fromkeys((f"POST /api/list/{path}" for path in ("get", "list")), "viewer"),
    **dict.fromkeys((f"POST /api/list/{path}" for path in THEIR_CHANGES), "annotator"),
    "GET /api/accounts": "admin",
    "POST /api/accounts": "admin",
    "PATCH /api/accounts/{name}": "admin",
    "POST /api/accounts/{name}/link": "admin",
    "PUT /api/me/password": "person",
    "GET /api/me/sessions": "person",
    "DELETE /api/me/sessions": "person",
    "DELETE /api/me/sessions/{login_id}": "person",
    "GET /api/tokens": "viewer",
    "POST /api/tokens": "person",
    "DELETE /api/tokens/{token_id}": "person",
    "GET /api/webhooks": "editor",
    "POST /api/webhooks": "editor",
    "DELETE /api/webhooks/{webhook_id}": "editor",
    "GET /api/webhooks/{webhook_id}/deliveries": "editor",
    "POST /api/webhooks/{webhook_id}/deliveries/{delivery_id}/again": "editor",
    "GET /api/audit": "admin",
}
#: Who asks, and the role it is worth; None: nobody who is known.
CALLERS = {
    "anonymous": None,
    "expired token": None,
    "revoked token": None,
    "invented token": None,
    "token of a disabled account": None,
    "login of a disabled account": None,
    **{role: role for role in ROLES},
    "read token of an admin": "viewer",
    "annotate token of an admin": "annotator",
    "edit token of an admin": "editor",
    "admin token of an admin": "admin",
    "admin token of one who is a viewer by now": "viewer",
}
#: Nothing is there, so that whoever may come in changes nothing.
#: Numbers that nothing has, however many tokens the matrix makes.
_VALUES = {
    **{"model:path": "m", "source": "1-x", "index": "0", "release:path": "r", "name": "nobody"},
    **{"model_id:path": "m", "layer": "1-x", "name:path": "a", "tag:path": "a", "token": "a"},
    **dict.fromkeys(("job_id", "run_id", "map_id", "token_id", "comment_id", "list_id"), "999999"),
    **dict.fromkeys(("change_id", "context_id", "bulk_id", "webhook_id", "delivery_id"), "999999"),
    **dict.fromkeys(("login_id", "inference_id", "scan_id", "document_id"), "999999"),
    **dict.fromkeys(("preset_id", "number", "export_id", "corpus_id"), "999999"),
}


def paths_of_the_app() -> set[str]:
    app = create_app(sessionmaker(), lambda _: None)
    return {
        f"{method} {route.path}"
        for route in iter_route_contexts(app.routes)
        for method in (route.methods or {"ANY"}) - {"HEAD"}
        if route.path
    }


def test_every_route_has_a_role() -> None:
    assert paths_of_the_app() == set(ROUTES)


@pytest.fixture
def people(sessions: Sessions) -> None:
    """One account of each role, one that was an admin, and one that is shut out."""
    with sessions.begin() as session:
        for role in ROLES:
            make_account(session, f"the-{role}", role)
        make_account(session, "demoted", "viewer")
        # By hand: `disable_account` also ends logins, and the refusal is to do without that.
        make_account(session, "gone", "admin").disabled_at = datetime.now(UTC)


def make_callers(session: Session) -> dict[str, dict[str, str]]:
    """Return the headers of each caller, with logins and tokens that nobody has used yet."""
    token = partial(make_token, session)
    secrets = {
        "invented token": "sb_invented",
        "expired token": token("the-admin", "admin", expired=True),
        "revoked token": token("the-admin", "admin", revoked=True),
        "token of a disabled account": token("gone", "admin"),
        "admin token of one who is a viewer by now": token("demoted", "admin"),
        **{f"{scope} token of an admin": token("the-admin", scope) for scope in SCOPES},
    }
    return {
        "anonymous": {},
        "login of a disabled account": cookie_of(session, "gone"),
        **{role: cookie_of(session, f"the-{role}") for role in ROLES},
        **{caller: bearer(secret) for caller, secret in secrets.items()},
    }


def right(needed: str, caller: str, status: int) -> bool:
    """Tell whether a status is one that this caller may get from a route."""
    role = CALLERS[caller]
    if needed == "anybody":
        # Where it is asked who somebody is, a token that is no good is told to be so.
        return status not in (401, 403) or (status == 401 and role is None and "token" in caller)
    if needed == "machine":
        return status == 200
    if role is None:
        return status == 401
    if needed == "person":
        return (status == 403) == ("token" in caller) and status != 401
    return status != 401 and (status == 403) == (ROLES.index(role) < ROLES.index(needed))


@pytest.fixture
def streams_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: object) -> AsyncIterator[str]:
        return
        yield ""

    monkeypatch.setattr(jobs, "_changes", nothing)
    monkeypatch.setattr(live, "_queue_events", nothing)


@pytest.mark.usefixtures("people", "streams_end")
def test_a_route_is_for_those_of_its_role_and_nobody_else(sessions: Sessions) -> None:
    mistakes = {}
    with client_of(sessions) as client:
        for route, needed in ROUTES.items():
            method, path = route.split(" ")
            for name, value in _VALUES.items():
                path = path.replace(f"{{{name}}}", value)
            with sessions.begin() as session:
                callers = make_callers(session)
            assert set(callers) == set(CALLERS)
            for caller, headers in callers.items():
                client.cookies.clear()  # which an answer to the caller before may have set
                status = client.request(method, path, headers=headers).status_code
                if status in (405, 500) or not right(needed, caller, status):
                    mistakes[route, caller] = status

    assert mistakes == {}


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("role", ROLES)
def test_ones_own_token_can_be_revoked_and_anothers_is_not_there(
    sessions: Sessions, role: str
) -> None:
    with sessions.begin() as session:
        headers = cookie_of(session, f"the-{role}")
        for owner in (f"the-{role}", "demoted"):
            make_token(session, owner)
        newest = text("SELECT max(id) FROM api_token GROUP BY account_id ORDER BY max(id) DESC")
        others, own = session.execute(newest).scalars().all()[:2]

    with client_of(sessions, headers=headers) as client:
        assert client.delete(f"/api/tokens/{own}").status_code == 200
        other = client.delete(f"/api/tokens/{others}")
        listed = client.get("/api/tokens").json()["items"]

    assert other.status_code == (200 if role == "admin" else 404)
    assert {token["account"] for token in listed} == {f"the-{role}"}


@pytest.mark.usefixtures("people")
def test_tokens_of_everybody_are_for_admins(sessions: Sessions) -> None:
    with sessions.begin() as session:
        callers = {role: cookie_of(session, f"the-{role}") for role in ROLES}
    with client_of(sessions) as client:
        statuses = {
            role: client.get("/api/tokens?everybody=true", headers=callers[role]).status_code
            for role in ROLES
        }

    assert statuses == {"viewer": 403, "annotator": 403, "editor": 403, "admin": 200}
