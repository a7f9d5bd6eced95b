"""Bodies of webhooks and their deliveries."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from scopebook.outbox import Event
from scopebook_api.schemas import Schema


class WebhookRead(Schema):
    """An address that is told of events, without its secret."""

    id: int
    url: str
    events: list[Event]
    account: str = Field(description="Whose it is: it is told what this account may see.")
    created_at: datetime
    waiting: int = Field(description="Deliveries that wait for their next attempt.")
    failed: int = Field(description="Deliveries that were given up.")


class NewWebhook(Schema):
    """An address that is to be told of events."""

    url: str = Field(
        max_length=2_000,
        description="By http or https, without a password; it must lead to a public address.",
    )
    events: list[Event] = Field(min_length=1, max_length=10)


class WebhookMade(Schema):
    """A new webhook with the secret that its deliveries are signed by."""

    webhook: WebhookRead
    secret: str = Field(description="Told only now.")


class DeliveryRead(Schema):
    """An event that a webhook was told, or is to be told."""

    id: int
    event: Event
    state: Literal["waiting", "sent", "failed"]
    attempts: int
    due_at: datetime | None = Field(description="When it is tried next; null: it is over.")
    error: str | None = Field(description="Why the last attempt did not arrive.")
    created_at: datetime
    finished_at: datetime | None
