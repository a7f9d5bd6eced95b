"""The table of answers that are kept for who asks the same again."""

from datetime import datetime
from typing import Any

from sqlalchemy import DateTime, ForeignKey, LargeBinary, SmallInteger, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from scopebook.db.base import Base


class KeptAnswer(Base):
    """What a creating request under a key was answered; written in the transaction that made it."""

    __tablename__ = "kept_answer"

    account_id: Mapped[int] = mapped_column(
        ForeignKey("account.id", ondelete="CASCADE"), primary_key=True
    )
    #: What the caller sent as `Idempotency-Key`.
    key: Mapped[str] = mapped_column(primary_key=True)
    #: Method and path, and the SHA-256 of these with the query and the body.
    request: Mapped[str]
    request_sha256: Mapped[bytes] = mapped_column(LargeBinary)
    status: Mapped[int] = mapped_column(SmallInteger)
    headers: Mapped[dict[str, Any]] = mapped_column(JSONB)
    body: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), index=True
    )
