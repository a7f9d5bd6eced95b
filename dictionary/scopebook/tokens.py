"""API tokens: what scripts show instead of a login."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple, get_args

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from scopebook.accounts import ROLES, Actor, Role, actor_of, find_account, role_of
from scopebook.audit import record
from scopebook.credentials import digest, new_secret
from scopebook.db.account_tables import Account, ApiToken
from scopebook.errors import ForbiddenError, InvalidInputError, NotFoundError
from scopebook.logins import SEEN_EVERY, unlocked

Scope = Literal["read", "annotate", "edit", "admin"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
#: Scopes and roles go together, the least first.
ROLE_OF: Final[dict[str, Role]] = dict(zip(SCOPES, ROLES, strict=True))
PREFIX: Final = "sb_"
_HINT_LENGTH: Final = len(PREFIX) + 4
_LONGEST_NAME: Final = 80
LONGEST_DAYS: Final = 3650


@dataclass(frozen=True, kw_only=True)
class TokenView:
    """A token without its secret."""

    id: int
    name: str
    account: str
    scope: str
    hint: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


class KnownToken(NamedTuple):
    """Who acts by a token, which one it is, and whether it is time to note its use."""

    actor: Actor
    token_id: int
    unseen: bool


def create_token(
    session: Session, name: str, *, owner: str, scope: str, days: int | None, by: Actor
) -> tuple[TokenView, str]:
    """Make a token of an account, for so many days or for good; its secret is told only now."""
    account, name = find_account(session, owner), name.strip()
    if not 1 <= len(name) <= _LONGEST_NAME:
        raise InvalidInputError(
            f"A token needs a name of 1 to {_LONGEST_NAME} characters that says what it is for."
        )
    if days is not None and not 1 <= days <= LONGEST_DAYS:
        raise InvalidInputError(f"A token is good for 1 to {LONGEST_DAYS} days, not for {days}.")
    if scope not in SCOPES:
        raise InvalidInputError(f"{scope!r} is no scope; give one of {', '.join(SCOPES)}.")
    if ROLES.index(ROLE_OF[scope]) > ROLES.index(role_of(account)):
        raise ForbiddenError(
            f"A token of {account.name}, who is {account.role}, cannot have the scope {scope!r}; "
            "a token may do no more than its owner."
        )
    secret = new_secret(PREFIX)
    token = ApiToken(
        account_id=account.id,
        name=name,
        sha256=digest(secret),
        hint=secret[:_HINT_LENGTH],
        scope=scope,
        expires_at=None if days is None else func.now() + timedelta(days=days),
    )
    session.add(token)
    session.flush()
    session.refresh(token)
    record(session, by, "made a token", name, owner=account.name, scope=scope, token=token.id)
    return _view(token, account.name), secret


def list_tokens(session: Session, *, owner: str | None = None) -> list[TokenView]:
    """Return the tokens of an account, or all, the newest first; revoked ones too."""
    statement = (
        select(ApiToken, Account.name)
        .join(Account, Account.id == ApiToken.account_id)
        .order_by(ApiToken.id.desc())
    )
    if owner is not None:
        statement = statement.where(Account.id == find_account(session, owner).id)
    return [_view(token, account) for token, account in session.execute(statement)]


def revoke_token(session: Session, token_id: int, *, by: Actor) -> TokenView:
    """Make a token worthless at once: one's own, or anybody's for an admin."""
    row = None
    if 0 <= token_id < 2**31:
        row = session.execute(
            select(ApiToken, Account.name)
            .join(Account, Account.id == ApiToken.account_id)
            .where(ApiToken.id == token_id)
        ).one_or_none()
    # Of another's token it is not even told that it is there.
    if row is None or not (by.may("admin") or row.ApiToken.account_id == by.account_id):
        raise NotFoundError(
            f"There is no token {token_id} of yours; `scopebook token list` names all there are."
        )
    token, owner = row
    if token.revoked_at is None:
        token.revoked_at = session.scalar(select(func.now()))
        record(session, by, "revoked a token", token.name, owner=owner, token=token.id)
    return _view(token, owner)


def actor_of_token(session: Session, secret: str, *, address: str | None) -> KnownToken | None:
    """Return who acts by a token: its owner, in the lesser of the two roles; None if it is void."""
    row = session.execute(
        select(ApiToken, Account, ApiToken.last_used_at > func.now() - SEEN_EVERY)
        .join(Account, Account.id == ApiToken.account_id)
        .where(
            ApiToken.sha256 == digest(secret),
            ApiToken.revoked_at.is_(None),
            ApiToken.expires_at.is_(None) | (ApiToken.expires_at > func.now()),
            Account.disabled_at.is_(None),
        )
    ).one_or_none()
    if row is None:
        return None
    token, account, seen = row
    role = min(ROLE_OF[token.scope], role_of(account), key=ROLES.index)
    return KnownToken(actor_of(account, "token", address, role), token.id, not seen)


def note_use(session: Session, token_id: int) -> None:
    """Note that a token was used now."""
    ours = unlocked(ApiToken.id, token_id)
    session.execute(update(ApiToken).where(ApiToken.id.in_(ours)).values(last_used_at=func.now()))


def _view(token: ApiToken, account: str) -> TokenView:
    return TokenView(
        id=token.id,
        name=token.name,
        account=account,
        scope=token.scope,
        hint=token.hint,
        created_at=token.created_at,
        expires_at=token.expires_at,
        last_used_at=token.last_used_at,
        revoked_at=token.revoked_at,
    )
