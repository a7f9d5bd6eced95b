"""The tables of what workers tell of themselves: that they live, and what they have counted."""

from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, Boolean, DateTime, Float, Integer, String, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from scopebook.db.base import Base, Created


class Worker(Base):
    """A pool process of a worker, as of its last heartbeat.

    The table is not logged: after a crash of the database all who live write themselves anew.
    """

    __tablename__ = "worker"

    #: `host:pid`, as in `step.worker`.
    name: Mapped[str] = mapped_column(String, primary_key=True)
    host: Mapped[str]
    pid: Mapped[int] = mapped_column(Integer)
    queues: Mapped[list[str]] = mapped_column(ARRAY(String))
    #: Whether the process that reads from the broker was in touch with it lately.
    consuming: Mapped[bool] = mapped_column(Boolean)
    started_at: Mapped[Created]
    seen_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), nullable=False
    )
    #: Numbers of the process by their names, as `resident_memory_bytes`.
    gauges: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    #: The model that it keeps loaded for those who wait; no reference, since it may be deleted.
    model_id: Mapped[int | None] = mapped_column(Integer)
    #: `{"gpu", "total", "free", "reserved"}` of each GPU that it uses, in bytes.
    gpus: Mapped[list[Any]] = mapped_column(JSONB, server_default=text("'[]'"))

    __table_args__ = ({"prefixes": ["UNLOGGED"]},)


class Meter(Base):
    """What all workers of the instance have counted together since it was made."""

    __tablename__ = "meter"

    name: Mapped[str] = mapped_column(String, primary_key=True)
    labels: Mapped[dict[str, Any]] = mapped_column(JSONB, primary_key=True)
    value: Mapped[float] = mapped_column(Float(53), server_default="0")
