"""Make accounts, change their roles and passwords, shut them out; each change stands in the log."""

import re
import unicodedata
from datetime import timedelta
from typing import Final

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from scopebook.accounts import (
    LOCAL,
    ROLES,
    Actor,
    Role,
    actor_of,
    find_account,
    has_accounts,
    is_person,
    role_of,
)
from scopebook.audit import record
from scopebook.credentials import check_password, digest, hash_password, new_secret
from scopebook.db.account_tables import Account, LoginSession, OneTimeLink
from scopebook.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    UnauthenticatedError,
)

LINK_LIFETIME: Final = timedelta(hours=24)
#: Letters of any script, so that people can be called by their names; no space and no @, so that
#: a text can mention them.
_NAME: Final = re.compile(r"\w(?:[\w.-]{0,38}\w)?")


def add_account(session: Session, name: str, role: str, *, by: Actor) -> Account:
    """Make an account; nobody can log in to it before it has a password."""
    name, role = _checked_name(session, name), checked_role(role)
    account = Account(name=name, role=role)
    session.add(account)
    session.flush()
    record(session, by, "made an account", name, role=role)
    return account


def adopt_author(session: Session, author: str, name: str, role: str, *, by: Actor) -> Account:
    """Make an imported author an account, whose person has said what came in under that name."""
    account = session.scalar(select(Account).where(Account.imported_name == author))
    if account is None:
        names = select(Account.imported_name).where(Account.imported_name.is_not(None))
        known = ", ".join(filter(None, session.scalars(names.order_by(Account.imported_name))))
        raise NotFoundError(f"There is no imported author {author!r}; there are {known or 'none'}.")
    account.name, account.role = _checked_name(session, name), checked_role(role)
    account.imported_name = account.disabled_at = None
    session.flush()
    record(
        session, by, "gave an imported author an account", account.name, author=author, role=role
    )
    return account


def add_account_by_page(session: Session, name: str, role: str, *, by: Actor) -> Account:
    """Make an account; the first one ends the free entry, so it must be able to let others in."""
    if role != "admin" and not has_accounts(session):
        raise ConflictError(
            "The first account must be an admin: from then on everybody logs in, and only an "
            "admin lets others in."
        )
    return add_account(session, name, role, by=by)


def checked_role(role: str) -> Role:
    """Return a role as its type; refuse what is none."""
    known = next((known for known in ROLES if known == role), None)
    if known is None:
        raise InvalidInputError(f"{role!r} is no role; give one of {', '.join(ROLES)}.")
    return known


def _checked_name(session: Session, name: str) -> str:
    name = unicodedata.normalize("NFC", name.strip())
    if _NAME.fullmatch(name) is None:
        raise InvalidInputError(
            f"{name[:60]!r} cannot be the name of an account: expected up to 40 letters, digits "
            "and . _ - between them."
        )
    if session.scalar(select(Account.id).where(func.lower(Account.name) == name.lower())):
        raise ConflictError(f"There is an account {name!r} already; choose another name.")
    return name


def change_role(session: Session, name: str, role: str, *, by: Actor) -> Account:
    """Give an account another role."""
    account, role = find_person(session, name), checked_role(role)
    if role != account.role:
        if role != "admin":
            _keep_an_admin(session, account)
        record(session, by, "changed a role", account.name, before=account.role, after=role)
        account.role = role
    return account


def disable_account(session: Session, name: str, *, by: Actor) -> Account:
    """Shut an account out at once: it is logged out, and its tokens no longer count."""
    account = find_person(session, name)
    if account.disabled_at is None:
        _keep_an_admin(session, account)
        account.disabled_at = session.scalar(select(func.now()))
        end_sessions(session, account)
        _void_links(session, account)
        record(session, by, "disabled an account", account.name)
    return account


def enable_account(session: Session, name: str, *, by: Actor) -> Account:
    """Let an account in again, with the password and the tokens it had."""
    account = find_person(session, name)
    if account.disabled_at is not None:
        account.disabled_at = None
        record(session, by, "enabled an account", account.name)
    return account


def find_person(session: Session, name: str) -> Account:
    """Return an account that somebody can log in to."""
    account = find_account(session, name)
    if account.name == LOCAL:
        raise ConflictError(
            f"{LOCAL!r} is whoever sits at this machine; it has no password and no other role. "
            "Make an account with a name of its own."
        )
    return account


def _keep_an_admin(session: Session, leaving: Account) -> None:
    """Refuse to lose the last admin; two who go at once wait for each other here."""
    if role_of(leaving) != "admin" or leaving.disabled_at is not None:
        return
    admins = session.scalars(
        select(Account.id)
        .where(Account.role == "admin", Account.disabled_at.is_(None), is_person())
        .order_by(Account.id)
        .with_for_update()
    ).all()
    if not set(admins) - {leaving.id}:
        raise ConflictError(
            f"{leaving.name} is the only admin; make another account an admin first."
        )


def make_link(session: Session, name: str, *, by: Actor) -> str:
    """Return the secret of a link that sets the account's password once; earlier ones are void."""
    account = find_person(session, name)
    if account.disabled_at is not None:
        raise ConflictError(f"{account.name} is disabled; enable the account first.")
    _void_links(session, account)
    secret = new_secret()
    session.add(
        OneTimeLink(
            sha256=digest(secret),
            account_id=account.id,
            expires_at=func.now() + LINK_LIFETIME,
        )
    )
    record(session, by, "made a one-time link", account.name)
    return secret


def has_open_link(session: Session, name: str) -> bool:
    """Tell whether a link that somebody was given still sets the account's password."""
    is_good = OneTimeLink.used_at.is_(None) & (OneTimeLink.expires_at > func.now())
    account = find_account(session, name)
    of_account = OneTimeLink.account_id == account.id
    return (
        session.scalar(select(OneTimeLink.sha256).where(of_account, is_good).limit(1)) is not None
    )


def link_url(base: str, secret: str) -> str:
    """Return the link itself; behind `#`, its secret reaches no server's log and no other site."""
    return f"{base.rstrip('/')}/welcome#{secret}"


def _void_links(session: Session, account: Account) -> None:
    open_links = OneTimeLink.used_at.is_(None) & (OneTimeLink.account_id == account.id)
    session.execute(update(OneTimeLink).where(open_links).values(expires_at=func.now()))


def account_of_link(session: Session, secret: str) -> Account:
    """Return whose password an unused link sets."""
    account = session.scalar(
        select(Account)
        .join(OneTimeLink, OneTimeLink.account_id == Account.id)
        .where(
            OneTimeLink.sha256 == digest(secret),
            OneTimeLink.used_at.is_(None),
            OneTimeLink.expires_at > func.now(),
            Account.disabled_at.is_(None),
        )
        .with_for_update(of=OneTimeLink)
    )
    if account is None:
        raise UnauthenticatedError(
            "This link is no longer good: it works once, and for a day; ask an admin for another, "
            "or make one at the machine by `scopebook user password NAME`."
        )
    return account


def use_link(session: Session, secret: str, password: str, *, address: str | None) -> Account:
    """Set the password that the link is for; who was logged in to the account no longer is."""
    account = account_of_link(session, secret)
    session.execute(
        update(OneTimeLink).where(OneTimeLink.sha256 == digest(secret)).values(used_at=func.now())
    )
    owner = actor_of(account, "login", address)
    set_password(session, account, password, by=owner, how="one-time link")
    return account


def set_password(session: Session, account: Account, password: str, *, by: Actor, how: str) -> None:
    """Give an account a password; whoever is logged in to it has to do so again."""
    account.password_hash = hash_password(password, account.name)
    end_sessions(session, account)
    _void_links(session, account)
    record(session, by, "set a password", account.name, how=how)


def change_password(session: Session, old: str, new: str, *, by: Actor) -> Account:
    """Change one's own password, which takes the old one."""
    account = find_person(session, by.name)
    if not check_password(old, account.password_hash)[0]:
        raise InvalidInputError("The present password is not right; nothing was changed.")
    set_password(session, account, new, by=by, how="own")
    return account


def end_sessions(session: Session, account: Account) -> None:
    """Log an account out everywhere."""
    session.execute(delete(LoginSession).where(LoginSession.account_id == account.id))
