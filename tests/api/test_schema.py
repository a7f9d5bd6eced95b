"""Whatever a route is asked, it answers as the schema says and never by a 5xx.

`FUZZ_EXAMPLES` and `FUZZ_SEED` make it a longer search (`make fuzz-api`).
"""

import os
from collections.abc import Mapping
from functools import cache, partial
from typing import Any

import pytest
from schemathesis.generation import GenerationMode

from apps import app_over
from fuzzing import STREAMS, Asking, etag_of_the_feature, faults_of, make_dictionary
from people import cookie_of
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook_api.openapi import schema

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "2"))
SEED = int(os.environ.get("FUZZ_SEED", "0"))


@pytest.mark.parametrize("caller", ["the-admin", None])
def test_every_answer_is_one_that_the_schema_names(sessions: Sessions, caller: str | None) -> None:
    with unit_of_work(sessions) as session:
        known = make_dictionary(session)

    def log_in() -> Mapping[str, str]:
        with unit_of_work(sessions) as session:
            return {} if caller is None else cookie_of(session, caller)

    faults = faults_of(
        Asking(
            app=app_over(sessions),
            log_in=log_in,
            known=known,
            etag=partial(etag_of_the_feature, sessions),
            # A stranger is refused before what is asked is looked at.
            examples=EXAMPLES if caller else 1,
            modes=list(GenerationMode) if caller else [GenerationMode.POSITIVE],
            seed=SEED,
        )
    )

    assert not faults, "\n\n".join(f"{kind}\n{told}" for kind, told in faults.items())


@cache
def operations() -> dict[str, dict[str, Any]]:
    paths: dict[str, Any] = schema()["paths"]  # type: ignore[assignment]
    return {
        f"{method.upper()} {path}": operation
        for path, found in paths.items()
        for method, operation in found.items()
    }


def test_the_schema_says_how_to_come_in() -> None:
    asked = {label: operation.get("security") for label, operation in operations().items()}
    schemes: Any = schema()["components"]["securitySchemes"]  # type: ignore[index]

    assert asked["GET /api/health"] is None
    assert asked["GET /api/search"] == [{"token": []}, {"apiKey": []}, {"session": []}]
    assert {"session": [], "ownHeader": []} in asked["POST /api/lists"]
    assert {name for ways in asked.values() for way in ways or () for name in way} == set(schemes)


def test_every_refusal_is_a_problem_in_the_schema() -> None:
    strange = {
        (label, status)
        for label, operation in operations().items()
        for status, response in operation["responses"].items()
        if status >= "400"
        # Neuronpedia's routes refuse in its shape.
        and operation["tags"] != ["neuronpedia"]
        and list(response["content"]) != ["application/problem+json"]
    }

    # Its scripts ask this path of ours too; what is malformed is a 400 to them.
    assert {label for label, _ in strange} == {"POST /api/steer"}
    assert {status for _, status in strange} == {"400", "401", "403", "404", "409", "429", "503"}


def test_streams_are_streams_in_the_schema() -> None:
    streams = {
        label
        for label, operation in operations().items()
        if "text/event-stream" in operation["responses"].get("200", {}).get("content", {})
    }

    # These are streams where their body asks for it.
    assert streams == {*STREAMS, "POST /api/steer", "POST /api/steer-chat"}
