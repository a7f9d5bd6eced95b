"""The tables of webhooks: who is to be told of events, and what each was told."""

from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, SmallInteger, String
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from scopebook.db.base import Base, BigId, Created, Moment


class Webhook(Base):
    """An address that is told of events, as its owner may see them."""

    __tablename__ = "webhook"

    id: Mapped[BigId]
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    url: Mapped[str]
    events: Mapped[list[str]] = mapped_column(ARRAY(String))
    #: As it is, since signing needs it: whoever reads the database can sign (docs/webhooks.md).
    secret: Mapped[str]
    created_at: Mapped[Created]


class WebhookDelivery(Base):
    """One event for one webhook, written in the transaction of the event."""

    __tablename__ = "webhook_delivery"

    id: Mapped[BigId]
    webhook_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("webhook.id", ondelete="CASCADE")
    )
    event: Mapped[str]
    payload: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(server_default=sql("'waiting'"))
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default=sql("0"))
    #: When it is tried next; while it is being sent, when another process may take it over.
    due_at: Mapped[Created]
    #: What the last attempt came to, unless it arrived.
    error: Mapped[str | None]
    created_at: Mapped[Created]
    finished_at: Mapped[Moment | None]

    __table_args__ = (
        CheckConstraint("state IN ('waiting', 'sent', 'failed')", name="known_state"),
        Index("ix_webhook_delivery_webhook_id_id", "webhook_id", "id"),
        Index("ix_webhook_delivery_due", "due_at", postgresql_where=sql("state = 'waiting'")),
        Index(
            "ix_webhook_delivery_over", "finished_at", postgresql_where=sql("state <> 'waiting'")
        ),
    )
