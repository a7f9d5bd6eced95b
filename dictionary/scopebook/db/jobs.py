"""The tables of long work: a job a person asked for, and the steps it is made of."""

from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from scopebook.db.base import Base, BigId, Created, Moment

STATES = ("queued", "running", "done", "failed", "cancelling", "cancelled")
_KNOWN_STATE = "state IN ({})".format(", ".join(f"'{state}'" for state in STATES))


class Job(Base):
    """Long work a person asked for; its state follows from its steps."""

    __tablename__ = "job"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    title: Mapped[str]
    parameters: Mapped[dict[str, Any]]
    #: Who asked for it; null: before that was kept.
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    state: Mapped[str] = mapped_column(server_default="queued")
    error: Mapped[str | None]
    #: `input` where the input has to be changed, before a retry can help.
    error_kind: Mapped[str | None]
    created_at: Mapped[Created]
    started_at: Mapped[Moment | None]
    finished_at: Mapped[Moment | None]

    __table_args__ = (
        CheckConstraint(_KNOWN_STATE, name="known_state"),
        # Jobs stay when they are over, and what is due is asked of the others.
        Index(
            "ix_job_under_way",
            "id",
            postgresql_where=text("state IN ('queued', 'running', 'cancelling')"),
        ),
    )


class Step(Base):
    """What one task does under a lease; a stage begins when the one before it is done."""

    __tablename__ = "step"

    id: Mapped[BigId]
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"))
    stage: Mapped[int] = mapped_column(SmallInteger)
    kind: Mapped[str]
    title: Mapped[str]
    parameters: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(server_default="queued")
    #: How often it was tried since it was asked for.
    attempt: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    #: How often of these it ended with an error, and not with its worker's death.
    failures: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    #: Rises with each claim and never falls: only the holder of the latest may end the step.
    fence: Mapped[int] = mapped_column(server_default="0")
    lease_until: Mapped[Moment | None]
    worker: Mapped[str | None]
    done: Mapped[int] = mapped_column(BigInteger, server_default="0")
    total: Mapped[int] = mapped_column(BigInteger, server_default="0")
    unit: Mapped[str] = mapped_column(server_default="")
    error: Mapped[str | None]
    #: `input` where the input has to be changed, before a retry can help.
    error_kind: Mapped[str | None]
    created_at: Mapped[Created]
    started_at: Mapped[Moment | None]
    #: When its latest attempt began: what `done` counts was done since then.
    claimed_at: Mapped[Moment | None]
    finished_at: Mapped[Moment | None]

    __table_args__ = (
        CheckConstraint(_KNOWN_STATE, name="known_state"),
        # A job's steps, its open stage, and what is due in it: see `scopebook.due_steps`. There is
        # no other that begins with the job, which the planner could take for it.
        Index("ix_step_place", "job_id", "state", "stage", "kind", "id"),
        # Which were tried too often, and how many there are of each kind.
        Index(
            "ix_step_tried",
            *("attempt", "kind"),
            postgresql_where=text("state IN ('queued', 'running')"),
        ),
    )
