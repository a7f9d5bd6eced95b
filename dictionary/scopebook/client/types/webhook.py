"""What the API answers of webhooks; written by `make openapi`."""

from __future__ import annotations

from typing import Literal, TypedDict


class DeliveryRead(TypedDict):
    """An event that a webhook was told, or is to be told."""

    id: int
    event: Literal["label.accepted", "run.ended"]
    state: Literal["waiting", "sent", "failed"]
    attempts: int
    due_at: str | None
    error: str | None
    created_at: str
    finished_at: str | None


class NewWebhook(TypedDict):
    """An address that is to be told of events."""

    url: str
    events: list[Literal["label.accepted", "run.ended"]]


class WebhookMade(TypedDict):
    """A new webhook with the secret that its deliveries are signed by."""

    webhook: WebhookRead
    secret: str


class WebhookRead(TypedDict):
    """An address that is told of events, without its secret."""

    id: int
    url: str
    events: list[Literal["label.accepted", "run.ended"]]
    account: str
    created_at: str
    waiting: int
    failed: int
