"""Webhooks: one's own, and for an admin everybody's."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path

from scopebook import webhooks
from scopebook_api.deps import Cursor, DbSession, Editor, Limit, kept_nowhere
from scopebook_api.idempotency import KeyedRoute
from scopebook_api.schemas import Page, problems
from scopebook_api.webhook_schemas import DeliveryRead, NewWebhook, WebhookMade, WebhookRead

router = APIRouter(prefix="/webhooks", tags=["accounts"], responses=problems(404, 409))
RowId = Annotated[int, Path(ge=1, lt=2**63)]


@router.get("", response_model=Page[WebhookRead])
def browse(session: DbSession, me: Editor) -> dict[str, object]:
    """List one's own webhooks, or for an admin all, the newest first."""
    return {"items": webhooks.list_webhooks(session, by=me), "next": None}


@router.post("", response_model=WebhookMade, status_code=201, dependencies=[Depends(kept_nowhere)])
def add(session: DbSession, me: Editor, wanted: NewWebhook) -> dict[str, object]:
    """Let an address be told of events; the secret of its signatures is told only here."""
    webhook, secret = webhooks.add_webhook(session, wanted.url, wanted.events, by=me)
    return {"webhook": webhook, "secret": secret}


@router.delete("/{webhook_id}", status_code=204)
def remove(session: DbSession, me: Editor, webhook_id: RowId) -> None:
    """Tell an address nothing any more; what waits for it is dropped."""
    webhooks.remove_webhook(session, webhook_id, by=me)


@router.get("/{webhook_id}/deliveries", response_model=Page[DeliveryRead])
def deliveries(
    session: DbSession, me: Editor, webhook_id: RowId, limit: Limit = 50, cursor: Cursor = None
) -> dict[str, object]:
    """List what a webhook was told in the last month, newest first, and why it was not."""
    found, following = webhooks.list_deliveries(
        session, webhook_id, by=me, limit=limit, cursor=cursor
    )
    return {"items": found, "next": following}


def send_again(
    session: DbSession, me: Editor, webhook_id: RowId, delivery_id: RowId
) -> webhooks.DeliveryView:
    """Send a delivery that is over once more."""
    return webhooks.send_again(session, webhook_id, delivery_id, by=me)


router.add_api_route(
    "/{webhook_id}/deliveries/{delivery_id}/again",
    send_again,
    methods=["POST"],
    response_model=DeliveryRead,
    route_class_override=KeyedRoute,
)
