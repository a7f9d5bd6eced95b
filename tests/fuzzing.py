"""A small dictionary behind the real app, and requests that the app's own schema makes up."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.python.asgi import get_client
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from sqlalchemy import select
from sqlalchemy.orm import Session

from annotating import hold, make_reviewable, say
from makers import feature_id, make_embedding, make_origin, make_score
from people import HERE, make_account, make_actor
from scopebook.db.review_tables import Comment
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.db.tables import Context, Release, Sae
from scopebook.discussion import add_comment
from scopebook.entries import refresh_saes
from scopebook.feature_writes import version_of
from scopebook.jobs import COLLECT_SHARD
from scopebook.lists import create_list
from scopebook.steps import NewStep, create_job
from scopebook.tags import save_tag

#: Left out: streams, which go on for as long as somebody listens. Each has tests of its own.
STREAMS: Final = (
    "GET /api/jobs/events",
    "GET /api/jobs/{job_id}/events",
    "GET /api/features/{model}/{source}/{index}/live",
    "GET /api/queue/live",
)
#: Answer 503 where a server is away, and there is no broker here (tests/api/test_health.py).
TELL_OF_SERVERS: Final = ("GET /api/health/ready",)
_CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
_ID: Final = "Tiny-Model/1-res-w1k-l0_8/0"


@dataclass(frozen=True)
class Asking:
    """Who asks what app about what, and how often."""

    app: FastAPI
    #: Returns the headers of the caller; asked anew for each route, since some log out.
    log_in: Callable[[], Mapping[str, str]]
    #: Values that name what is there, by the names of parameters and fields.
    known: Mapping[str, list[Any]]
    #: The present ETag of the feature that `known` names.
    etag: Callable[[], str]
    #: Requests for each route and mode: valid ones, invalid ones; the same for the same seed.
    examples: int
    modes: Sequence[GenerationMode]
    seed: int


def make_dictionary(session: Session) -> Mapping[str, list[Any]]:
    """Add something of each kind; return the values that name it, by parameters and fields."""
    admin = make_actor(session, "the-admin", "admin")
    make_account(session, "somebody", "annotator")
    sae, run = make_reviewable(session, indices=(0, 1, 2))
    labeling, label = say(
        session, sae, run, "names of rivers", senses=[("rivers", [0]), ("streams", [1])]
    )
    make_embedding(session, label, [1.0, 0.0])
    make_score(session, label, 0.7)
    make_origin(session, labeling, 1, status="abstained")
    save_tag(session, admin, "style", description=None, retired=False)
    change = add_comment(session, hold(session, admin, sae), "@somebody, look")
    refresh_saes(session, [sae.id])
    lists = [create_list(session, admin, name=str(n), features=[_ID]).id for n in range(4)]
    step = NewStep(kind=COLLECT_SHARD, stage=0, title="Shard")
    jobs = [create_job(session, "test", "Test", [step]).id for _ in range(2)]
    session.flush()
    contexts = list(session.scalars(select(Context.id)))
    return {
        "model": ["Tiny-Model"], "source": ["1-res-w1k-l0_8"], "index": ["0"], "layer": [1],
        "release": list(session.scalars(select(Release.name))), "corpus": ["tiny"],
        "layers": [[1]], "feature": [_ID], "features": [[_ID]], "label_id": [label.id],
        "list_id": lists, "job_id": [*jobs, run.job_id], "run_id": [run.id], "tag": ["style"],
        "change_id": [change.id], "comment_id": list(session.scalars(select(Comment.id))),
        "context_id": contexts, "context_ids": [contexts[:1]], "ordinals": [[0, 1]],
        "ordinal": [0], "sense": [None, 0, 1], "supersedes_id": [None, label.id],
        "first": [labeling.id], "second": [labeling.id], "q": ["rivers", _ID, "中文"],
        "name": ["somebody"],
    }  # fmt: skip


def etag_of_the_feature(sessions: Sessions) -> str:
    """Return what a write to the feature that `make_dictionary` names has to name."""
    with unit_of_work(sessions) as session:
        sae = session.scalars(select(Sae)).one()
        return f'"{version_of(session, feature_id(sae, 0))}"'


def faults_of(asking: Asking) -> dict[str, str]:
    """Ask every route; return what is wrong, by route and kind, each with a request to repeat."""
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", asking.app)
    # The caller's own headers say who asks.
    schema.config.generation.update(with_security_parameters=False)
    faults: dict[str, str] = {}
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.label not in (*STREAMS, *TELL_OF_SERVERS):
            for mode in asking.modes:
                _ask(operation, mode, asking, faults)
    return faults


def _ask(operation: Any, mode: GenerationMode, asking: Asking, faults: dict[str, str]) -> None:
    headers = dict(asking.log_in())

    @seed(asking.seed)
    @settings(
        max_examples=asking.examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), data=st.data())
    def ask(case: Case, data: st.DataObject) -> None:
        _aim(case, data, asking)
        try:
            with get_client(asking.app) as client:
                answer = case.call(base_url=HERE, session=client, headers=headers)
            case.validate_response(answer, checks=_CHECKS)
        except FailureGroup as found:
            for fault in found.exceptions:
                kind = f"{operation.label}: {answer.status_code} {type(fault).__name__}"
                faults.setdefault(kind, str(found))
        except Exception as error:  # what the app has answered by a 500 comes out here too
            kind = f"{operation.label}: 500 {type(error).__name__}"
            faults.setdefault(kind, f"{error}\n{case.as_curl_command()}")

    try:
        ask()
    except Unsatisfiable:
        # A route without parameters cannot be asked wrongly.
        assert mode is GenerationMode.NEGATIVE, operation.label


def _aim(case: Case, data: st.DataObject, asking: Asking) -> None:
    """Let three of four values name what is there, so that requests get beyond 404 and 412."""
    for part in (case.path_parameters, case.query, case.body):
        if isinstance(part, dict):
            for name in part.keys() & asking.known.keys():
                if data.draw(st.integers(0, 3)):
                    part[name] = data.draw(st.sampled_from(asking.known[name]))
    if case.operation.get_parameter("if-match", "header") and data.draw(st.integers(0, 3)):
        case.headers["If-Match"] = asking.etag()
