"""Accounts, tokens, the log and who sees a release: what admins do."""

from collections.abc import Iterator, Sequence
from typing import Literal, cast
from urllib.parse import quote

from scopebook.client.transport import Transport
from scopebook.client.types.account import (
    AccountMade,
    AccountRead,
    ApiTokenRead,
    AuditRead,
    LinkRead,
    Visibility,
    WhoAmI,
)

Role = Literal["viewer", "annotator", "editor", "admin"]


class Accounts(Transport):
    """Who may come in. A token makes no other token: that takes a login or the command line."""

    def who_am_i(self) -> WhoAmI:
        """Say who asks, by the token."""
        return cast(WhoAmI, self._get("/session"))

    def accounts(self) -> list[AccountRead]:
        """List all accounts by name."""
        return cast(list[AccountRead], self._get("/accounts")["items"])

    def add_account(self, name: str, role: Role = "annotator") -> AccountMade:
        """Make an account, and the link by which its person sets a password."""
        return cast(AccountMade, self._send("POST", "/accounts", {"name": name, "role": role}))

    def change_account(
        self, name: str, *, role: Role | None = None, disabled: bool | None = None
    ) -> AccountRead:
        """Change an account's role, shut it out or let it in again."""
        body = {"role": role, "disabled": disabled}
        return cast(AccountRead, self._send("PATCH", f"/accounts/{quote(name, safe='')}", body))

    def make_account_link(self, name: str) -> LinkRead:
        """Make a link that sets the account's password once, within a day."""
        return cast(LinkRead, self._send("POST", f"/accounts/{quote(name, safe='')}/link"))

    def tokens(self, *, everybody: bool = False) -> list[ApiTokenRead]:
        """List one's own tokens, or for an admin everybody's, the newest first."""
        answer = self._get("/tokens", {"everybody": everybody})
        return cast(list[ApiTokenRead], answer["items"])

    def audit(
        self, *, account: str | None = None, action: str | None = None, limit: int | None = None
    ) -> Iterator[AuditRead]:
        """List who changed what, newest first."""
        return self._items("/audit", {"account": account, "action": action}, limit)

    def visibility(self, release: str) -> Visibility:
        """Say for whom a release is."""
        return cast(Visibility, self._get(f"/releases/{quote(release)}/visibility"))

    def set_visibility(
        self, release: str, *, role: Role | None = None, accounts: Sequence[str] = ()
    ) -> Visibility:
        """Keep a release for a role and for some accounts; neither: it is for all."""
        body = {"role": role, "accounts": list(accounts)}
        return cast(Visibility, self._send("PUT", f"/releases/{quote(release)}/visibility", body))
