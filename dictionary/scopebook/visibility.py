"""Who sees which release.

A release is for all unless it is kept for a role (and those above it) or for some accounts; admins
see all. What is hidden is left out of every query of the session that serves the request, by one
rule at one place: a query that somebody adds later obeys it without knowing of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, event, exists, func, or_, select, true
from sqlalchemy.orm import Mapper, ORMExecuteState, Session, with_loader_criteria
from sqlalchemy.sql.base import ExecutableOption

from scopebook.accounts import ROLES, Actor, Role, find_account
from scopebook.audit import record
from scopebook.db.account_tables import Account, ReleaseVisibility
from scopebook.db.base import Base
from scopebook.db.jobs import Job
from scopebook.db.preset_tables import Preset
from scopebook.db.tables import FEATURE_BITS, Release, Run, Sae
from scopebook.releases import find_release

_HIDDEN: Final = "scopebook.hidden_releases"
_FEATURES: Final = 2**FEATURE_BITS


@dataclass(frozen=True, kw_only=True)
class VisibilityView:
    """For whom a release is; neither a role nor accounts: for all."""

    role: Role | None
    accounts: list[str]


@dataclass(frozen=True)
class Hidden:
    """Releases that are left out of what somebody sees."""

    releases: Sequence[int]
    names: Sequence[str]
    saes: Sequence[int]
    #: Presets that are kept from who asks; of them only the jobs are left out here.
    presets: Sequence[int] = ()


def hidden_from(session: Session, actor: Actor) -> Hidden | None:
    """Return what `actor` may not see; None if that is nothing."""
    presets = session.scalars(select(Preset.id).where(~preset_seen_by(actor))).all()
    releases = [] if actor.may("admin") else _hidden_releases(session, actor)
    if not releases and not presets:
        return None
    ids = [row.id for row in releases]
    saes = session.scalars(select(Sae.id).where(Sae.release_id.in_(ids))).all() if ids else []
    return Hidden(ids, [row.name for row in releases], saes, presets)


def preset_seen_by(actor: Actor) -> ColumnElement[bool]:
    """Return the condition that an actor may see a preset; at the machine all are seen."""
    if actor.via == "machine":
        return true()
    roles = ROLES[: ROLES.index(actor.role) + 1]
    return Preset.visible_to.in_(roles) | (Preset.owner_id == actor.account_id)


def _hidden_releases(session: Session, actor: Actor) -> Sequence[Any]:
    kept = exists().where(ReleaseVisibility.release_id == Release.id)
    for_actor = kept.where(
        ReleaseVisibility.role.in_(ROLES[: ROLES.index(actor.role) + 1])
        | (ReleaseVisibility.account_id == actor.account_id)
    )
    return session.execute(select(Release.id, Release.name).where(kept, ~for_actor)).all()


def leave_out(session: Session, hidden: Hidden | None) -> None:
    """From now on, leave that out of this session's queries, and nothing else."""
    session.info[_HIDDEN] = hidden


def hides(session: Session) -> bool:
    """Tell whether any release is left out of this session's queries."""
    hidden: Hidden | None = session.info.get(_HIDDEN)
    return hidden is not None and bool(hidden.releases)


def releases_left_out(session: Session) -> frozenset[int]:
    """Return the releases that are left out of this session's queries."""
    hidden: Hidden | None = session.info.get(_HIDDEN)
    return frozenset(hidden.releases if hidden else ())


@event.listens_for(Session, "do_orm_execute")
def _keep_to_it(state: ORMExecuteState) -> None:
    hidden: Hidden | None = state.session.info.get(_HIDDEN)
    if hidden is not None and state.is_select:
        state.statement = state.statement.options(*_criteria(hidden))


def _criteria(hidden: Hidden) -> list[ExecutableOption]:
    """Return a rule for every table that has rows of a release, an SAE or a feature."""
    if not hidden.releases:
        return [_of_presets(hidden)]
    rules = [_rule(mapper, hidden) for mapper in Base.registry.mappers]
    return [*filter(None, rules), _of_releases(hidden), _of_jobs(hidden), _of_presets(hidden)]


def _rule(mapper: Mapper[Any], hidden: Hidden) -> ExecutableOption | None:
    """Return which rows of a table stay, by the first of the columns that tells their release."""
    releases, saes = hidden.releases, hidden.saes
    # Functions of the class, since SQLAlchemy calls them for each alias of it too.
    if "release_id" in mapper.columns:
        return with_loader_criteria(
            mapper.class_,
            lambda of: of.release_id.is_(None) | of.release_id.not_in(releases),
            include_aliases=True,
        )
    if "sae_id" in mapper.columns:
        return with_loader_criteria(
            mapper.class_,
            lambda of: of.sae_id.is_(None) | of.sae_id.not_in(saes),
            include_aliases=True,
        )
    if "feature_id" in mapper.columns:
        return with_loader_criteria(
            mapper.class_,
            lambda of: of.feature_id.is_(None) | (of.feature_id // _FEATURES).not_in(saes),
            include_aliases=True,
        )
    return None


def _of_releases(hidden: Hidden) -> ExecutableOption:
    releases = hidden.releases
    return with_loader_criteria(Release, lambda of: of.id.not_in(releases), include_aliases=True)


def _of_jobs(hidden: Hidden) -> ExecutableOption:
    """Return which jobs stay: those that neither name a hidden release nor collect it."""
    asked = func.coalesce(func.jsonb_extract_path_text(Job.parameters, "release"), "")
    # The table itself: the class would obey the rules, and name no run that is left out.
    runs = Run.__table__.c
    ran = select(runs.job_id).where(runs.release_id.in_(hidden.releases))
    added = [Job.title.endswith(name, autoescape=True) for name in hidden.names]
    stays = asked.not_in(hidden.names) & Job.id.not_in(ran) & ~or_(*added)
    return with_loader_criteria(Job, stays)


def _of_presets(hidden: Hidden) -> ExecutableOption:
    """Return which jobs stay: those of no kept preset, whose errors tell what is in it."""
    named = func.coalesce(func.jsonb_extract_path_text(Job.parameters, "preset"), "")
    return with_loader_criteria(Job, named.not_in([str(one) for one in hidden.presets]))


def read_visibility(session: Session, release: str) -> VisibilityView:
    """Return for whom a release is."""
    rows = session.execute(
        select(ReleaseVisibility.role, Account.name)
        .outerjoin(Account, Account.id == ReleaseVisibility.account_id)
        .where(ReleaseVisibility.release_id == find_release(session, release).id)
        .order_by(func.lower(Account.name))
    ).all()
    roles = [known for row in rows for known in ROLES if known == row.role]
    return VisibilityView(
        role=roles[0] if roles else None, accounts=[row.name for row in rows if row.name]
    )


def set_visibility(
    session: Session, release: str, *, role: Role | None, accounts: Sequence[str], by: Actor
) -> VisibilityView:
    """Keep a release for a role and those above, and some accounts; for all without either."""
    found = find_release(session, release)
    people = {find_account(session, name).id for name in accounts}
    before = read_visibility(session, release)
    session.query(ReleaseVisibility).filter_by(release_id=found.id).delete()
    rows = [ReleaseVisibility(release_id=found.id, account_id=person) for person in sorted(people)]
    if role is not None:
        rows.append(ReleaseVisibility(release_id=found.id, role=role))
    session.add_all(rows)
    session.flush()
    after = read_visibility(session, release)
    record(
        session,
        by,
        "changed who sees a release",
        found.name,
        before={"role": before.role, "accounts": before.accounts},
        after={"role": after.role, "accounts": after.accounts},
    )
    return after
