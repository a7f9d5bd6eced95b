"""All labels in force as a stream of JSON lines."""

from collections.abc import Iterator
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from sqlalchemy.orm import Session

from scopebook.label_stream import label_batches, saes_of_stream
from scopebook_api.deps import DbSession
from scopebook_api.label_schemas import LabelLineRead
from scopebook_api.schemas import problems
from scopebook_api.streams import JsonLines, from_one_session

router = APIRouter(tags=["labels"])
_LINES: Final = {"application/x-ndjson": {"itemSchema": LabelLineRead.model_json_schema()}}


@router.get(
    "/labels.ndjson",
    response_class=JsonLines,
    responses=problems(404) | {200: {"description": "One label a line.", "content": _LINES}},
)
def stream(
    request: Request,
    session: DbSession,
    release: Annotated[str | None, Query(description="Its name; the last part is enough.")] = None,
    layer: Annotated[list[int] | None, Query(description="Any of these layers.")] = None,
) -> JsonLines:
    """Stream the labels in force, one a line, all as they are at one moment.

    In order of release, layer and feature, the feature's own label before those of its senses.
    """
    # Here, so that what is not there is a 404 and no stream.
    saes = saes_of_stream(session, release=release, layers=layer)

    def lines(reading: Session) -> Iterator[bytes]:
        for batch in label_batches(reading, saes):
            yield b"".join(
                LabelLineRead.model_validate(line).model_dump_json().encode() + b"\n"
                for line in batch
            )

    state = request.app.state
    parts = from_one_session(state.long_answers, state.sessions, lines)
    return JsonLines(parts)
