"""Presets and their versions as people see them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, get_args

from sqlalchemy import Select, cast, func, select
from sqlalchemy.dialects.postgresql import JSONPATH, distinct_on
from sqlalchemy.orm import Session, aliased

from scopebook.accounts import Actor
from scopebook.db.account_tables import Account
from scopebook.db.preset_tables import Preset, PresetDecision, PresetVersion
from scopebook.db.tables import Model, Release
from scopebook.errors import NotFoundError
from scopebook.paging import decode_cursor, encode_cursor
from scopebook.preset_documents import Document
from scopebook.preset_reading import kept_document
from scopebook.releases import find_release
from scopebook.visibility import preset_seen_by

#: The least role that sees a preset; `owner`: nobody but its owner.
Audience = Literal["owner", "viewer", "annotator", "editor", "admin"]
AUDIENCES: Final[tuple[Audience, ...]] = get_args(Audience)
Status = Literal["draft", "approved"]
#: Finds none in a document that is none, so that a list of presets holds the others.
_ENABLED: Final = "$.interventions[*] ? (@.enabled == true)"


@dataclass(frozen=True, kw_only=True)
class PresetView:
    """A preset without what its versions say."""

    id: int
    key: str
    name: str
    description: str
    owner: str
    release: str
    model: str
    visible_to: Audience
    archived: bool
    #: Counts all changes; what is written names it.
    revision: int
    #: The newest version, its features that are enabled, and whether it is approved.
    version: int
    features: int
    status: Status
    #: The newest version that is; None: none.
    approved: int | None
    forked_from: int | None
    #: Whether who asks may change it.
    mine: bool
    created_at: datetime
    changed_at: datetime


@dataclass(frozen=True, kw_only=True)
class VersionView:
    """A version of a preset; in a list without its document."""

    id: int
    number: int
    author: str
    #: What the preset was called and said to be for when it was saved.
    name: str
    description: str
    note: str
    status: Status
    #: Who decided on its status last, and why; None: nobody has.
    decided_by: str | None
    decided_why: str | None
    sha256: str
    created_at: datetime
    document: Document | None


def list_presets(
    session: Session,
    actor: Actor,
    *,
    release: str | None = None,
    archived: bool = False,
    limit: int = 50,
    cursor: str | None = None,
) -> tuple[list[PresetView], str | None]:
    """Return the presets that one may see, the newest first."""
    statement = _described().where(preset_seen_by(actor), Preset.archived == archived)
    if release is not None:
        statement = statement.where(Preset.release_id == find_release(session, release).id)
    if cursor is not None:
        statement = statement.where(Preset.id < decode_cursor(cursor, [int])[0])
    statement = statement.order_by(Preset.id.desc())
    rows = session.execute(statement.limit(limit + 1)).all()
    following = encode_cursor([rows[limit - 1].Preset.id]) if len(rows) > limit else None
    return [_view(row, actor) for row in rows[:limit]], following


def read_preset(session: Session, actor: Actor, preset_id: int) -> PresetView:
    """Return a preset that one may see."""
    row = session.execute(
        _described().where(Preset.id == preset_id, preset_seen_by(actor))
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"There is no preset {preset_id}, or it is not for you to see.")
    return _view(row, actor)


def find_preset(session: Session, actor: Actor, name: str) -> PresetView:
    """Return the preset of that name; capitals make no difference."""
    row = session.execute(
        _described().where(func.lower(Preset.name) == name.lower(), preset_seen_by(actor))
    ).one_or_none()
    if row is None:
        raise NotFoundError(
            f"There is no preset {name!r}, or it is not for you to see; `scopebook preset list` "
            "names those there are."
        )
    return _view(row, actor)


def list_versions(session: Session, actor: Actor, preset_id: int) -> list[VersionView]:
    """Return all versions of a preset, newest first, without their documents."""
    read_preset(session, actor, preset_id)
    rows = session.execute(
        _versions().where(PresetVersion.preset_id == preset_id).order_by(PresetVersion.id.desc())
    )
    return [_version_view(row, with_document=False) for row in rows]


def read_version(
    session: Session, actor: Actor, preset_id: int, number: int | None = None
) -> VersionView:
    """Return a version of a preset that one may see; the newest where none is named."""
    newest = read_preset(session, actor, preset_id).version
    version = version_row(session, preset_id, newest if number is None else number)
    [row] = session.execute(_versions().where(PresetVersion.id == version.id))
    return _version_view(row, with_document=True)


def version_row(session: Session, preset_id: int, number: int) -> PresetVersion:
    """Return the row of a version of a preset that was looked at before."""
    row = session.scalar(
        select(PresetVersion).where(
            PresetVersion.preset_id == preset_id, PresetVersion.number == number
        )
    )
    if row is None:
        newest = newest_row(session, preset_id).number
        raise NotFoundError(f"There is no version {number} of this preset; its newest is {newest}.")
    return row


def newest_row(session: Session, preset_id: int) -> PresetVersion:
    """Return the row of the newest version of a preset."""
    return session.scalars(
        select(PresetVersion)
        .where(PresetVersion.preset_id == preset_id)
        .order_by(PresetVersion.number.desc())
        .limit(1)
    ).one()


def _last_decision() -> Any:
    """Return the subquery of the decision that counts of each version."""
    return (
        select(
            PresetDecision.version_id,
            PresetDecision.status,
            PresetDecision.note,
            Account.name.label("by"),
        )
        .join(Account, Account.id == PresetDecision.account_id)
        .ext(distinct_on(PresetDecision.version_id))
        .order_by(PresetDecision.version_id, PresetDecision.id.desc())
        .subquery()
    )


def _described() -> Select[*tuple[Any, ...]]:
    """Return the query behind every view of a preset."""
    other = aliased(PresetVersion)
    newest = select(func.max(other.number)).where(other.preset_id == Preset.id).scalar_subquery()
    decided, of_approved = _last_decision(), _last_decision()
    approved = (
        select(func.max(other.number))
        .join(of_approved, of_approved.c.version_id == other.id)
        .where(other.preset_id == Preset.id, of_approved.c.status == "approved")
        .scalar_subquery()
    )
    return (
        select(
            Preset,
            Account.name.label("owner"),
            Release.name.label("release"),
            Model.name.label("model"),
            PresetVersion.number.label("version"),
            func.jsonb_array_length(
                func.jsonb_path_query_array(PresetVersion.document, cast(_ENABLED, JSONPATH))
            ).label("features"),
            func.coalesce(decided.c.status, "draft").label("status"),
            approved.label("approved"),
        )
        .join(Account, Account.id == Preset.owner_id)
        .join(Release, Release.id == Preset.release_id)
        .join(Model, Model.id == Release.model_id)
        .join(
            PresetVersion,
            (PresetVersion.preset_id == Preset.id) & (PresetVersion.number == newest),
        )
        .outerjoin(decided, decided.c.version_id == PresetVersion.id)
    )


def _view(row: Any, actor: Actor) -> PresetView:
    preset: Preset = row.Preset
    return PresetView(
        id=preset.id,
        key=preset.key,
        name=preset.name,
        description=preset.description,
        owner=row.owner,
        release=row.release,
        model=row.model,
        visible_to=next(known for known in AUDIENCES if known == preset.visible_to),
        archived=preset.archived,
        revision=preset.revision,
        version=row.version,
        features=row.features,
        status=row.status,
        approved=row.approved,
        forked_from=preset.forked_from,
        mine=preset.owner_id == actor.account_id or actor.may("editor"),
        created_at=preset.created_at,
        changed_at=preset.changed_at,
    )


def _versions() -> Select[*tuple[Any, ...]]:
    decided = _last_decision()
    return (
        select(
            PresetVersion,
            Account.name.label("author"),
            decided.c.status,
            decided.c.note,
            decided.c.by,
        )
        .join(Account, Account.id == PresetVersion.author_id)
        .outerjoin(decided, decided.c.version_id == PresetVersion.id)
    )


def _version_view(row: Any, *, with_document: bool) -> VersionView:
    version: PresetVersion = row.PresetVersion
    return VersionView(
        id=version.id,
        number=version.number,
        author=row.author,
        name=version.name,
        description=version.description,
        note=version.note,
        status=row.status or "draft",
        decided_by=row.by,
        decided_why=row.note,
        sha256=version.sha256,
        created_at=version.created_at,
        document=kept_document(version) if with_document else None,
    )
