"""Presets: named sets of interventions with versions that never change."""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from scopebook.accounts import ROLES, Actor
from scopebook.db.preset_tables import Preset, PresetDecision, PresetVersion
from scopebook.db.tables import Release
from scopebook.errors import (
    ConflictError,
    ForbiddenError,
    InvalidInputError,
)
from scopebook.preset_documents import Document, keep_amounts, pin, sha256_of
from scopebook.preset_drafts import LONGEST_NAME, PresetDraft
from scopebook.preset_reading import kept_document
from scopebook.preset_views import (
    Audience,
    PresetView,
    Status,
    newest_row,
    read_preset,
    version_row,
)


class StalePresetError(ConflictError):
    """Somebody else has changed the preset since it was read; nothing was written."""

    def __init__(self, message: str, current: PresetView) -> None:
        super().__init__(message)
        self.current = current


def create_preset(
    session: Session,
    actor: Actor,
    name: str,
    draft: PresetDraft,
    *,
    description: str = "",
    visible_to: Audience = "viewer",
    note: str = "",
    release: str | None = None,
) -> PresetView:
    """Add a preset with its first version; `release` is held against that of its features."""
    found, document = pin(session, draft)
    if release is not None and release != found.name:
        raise InvalidInputError(
            f"The preset is for {release}, and its features are of {found.name}; take features of "
            "its own release."
        )
    return add_preset(
        session,
        actor,
        name,
        found.id,
        document,
        description=description,
        visible_to=visible_to,
        note=note,
    )


def add_preset(
    session: Session,
    actor: Actor,
    name: str,
    release_id: int,
    document: Document,
    *,
    description: str,
    visible_to: Audience,
    note: str,
    forked_from: int | None = None,
) -> PresetView:
    """Add a preset with a first version that is pinned already."""
    _check_free(session, name)
    preset = Preset(
        key=uuid.uuid4().hex,
        owner_id=actor.account_id,
        release_id=release_id,
        name=name.strip(),
        description=description,
        visible_to=visible_to,
        forked_from=forked_from,
    )
    with _only_one_of_the_name(session, preset.name):
        session.add(preset)
        session.flush()
    _add_version(session, actor, preset, document, note)
    return read_preset(session, actor, preset.id)


def save_version(
    session: Session, actor: Actor, preset_id: int, revision: int, draft: PresetDraft, note: str
) -> PresetView:
    """Add a version to a preset as it was read; the versions before stay what they are."""
    preset = _own(session, actor, preset_id, revision)
    release, document = pin(session, draft)
    if release.id != preset.release_id:
        of = session.get_one(Release, preset.release_id).name
        raise InvalidInputError(
            f"The preset {preset.name!r} is for {of}, and these features are of {release.name}; "
            "make another preset of them."
        )
    newest = newest_row(session, preset.id)
    keep_amounts(document, kept_document(newest))
    if newest.sha256 == sha256_of(document):
        raise ConflictError(
            f"Version {newest.number} of {preset.name!r} says just this; nothing was saved."
        )
    _add_version(session, actor, preset, document, note)
    return _changed(session, actor, preset)


def change_preset(
    session: Session, actor: Actor, preset_id: int, revision: int, changes: Mapping[str, Any]
) -> PresetView:
    """Change name, description, audience or whether it is archived, of a preset as it was read."""
    preset = _own(session, actor, preset_id, revision)
    if "name" in changes:
        _check_free(session, changes["name"], but=preset.id)
    if "visible_to" in changes:
        _check_stays_seen(actor, preset, changes["visible_to"])
    with _only_one_of_the_name(session, str(changes.get("name", preset.name)).strip()):
        for column, value in changes.items():
            setattr(preset, column, value.strip() if column == "name" else value)
        session.flush()
    return _changed(session, actor, preset)


def _check_stays_seen(actor: Actor, preset: Preset, audience: str) -> None:
    """Refuse to hide a preset from who changes it."""
    own = preset.owner_id == actor.account_id or actor.via == "machine"
    if own or (audience in ROLES and ROLES.index(actor.role) >= ROLES.index(audience)):
        return
    raise InvalidInputError(
        f"Kept for {audience}, the preset {preset.name!r} would be hidden from you too; leave that "
        "to its owner, or choose another role."
    )


def decide(
    session: Session,
    actor: Actor,
    preset_id: int,
    revision: int,
    number: int,
    status: Status,
    note: str,
) -> PresetView:
    """Approve a version, or take that back; editors may."""
    actor.require("editor")
    preset = _own(session, actor, preset_id, revision)
    version = version_row(session, preset.id, number)
    session.add(
        PresetDecision(version_id=version.id, account_id=actor.account_id, status=status, note=note)
    )
    return _changed(session, actor, preset)


def fork_preset(
    session: Session, actor: Actor, preset_id: int, number: int, name: str
) -> PresetView:
    """Make a preset of one's own from a version, with all that it pins."""
    seen = read_preset(session, actor, preset_id)
    version = version_row(session, seen.id, number)
    return add_preset(
        session,
        actor,
        name,
        session.get_one(Preset, seen.id).release_id,
        kept_document(version),
        description=seen.description,
        visible_to=seen.visible_to,
        note=f"From {seen.name} @ {number}",
        forked_from=version.id,
    )


def _own(session: Session, actor: Actor, preset_id: int, revision: int) -> Preset:
    """Return a preset to be changed, as it was read; no other change comes between."""
    seen = read_preset(session, actor, preset_id)
    preset = session.get_one(Preset, preset_id, with_for_update=True, populate_existing=True)
    if not seen.mine:
        raise ForbiddenError(
            f"The preset {preset.name!r} is {seen.owner}'s; an editor may change it, and you may "
            "make one of your own from it."
        )
    if preset.revision != revision:
        session.refresh(preset)
        current = read_preset(session, actor, preset_id)
        raise StalePresetError(
            f"The preset {preset.name!r} was changed since you read it (revision {revision}, now "
            f"{current.revision}, with version {current.version}); look at both, then save yours "
            "after it. Nothing was written.",
            current,
        )
    return preset


def _changed(session: Session, actor: Actor, preset: Preset) -> PresetView:
    preset.revision += 1
    preset.changed_at = func.now()
    session.flush()
    return read_preset(session, actor, preset.id)


@contextmanager
def _only_one_of_the_name(session: Session, name: str) -> Iterator[None]:
    """Refuse a name that another request takes now, or that a preset has which is not seen."""
    try:
        with session.begin_nested():
            yield
    except IntegrityError as error:
        raise ConflictError(f"A preset {name!r} is there already; choose another name.") from error


def _check_free(session: Session, name: str, *, but: int | None = None) -> None:
    if not name.strip().isprintable():
        raise InvalidInputError(
            f"The name {name[:40]!r} holds characters that cannot be printed; take them out."
        )
    if not 1 <= len(name.strip()) <= LONGEST_NAME:
        raise InvalidInputError(
            f"The name {name[:40]!r} has {len(name.strip())} characters; give 1 to {LONGEST_NAME}."
        )
    taken = session.scalar(select(Preset.id).where(func.lower(Preset.name) == name.strip().lower()))
    if taken is not None and taken != but:
        raise ConflictError(f"A preset {name.strip()!r} is there already; choose another name.")


def _add_version(
    session: Session, actor: Actor, preset: Preset, document: Document, note: str
) -> PresetVersion:
    last = session.scalar(
        select(func.max(PresetVersion.number)).where(PresetVersion.preset_id == preset.id)
    )
    version = PresetVersion(
        preset_id=preset.id,
        name=preset.name,
        description=preset.description,
        number=(last or 0) + 1,
        author_id=actor.account_id,
        note=note,
        document=document,
        sha256=sha256_of(document),
    )
    session.add(version)
    session.flush()
    return version
