"""Accounts as others see them, and the one who acts."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, get_args

from sqlalchemy import ColumnElement, exists, func, select
from sqlalchemy.orm import Session

from scopebook.db.account_tables import Account
from scopebook.errors import ForbiddenError, NotFoundError

#: From the least to the most.
Role = Literal["viewer", "annotator", "editor", "admin"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)

#: The account of whoever sits at the machine of an instance without accounts; made with the table.
LOCAL: Final = "local"


#: How it is known who acts: by sitting at the machine, by a login or by a token.
Via = Literal["machine", "login", "token"]


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Who acts, and in which role: that of the account, or less where a token says so."""

    account_id: int
    name: str
    role: Role
    via: Via = "machine"
    #: Where the request came from; null at the command line.
    address: str | None = None

    def may(self, role: Role) -> bool:
        """Tell whether this is at least that role."""
        return ROLES.index(self.role) >= ROLES.index(role)

    def require(self, role: Role) -> None:
        """Refuse who has a lower role."""
        if not self.may(role):
            article = "an" if role[0] in "ae" else "a"
            raise ForbiddenError(
                f"{self.name} acts as {self.role} here, and this takes {article} {role}; an admin "
                f"can change the role of an account."
            )


@dataclass(frozen=True, kw_only=True)
class AccountView:
    """An account without its secrets."""

    id: int
    name: str
    role: Role
    has_password: bool
    created_at: datetime
    disabled_at: datetime | None
    last_seen_at: datetime | None


def actor_of(
    account: Account, via: Via, address: str | None = None, role: Role | None = None
) -> Actor:
    """Return an account as the one who acts, in its own role if no other is given."""
    return Actor(
        account_id=account.id,
        name=account.name,
        role=role or role_of(account),
        via=via,
        address=address,
    )


def local_actor(session: Session) -> Actor:
    """Return who acts where nobody has to log in, and at the command line."""
    return actor_of(find_account(session, LOCAL), "machine")


def actor_without_accounts(session: Session) -> Actor | None:
    """Return `local` while there is no other account, in one look; None from then on."""
    others = select(Account.id).where(is_person()).exists()
    account = session.scalar(select(Account).where(Account.name == LOCAL, ~others))
    return None if account is None else actor_of(account, "machine")


def is_person() -> ColumnElement[bool]:
    """Return the condition that an account is a person's: neither `local` nor an imported name."""
    return (Account.name != LOCAL) & Account.imported_name.is_(None)


def has_accounts(session: Session) -> bool:
    """Tell whether there is any account but `local`; from the first one on, people log in."""
    return bool(session.scalar(select(exists().where(is_person()))))


def list_accounts(session: Session) -> list[AccountView]:
    """Return the accounts of people in order of their names."""
    rows = session.scalars(select(Account).where(is_person()).order_by(func.lower(Account.name)))
    return [view_of(account) for account in rows]


def view_of(account: Account) -> AccountView:
    """Return what may be told of an account."""
    return AccountView(
        id=account.id,
        name=account.name,
        role=role_of(account),
        has_password=account.password_hash is not None,
        created_at=account.created_at,
        disabled_at=account.disabled_at,
        last_seen_at=account.last_seen_at,
    )


def find_account(session: Session, name: str) -> Account:
    """Return the account of that name; capitals make no difference."""
    account = session.scalar(
        select(Account).where(
            func.lower(Account.name) == name.lower(), Account.imported_name.is_(None)
        )
    )
    if account is None:
        raise NotFoundError(
            f"There is no account {name!r}; `scopebook user list` names those there are."
        )
    return account


def role_of(account: Account) -> Role:
    """Return an account's role as the type that the database holds it to."""
    return next(known for known in ROLES if known == account.role)
