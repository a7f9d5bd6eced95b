"""The table of what people wait for: requests to run a model now."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    SmallInteger,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from scopebook.db.base import Base, Created, Moment

INFERENCE_STATES: Final = ("queued", "loading", "running", "done", "failed", "cancelled")
_KNOWN_STATE: Final = "state IN ({})".format(", ".join(f"'{state}'" for state in INFERENCE_STATES))


class Inference(Base):
    """A text, or several, to be run through a model and its SAEs while somebody waits.

    Kept for `keep_inferences_minutes`. The table is not logged: what is asked live is asked again
    after a crash of the database, and answers of some megabytes need not be written twice.
    """

    __tablename__ = "inference"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"))
    release_id: Mapped[int] = mapped_column(ForeignKey("release.id", ondelete="CASCADE"))
    kind: Mapped[str]
    #: What to run, as `scopebook.inference_requests` has checked it.
    parameters: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(server_default="queued")
    #: How often a worker took it: one that takes its worker with it is not tried for ever.
    attempt: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    #: Nobody waits any longer than that.
    deadline: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    lease_until: Mapped[Moment | None]
    worker: Mapped[str | None]
    #: What the model has written by now: `[[text, probability], ...]`, a token each.
    written: Mapped[list[Any]] = mapped_column(JSONB, server_default=text("'[]'"))
    #: Packed by `scopebook.activations`.
    answer: Mapped[bytes | None] = mapped_column(LargeBinary)
    error: Mapped[str | None]
    #: `input` where the input has to be changed, before asking again can help.
    error_kind: Mapped[str | None]
    created_at: Mapped[Created]
    started_at: Mapped[Moment | None]
    finished_at: Mapped[Moment | None]

    __table_args__ = (
        CheckConstraint(_KNOWN_STATE, name="known_state"),
        Index(
            "ix_inference_waiting",
            "account_id",
            "id",
            postgresql_where=text("state IN ('queued', 'loading', 'running')"),
        ),
        Index("ix_inference_created_at", "created_at"),
        {"prefixes": ["UNLOGGED"]},
    )
