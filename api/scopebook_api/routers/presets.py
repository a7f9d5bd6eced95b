"""Presets: save them, compare and approve their versions."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, HTTPException, Path, Query, Response
from sqlalchemy.orm import Session

from scopebook import presets
from scopebook.accounts import Actor
from scopebook.db.preset_tables import Preset
from scopebook.db.tables import Release
from scopebook.errors import InvalidInputError
from scopebook.preset_diffs import changes_between
from scopebook.preset_documents import draft_of, warnings_of
from scopebook.preset_exports import document_of
from scopebook.preset_imports import import_document
from scopebook.preset_views import (
    PresetView,
    list_presets,
    list_versions,
    read_preset,
    read_version,
)
from scopebook_api.deps import Annotator, Cursor, DbSession, Editor, Limit, Me
from scopebook_api.idempotency import KeyedRoute
from scopebook_api.preset_schemas import (
    ForkRequest,
    ImportRequest,
    PresetChange,
    PresetDiffRead,
    PresetRead,
    PresetRequest,
    StalePresetProblem,
    StatusRequest,
    VersionRead,
    VersionRequest,
    VersionSummary,
    draft_shape,
)
from scopebook_api.schemas import Page, Problem, problems

router = APIRouter(
    prefix="/presets", tags=["presets"], route_class=KeyedRoute, responses=problems(404)
)
PresetId = Annotated[int, Path(ge=1, lt=2**31)]
Number = Annotated[int, Path(ge=1, lt=2**31, description="Of a version.")]
_ETAG = re.compile(r'(?:W/)?"([0-9]{1,9})"')
_CHANGED: dict[int | str, dict[str, Any]] = {
    409: {"model": Problem},
    412: {"model": StalePresetProblem, "description": "Somebody has changed it since."},
    428: {"model": Problem, "description": "The request names no revision."},
}


async def expected_revision(
    if_match: Annotated[
        str | None, Header(description="The `ETag` of the preset as it was read.")
    ] = None,
) -> int:
    """Return the revision that a change is for."""
    if if_match is None:
        raise HTTPException(
            428,
            "Send the preset's revision as If-Match, from its ETag: so nobody's change is lost",
        )
    found = _ETAG.fullmatch(if_match.strip())
    if found is None:
        raise InvalidInputError(
            f'If-Match is {if_match[:40]!r}; expected the ETag of the preset, such as "3".'
        )
    return int(found[1])


Revision = Annotated[int, Depends(expected_revision)]


@router.get("", response_model=Page[PresetRead])
def browse(
    session: DbSession,
    me: Me,
    release: str | None = None,
    archived: bool = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> dict[str, object]:
    """List the presets that one may see, the newest first."""
    found, following = list_presets(
        session, me, release=release, archived=archived, limit=limit, cursor=cursor
    )
    return {"items": found, "next": following}


@router.post("", response_model=PresetRead, status_code=201, responses=problems(409))
def create(
    session: DbSession, me: Annotator, wanted: PresetRequest, answer: Response
) -> PresetView:
    """Make a preset with its first version; labels, statistics and hashes are pinned."""
    made = presets.create_preset(
        session,
        me,
        wanted.name,
        wanted.draft.drafted(),
        description=wanted.description,
        visible_to=wanted.visible_to,
        note=wanted.note,
        release=wanted.release,
    )
    return _tagged(made, answer)


@router.post("/import", response_model=PresetRead, status_code=201, responses=problems(409))
def take_in(
    session: DbSession, me: Annotator, wanted: ImportRequest, answer: Response
) -> PresetView:
    """Make a preset of a `preset.json`, for the very SAEs that it names."""
    made = import_document(
        session, me, wanted.document, name=wanted.name, visible_to=wanted.visible_to
    )
    return _tagged(made, answer)


@router.get("/{preset_id}", response_model=PresetRead)
def read(session: DbSession, me: Me, preset_id: PresetId, answer: Response) -> PresetView:
    """Return a preset; its revision is the ETag."""
    return _tagged(read_preset(session, me, preset_id), answer)


@router.patch("/{preset_id}", response_model=PresetRead, responses=_CHANGED)
def change(
    session: DbSession,
    me: Annotator,
    preset_id: PresetId,
    revision: Revision,
    wanted: PresetChange,
    answer: Response,
) -> PresetView:
    """Change what a preset says of itself; its versions stay what they are."""
    changes = wanted.model_dump(exclude_none=True)
    return _tagged(presets.change_preset(session, me, preset_id, revision, changes), answer)


@router.get("/{preset_id}/versions", response_model=Page[VersionSummary])
def versions(session: DbSession, me: Me, preset_id: PresetId) -> dict[str, object]:
    """List all versions of a preset, newest first."""
    return {"items": list_versions(session, me, preset_id), "next": None}


@router.post("/{preset_id}/versions", response_model=PresetRead, responses=_CHANGED)
def save(
    session: DbSession,
    me: Annotator,
    preset_id: PresetId,
    revision: Revision,
    wanted: VersionRequest,
    answer: Response,
) -> PresetView:
    """Add a version; the versions before stay what they are."""
    draft = wanted.draft.drafted()
    saved = presets.save_version(session, me, preset_id, revision, draft, wanted.note)
    return _tagged(saved, answer)


@router.get("/{preset_id}/versions/{number}", response_model=VersionRead)
def version(session: DbSession, me: Me, preset_id: PresetId, number: Number) -> dict[str, object]:
    """Return a version with all that it says, and what has changed since it was saved."""
    found = read_version(session, me, preset_id, number)
    assert found.document is not None
    said = {name: getattr(found, name) for name in VersionSummary.model_fields}
    return {
        **said,
        "draft": draft_shape(draft_of(found.document)),
        "document": document_of(session, me, preset_id, number),
        "warnings": warnings_of(session, found.document, _release(session, preset_id)),
    }


@router.post("/{preset_id}/versions/{number}/status", response_model=PresetRead, responses=_CHANGED)
def decide(
    session: DbSession,
    me: Editor,
    preset_id: PresetId,
    number: Number,
    revision: Revision,
    wanted: StatusRequest,
    answer: Response,
) -> PresetView:
    """Approve a version, or take that back."""
    decided = presets.decide(session, me, preset_id, revision, number, wanted.status, wanted.note)
    return _tagged(decided, answer)


@router.post(
    "/{preset_id}/versions/{number}/fork",
    response_model=PresetRead,
    status_code=201,
    responses=problems(409),
)
def fork(
    session: DbSession,
    me: Annotator,
    preset_id: PresetId,
    number: Number,
    wanted: ForkRequest,
    answer: Response,
) -> PresetView:
    """Make a preset of one's own from a version."""
    return _tagged(presets.fork_preset(session, me, preset_id, number, wanted.name), answer)


@router.get("/{preset_id}/diff", response_model=PresetDiffRead)
def diff(
    session: DbSession,
    me: Me,
    preset_id: PresetId,
    before: Annotated[int, Query(ge=1, lt=2**31)],
    after: Annotated[int, Query(ge=1, lt=2**31)],
) -> dict[str, object]:
    """Return what two versions say differently."""
    old, new = (_document(session, me, preset_id, number) for number in (before, after))
    return {"before": before, "after": after, "changes": changes_between(old, new)}


def _document(session: Session, me: Actor, preset_id: int, number: int) -> dict[str, object]:
    document = read_version(session, me, preset_id, number).document
    assert document is not None
    return document


def _release(session: Session, preset_id: int) -> Release:
    return session.get_one(Release, session.get_one(Preset, preset_id).release_id)


def _tagged(preset: PresetView, answer: Response) -> PresetView:
    answer.headers["ETag"] = f'"{preset.revision}"'
    return preset
