"""Bodies of logins, accounts, tokens, the audit log and who sees a release."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, SecretStr

from scopebook.accounts import Role, Via
from scopebook.credentials import LONGEST_PASSWORD, SHORTEST_PASSWORD
from scopebook.tokens import LONGEST_DAYS, Scope
from scopebook_api.schemas import Schema

Name = Annotated[str, Field(max_length=100)]
#: No shorter limit than the dictionary's own, which says what is wrong in its own words.
Password = Annotated[SecretStr, Field(max_length=LONGEST_PASSWORD)]
NewPassword = Annotated[
    Password, Field(description=f"{SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters.")
]


class ActorRead(Schema):
    """Who acts."""

    name: str
    role: Role = Field(description="The account's, or less where a token says so.")
    via: Via = Field(
        description="`machine`: nobody has to log in, since there are no accounts yet."
    )


class WhoAmI(Schema):
    """Who asks, and how one may log in."""

    me: ActorRead | None = Field(description="Null: nobody who is known.")
    accounts: bool = Field(description="Whether there are accounts, so that people log in.")
    provider: str | None = Field(description="Another way to log in, by its name; null: none.")


class LoginRequest(Schema):
    """A name and its password."""

    name: Name
    password: Password


class LinkSecret(Schema):
    """The secret of a one-time link: what stands behind `#` in it."""

    secret: Name


class LinkUse(LinkSecret):
    """The password that a one-time link sets."""

    password: NewPassword


class PasswordChange(Schema):
    """One's own new password."""

    old: Password
    new: NewPassword


class AccountRead(Schema):
    """An account without its secrets."""

    id: int
    name: str
    role: Role
    has_password: bool = Field(description="False until its one-time link was used.")
    created_at: datetime
    disabled_at: datetime | None
    last_seen_at: datetime | None


class LoginRead(Schema):
    """A browser that one is logged in with."""

    id: int
    created_at: datetime
    last_seen_at: datetime | None = Field(
        description="To about a minute; null: not since it logged in."
    )
    address: str | None = Field(description="From where it was used last.")
    agent: str | None = Field(description="What the browser calls itself (`User-Agent`).")
    this: bool = Field(description="Whether it is the one that asks.")


class NewAccount(Schema):
    """An account to make."""

    name: Name
    role: Role = "annotator"


class AccountChange(Schema):
    """What to change of an account; null leaves it as it is."""

    role: Role | None = None
    disabled: bool | None = None


class LinkRead(Schema):
    """A link that sets an account's password once, within a day."""

    account: str
    url: str = Field(description="Told only now; hand it to its person by a safe way.")


class AccountMade(Schema):
    """A new account, and the link by which its person sets a password."""

    account: AccountRead
    link: LinkRead


class ApiTokenRead(Schema):
    """A token without its secret."""

    id: int
    name: str
    account: str
    scope: Scope
    hint: str = Field(description="Its first characters.")
    created_at: datetime
    expires_at: datetime | None = Field(description="Null: never.")
    last_used_at: datetime | None
    revoked_at: datetime | None


class NewApiToken(Schema):
    """A token to make for oneself."""

    name: Name
    scope: Scope = "read"
    days: Annotated[int, Field(ge=1, le=LONGEST_DAYS)] | None = Field(
        default=90, description="Null: it does not expire."
    )


class ApiTokenMade(Schema):
    """A new token with its secret."""

    token: ApiTokenRead
    secret: str = Field(description="Told only now.")


class AuditRead(Schema):
    """One entry of the audit log."""

    id: int
    at: datetime
    account: str
    action: str
    target: str
    details: dict[str, Any]
    address: str | None = Field(description="Null: the command line of the machine.")


class Visibility(Schema):
    """For whom a release is, beside admins; neither a role nor accounts: for all."""

    role: Role | None = Field(default=None, description="This role and those above it.")
    accounts: list[Name] = Field(default=[], description="By name, whatever their role.")
