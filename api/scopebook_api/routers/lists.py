"""Lists of features that people put together, and searches that they keep."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Path, Response
from fastapi.responses import StreamingResponse

from scopebook import lists
from scopebook.errors import InvalidInputError
from scopebook_api.deps import Annotator, Cursor, DbSession, Limit, Me
from scopebook_api.idempotency import KeyedRoute
from scopebook_api.list_schemas import (
    AdditionRead,
    AddRequest,
    ItemRead,
    ListChange,
    ListRead,
    ListRequest,
    MoveRequest,
    NoteRequest,
    RemoveRequest,
)
from scopebook_api.schemas import Page, Problem

router = APIRouter(
    prefix="/lists",
    tags=["lists"],
    route_class=KeyedRoute,
    responses={404: {"model": Problem}},
)
ListId = Annotated[int, Path(ge=1, lt=2**63)]
_COLUMNS = ("id", "label", "source", "density", "note", "added_by", "added_at")
#: A cell that begins so is a formula to a spreadsheet.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@router.get("", response_model=Page[ListRead])
def browse(
    session: DbSession, me: Me, limit: Limit = 50, cursor: Cursor = None
) -> dict[str, object]:
    """List one's own lists and those that are shared, the newest first."""
    found, following = lists.list_lists(session, me, limit=limit, cursor=cursor)
    return {"items": found, "next": following}


@router.post("", response_model=ListRead, status_code=201)
def create(session: DbSession, me: Annotator, wanted: ListRequest) -> lists.ListView:
    """Make a list."""
    return lists.create_list(session, me, **wanted.model_dump())


@router.get("/{list_id}", response_model=ListRead)
def read(session: DbSession, me: Me, list_id: ListId, response: Response) -> lists.ListView:
    """Return a list without its items; its version is the ETag."""
    found = lists.read_list(session, me, list_id)
    response.headers["ETag"] = f'"{found.version}"'
    return found


@router.patch("/{list_id}", response_model=ListRead, responses={409: {"model": Problem}})
def change(
    session: DbSession,
    me: Annotator,
    list_id: ListId,
    wanted: ListChange,
    if_match: Annotated[str, Header(description="The ETag of the list as it was read.")],
) -> lists.ListView:
    """Change what a list says of itself."""
    changes = wanted.model_dump(exclude_unset=True)
    kept = {name: value for name, value in changes.items() if value is not None or name == "search"}
    return lists.change_list(session, me, list_id, _version(if_match), kept)


def _version(if_match: str) -> int:
    number = if_match.strip().strip('"')
    if not number.isdecimal() or len(number) > 9:
        raise InvalidInputError(
            f'If-Match {if_match[:40]!r} is no ETag of a list; send the one of GET, such as "3".'
        )
    return int(number)


@router.delete("/{list_id}", status_code=204)
def delete(session: DbSession, me: Annotator, list_id: ListId) -> None:
    """Remove a list; its features stay what they are."""
    lists.delete_list(session, me, list_id)


@router.get("/{list_id}/items", response_model=Page[ItemRead])
def items(
    session: DbSession, me: Me, list_id: ListId, limit: Limit = 50, cursor: Cursor = None
) -> dict[str, object]:
    """Return the features of a list in their order."""
    found, following = lists.read_items(session, me, list_id, limit=limit, cursor=cursor)
    return {"items": found, "next": following}


@router.post("/{list_id}/items", response_model=AdditionRead)
def add(session: DbSession, me: Annotator, list_id: ListId, wanted: AddRequest) -> lists.Addition:
    """Put features at the end of a list."""
    return lists.add_features(session, me, list_id, wanted.features, note=wanted.note)


@router.post("/{list_id}/items/move", status_code=204)
def move(session: DbSession, me: Annotator, list_id: ListId, wanted: MoveRequest) -> None:
    """Put a feature behind another one, or first."""
    lists.move_feature(session, me, list_id, wanted.feature, after=wanted.after)


@router.post("/{list_id}/items/note", status_code=204)
def note(session: DbSession, me: Annotator, list_id: ListId, wanted: NoteRequest) -> None:
    """Say beside a feature why it is in the list."""
    lists.note_feature(session, me, list_id, wanted.feature, wanted.note)


@router.post("/{list_id}/items/remove", status_code=204)
def remove(session: DbSession, me: Annotator, list_id: ListId, wanted: RemoveRequest) -> None:
    """Take a feature out of a list."""
    lists.remove_feature(session, me, list_id, wanted.feature)


@router.get(
    "/{list_id}/export",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {}, "application/x-ndjson": {}}}},
)
def export(
    session: DbSession, me: Me, list_id: ListId, form: Literal["csv", "jsonl"] = "jsonl"
) -> Response:
    """Return all features of a list with their labels, as a file."""
    found = lists.read_list(session, me, list_id)
    rows = list(_all_rows(session, me, list_id))
    text = _csv(rows) if form == "csv" else "".join(json.dumps(row) + "\n" for row in rows)
    kind = "text/csv" if form == "csv" else "application/x-ndjson"
    return Response(
        text,
        media_type=f"{kind}; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="list-{found.id}.{form}"'},
    )


def _all_rows(session: DbSession, me: Me, list_id: int) -> Iterator[dict[str, object]]:
    cursor: str | None = None
    while True:
        page, cursor = lists.read_items(session, me, list_id, limit=200, cursor=cursor)
        for item in page:
            label = item.feature.label
            yield {
                "id": item.feature.id,
                "label": label.text if label else None,
                "source": label.source if label else None,
                "density": item.feature.density,
                "note": item.note,
                "added_by": item.added_by,
                "added_at": item.added_at.isoformat(),
            }
        if cursor is None:
            return


def _csv(rows: list[dict[str, object]]) -> str:
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(_COLUMNS)
    writer.writerows([_cell(row[name]) for name in _COLUMNS] for row in rows)
    return written.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return "" if value is None else value
