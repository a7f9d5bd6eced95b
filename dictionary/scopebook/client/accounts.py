"""Accounts, tokens, webhooks, the log and who sees a release: what editors and admins do."""

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
from scopebook.client.types.webhook import DeliveryRead, WebhookMade, WebhookRead

Event = Literal["label.accepted", "run.ended"]
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

    def webhooks(self) -> list[WebhookRead]:
        """List one's own webhooks, or for an admin all, the newest first."""
        return cast(list[WebhookRead], self._get("/webhooks")["items"])

    def add_webhook(self, url: str, events: Sequence[Event]) -> WebhookMade:
        """Let an address be told of events; the answer has the secret, this once."""
        return cast(WebhookMade, self._send("POST", "/webhooks", {"url": url, "events": [*events]}))

    def remove_webhook(self, webhook_id: int) -> None:
        """Tell an address nothing any more."""
        self._send("DELETE", f"/webhooks/{webhook_id}")

    def deliveries(self, webhook_id: int, *, limit: int | None = None) -> Iterator[DeliveryRead]:
        """List what a webhook was told, newest first, and why it was not."""
        return self._items(f"/webhooks/{webhook_id}/deliveries", {}, limit)

    def deliver_again(self, webhook_id: int, delivery_id: int) -> DeliveryRead:
        """Send a delivery that is over once more."""
        path = f"/webhooks/{webhook_id}/deliveries/{delivery_id}/again"
        return cast(DeliveryRead, self._send("POST", path))

    def visibility(self, release: str) -> Visibility:
        """Say for whom a release is."""
        return cast(Visibility, self._get(f"/releases/{quote(release)}/visibility"))

    def set_visibility(
        self, release: str, *, role: Role | None = None, accounts: Sequence[str] = ()
    ) -> Visibility:
        """Keep a release for a role and for some accounts; neither: it is for all."""
        body = {"role": role, "accounts": list(accounts)}
        return cast(Visibility, self._send("PUT", f"/releases/{quote(release)}/visibility", body))
