"""`scopebook.Client` against the real app, and its methods against the schema."""

import ast
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, get_args

import httpx2
import pytest
from fastapi.testclient import TestClient

import scopebook.client
from annotating import make_reviewable, say
from makers import make_label
from people import client_of, make_account, make_token
from running import free_port
from scopebook import Client
from scopebook.client import ChangedSinceError, JobEndedError, ProblemError, UnreachableError
from scopebook.client.reading import Filters, LabelSource, LabelState
from scopebook.client.transport import TRIES
from scopebook.db.sessions import Sessions
from scopebook.entries import refresh_saes
from scopebook.jobs import COLLECT_SHARD
from scopebook.steps import NewStep, cancel_job, create_job
from scopebook_api.client_types import type_files
from scopebook_api.openapi import schema as make_schema

schema = cache(make_schema)
ID = "Tiny-Model/1-res-w1k-l0_8"
#: Not for scripts: they log in by a token, or they are streams.
NOT_IN_THE_CLIENT = {
    "GET /health",
    "GET /health/ready",
    "POST /session",
    "DELETE /session",
    "POST /links/look",
    "POST /links/use",
    "GET /provider",
    "GET /provider/callback",
    "PUT /me/password",
    "GET /me/sessions",
    "DELETE /me/sessions",
    "DELETE /me/sessions/{}",
    "POST /tokens",
    "DELETE /tokens/{}",
    "GET /jobs/events",
    "GET /jobs/{}/events",
    "GET /queue/live",
    "GET /features/{}/live",
    # What cannot be undone is for a person at a page or a shell.
    "GET /corpora/{}/deletion",
    "DELETE /corpora/{}",
    "GET /scans/{}/deletion",
    "DELETE /scans/{}",
}


@dataclass
class ToTheApp(httpx2.BaseTransport):
    """Hands requests to the app, and refuses what its schema does not know."""

    app: TestClient
    asked: list[str] = field(default_factory=list)
    #: Connections that break before one holds.
    broken: int = 0
    #: Done once, before the next request that changes something.
    meanwhile: Callable[[], object] | None = None

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(f"{request.method} {request.url.path}")
        if self.broken:
            self.broken -= 1
            raise httpx2.ConnectError("refused")
        if request.method != "GET" and self.meanwhile is not None:
            do, self.meanwhile = self.meanwhile, None
            do()
        assert_known(request)
        answer = self.app.request(
            request.method, str(request.url), headers=request.headers, content=request.read()
        )
        headers = {k: v for k, v in answer.headers.items() if k != "content-encoding"}
        return httpx2.Response(answer.status_code, headers=headers, content=answer.content)


def assert_known(request: httpx2.Request) -> None:
    """Fail for a path, a parameter or a field that the schema does not have."""
    described: Any = schema()
    operation = next(
        operations[request.method.lower()]
        for path, operations in described["paths"].items()
        if request.method.lower() in operations and re.fullmatch(_pattern(path), request.url.path)
    )
    assert set(request.url.params) <= {told["name"] for told in operation.get("parameters", ())}
    if request.read():
        body = operation["requestBody"]["content"]["application/json"]["schema"]
        # Where a path takes Neuronpedia's bodies as well, ours is named first.
        [ours, *_] = body.get("anyOf", [body])
        name = ours["$ref"].rsplit("/", 1)[-1]
        fields = described["components"]["schemas"][name]["properties"]
        assert set(json.loads(request.read())) <= set(fields)


def _pattern(path: str) -> str:
    return re.sub(r"\{\w+\}", "[^/]+", path.replace("{model}", ".+"))


@pytest.fixture
def transport(sessions: Sessions) -> Iterator[ToTheApp]:
    """The way to an app with three features that two people may annotate."""
    with sessions.begin() as session:
        sae, run = make_reviewable(session, indices=(0, 1, 2))
        say(session, sae, run, "names of rivers", senses=[("rivers", [0]), ("streams", [1])])
        make_label(session, sae, 1, "names of kings")
        refresh_saes(session, [sae.id])
        make_account(session, "the-admin", "admin")
        make_account(session, "ada", "annotator")
    with client_of(sessions) as app:
        yield ToTheApp(app)


@pytest.fixture
def client(transport: ToTheApp, sessions: Sessions) -> Client:
    """An admin's client."""
    with sessions.begin() as session:
        token = make_token(session, "the-admin", "admin")
    return Client(token=token, transport=transport)


def written(node: ast.expr, known: dict[str, str]) -> str:
    """Return a text of the source with `{}` for what is put into it; "" for anything else."""
    if isinstance(node, ast.JoinedStr):
        return re.sub(r"\{[^}]*\}", "{}", ast.unparse(node)[2:-1])
    if isinstance(node, ast.Name):
        return known.get(node.id, "")
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def asked_by(method: ast.FunctionDef) -> Iterator[str]:
    """Yield the routes that a method asks for."""
    known = {
        node.targets[0].id: written(node.value, {})
        for node in ast.walk(method)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    for call in ast.walk(method):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
            texts = [written(argument, known) for argument in call.args]
            match call.func.attr:
                case "_get" | "_read" | "_items" | "_lines":
                    yield f"GET {texts[0]}"
                case "_send":
                    yield f"{texts[0]} {texts[1]}"
                case "_annotate":
                    yield f"{texts[0]} /features/{{}}{texts[1]}"


def test_every_route_for_scripts_has_a_method() -> None:
    asked = {
        route
        for path in Path(scopebook.client.__file__).parent.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
        for route in asked_by(node)
    }
    paths: Any = schema()["paths"]
    feature = "/features/{model}/{source}/{index}"
    routes = {
        f"{method.upper()} "
        + re.sub(r"\{\w+\}", "{}", path.removeprefix("/api").replace(feature, "/features/{}"))
        for path, operations in paths.items()
        for method, operation in operations.items()
        # Neuronpedia's own, for scripts that were written for it.
        if operation["tags"] != ["neuronpedia"]
    }

    assert routes - asked == NOT_IN_THE_CLIENT


def test_filters_are_those_of_the_schema() -> None:
    paths: Any = schema()["paths"]
    beside = {"q", "sort", "limit", "cursor", "preview", "facet"}

    for path in ("/search", "/search/facets", "/features"):
        parameters = {told["name"]: told for told in paths[f"/api{path}"]["get"]["parameters"]}
        assert parameters.keys() - beside == Filters.__annotations__.keys(), path
        for name, values in (("state", LabelState), ("source", LabelSource)):
            [listed, _null] = parameters[name]["schema"]["anyOf"]
            assert listed["items"]["enum"] == list(get_args(values))


def test_the_types_are_those_of_the_schema() -> None:
    folder = Path(scopebook.client.__file__).parent / "types"

    files = type_files()

    assert {path.name for path in folder.glob("*.py")} == set(files)
    for name, text in files.items():
        # Formatted since it was written.
        assert ast.dump(ast.parse((folder / name).read_text())) == ast.dump(ast.parse(text)), (
            f"{name}: run `make openapi`"
        )


def test_lists_go_through_their_pages_as_they_are_read(
    client: Client, transport: ToTheApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scopebook.client.transport.LARGEST_PAGE", 3)

    first = list(islice(client.features(layer=[1], without_flag=["dead"]), 3))
    asked = len(transport.asked)
    everything = list(client.features(release="SAE-Res-Tiny-Model-W1K-L0_8"))
    some = list(client.features(limit=4))

    assert [feature["index"] for feature in first] == [0, 1, 2]
    assert asked == 1
    assert [feature["index"] for feature in everything] == list(range(16))
    assert len(transport.asked) == asked + 6 + 2
    assert some == everything[:4]


def test_features_by_id_and_the_stream_of_labels(client: Client) -> None:
    found = client.features_by_id([f"{ID}/1", f"{ID}/99"])
    lines = list(client.labels(layer=[1]))

    assert [feature["index"] for feature in found["items"]] == [1]
    assert [gone["id"] for gone in found["missing"]] == [f"{ID}/99"]
    assert f"{ID}/1" in {line["feature"] for line in lines}
    with pytest.raises(ProblemError, match="no-such"):
        list(client.labels(release="no-such"))


def test_a_search_says_why_it_found_something(client: Client) -> None:
    [hit] = client.search("kings", layer=[1], state=["labelled"], preview=True)

    assert (hit["id"], hit["matched"]) == (f"{ID}/1", ["words"])
    assert hit["why"] is not None
    assert client.feature(hit["id"])["label"] == hit["label"]


def test_what_is_said_of_a_feature_comes_back(client: Client) -> None:
    [before] = client.annotation(f"{ID}/1")["labels"]
    client.save_tag("people")

    client.propose(f"{ID}/1", "kings of France", reason="only these")
    client.review(f"{ID}/1", before["id"], "reject", reason="too wide")
    client.tag(f"{ID}/1", "people")
    said = client.comment(f"{ID}/1", "@ada, do you agree?")

    assert said["version"] == 4
    assert [tag["name"] for tag in said["tags"]] == ["people"]
    assert client.feature(f"{ID}/1")["label"]["text"] == "kings of France"  # type: ignore[index]
    changes = list(client.history(f"{ID}/1"))
    assert [change["kind"] for change in changes] == ["comment", "tag", "review", "propose"]
    assert client.undo(f"{ID}/1", changes[1]["id"])["tags"] == []


def test_who_comes_second_is_told_what_is_there(client: Client) -> None:
    client.propose(f"{ID}/0", "rivers")

    with pytest.raises(ChangedSinceError) as stale:
        client.propose(f"{ID}/0", "streams", version=0)

    assert stale.value.status == 412
    assert stale.value.current["version"] == 1
    now = client.propose(f"{ID}/0", "streams", version=stale.value.current["version"])
    assert now["version"] == 2


def test_a_comment_is_sent_again_for_a_newer_version_and_a_verdict_is_not(
    client: Client, transport: ToTheApp
) -> None:
    transport.meanwhile = lambda: client.propose(f"{ID}/0", "rivers")
    said = client.comment(f"{ID}/0", "look")
    transport.meanwhile = lambda: client.comment(f"{ID}/0", "wait")
    with pytest.raises(ChangedSinceError):
        client.propose(f"{ID}/0", "streams")

    assert said["version"] == 2
    assert [comment["text"] for comment in client.annotation(f"{ID}/0")["comments"]] == [
        "look",
        "wait",
    ]


def test_a_read_is_tried_again_and_a_write_is_not(client: Client, transport: ToTheApp) -> None:
    transport.broken = TRIES - 1
    assert client.status()["features"] == 16

    transport.broken = 1
    with pytest.raises(UnreachableError, match="does not answer"):
        client.create_list("rivers")

    assert transport.asked[-1] == "POST /api/lists"
    assert list(client.lists()) == []


def test_a_refusal_is_the_problem_of_the_api(client: Client, transport: ToTheApp) -> None:
    with pytest.raises(ProblemError, match="There is no job 99") as missing:
        client.job(99)
    with pytest.raises(ProblemError) as stranger:
        Client(token="sb_invented", transport=transport).status()

    assert missing.value.status == 404
    assert missing.value.problem["title"] == "Not Found"
    assert stranger.value.status == 401


def test_lists_keep_an_order(client: Client) -> None:
    made = client.create_list("rivers", [f"{ID}/0"])
    client.add_to_list(made["id"], [f"{ID}/1"], note="kings?")
    client.move_in_list(made["id"], f"{ID}/1")
    changed = client.change_list(made["id"], description="of the world")

    items = client.list_items(made["id"])
    assert [item["feature"]["index"] for item in items] == [1, 0]
    assert changed["description"] == "of the world"
    assert client.export_list(made["id"], form="csv").count("\n") == 3
    client.delete_list(made["id"])
    assert list(client.lists()) == []


def test_a_job_is_waited_for(client: Client, sessions: Sessions) -> None:
    with sessions.begin() as session:
        job = create_job(session, "test", "Test", [NewStep(kind=COLLECT_SHARD, stage=0, title="x")])
        job_id = job.id

    with pytest.raises(TimeoutError, match="goes on"):
        client.wait(job_id, timeout_s=0)
    with sessions.begin() as session:
        cancel_job(session, job_id)
    with pytest.raises(JobEndedError, match="is cancelled"):
        client.wait(job_id)
    assert [listed["id"] for listed in client.jobs(state="cancelled")] == [job_id]


def test_an_instance_that_is_not_there_is_named() -> None:
    url = f"http://127.0.0.1:{free_port()}"

    with pytest.raises(UnreachableError, match=re.escape(url)):
        Client(url).status()
