"""How much one account, or all together, may take: jobs, live requests, text, money.

Each is a setting, and what none is set for is not counted. Whoever takes something holds a lock
until the transaction ends, then counts: of two who ask at once, the second counts what the first
has taken.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from scopebook.accounts import LOCAL
from scopebook.db.account_tables import Account
from scopebook.db.inference_tables import Inference
from scopebook.db.jobs import Job
from scopebook.db.tables import Document
from scopebook.errors import QuotaError
from scopebook.jobs_under_way import DELETE_JOB, UNDER_WAY
from scopebook.settings import settings

if TYPE_CHECKING:
    from scopebook.labeling_requests import LanguageModel

_ASKING: Final = "scopebook.account"
#: First numbers of advisory locks whose second is an account's; the numbers are ours alone.
_JOBS: Final = 7_263_022
_WAITING: Final = 7_263_023
#: The lock of those who have added text.
_TEXTS: Final = 7_263_024
#: Neither hides what others may not see: the tables themselves.
_JOB: Final[Any] = Job.__table__.c
_INFERENCE: Final[Any] = Inference.__table__.c


def ask_as(session: Session, account_id: int) -> None:
    """From now on, what is asked for in this session is asked for by this account."""
    session.info[_ASKING] = account_id


def place_of_job(session: Session, kind: str) -> int:
    """Return the account that asks for a job: whoever sits at the machine if none is named.

    Raises QuotaError where it has `quota_jobs` under way already.
    """
    account_id: int | None = session.info.get(_ASKING)
    if account_id is None:
        account_id = session.scalars(select(Account.id).where(Account.name == LOCAL)).one()
    _check_jobs(session, account_id, kind)
    return account_id


def place_of_retry(session: Session, job_id: int) -> None:
    """Refuse to do a job again where its account has `quota_jobs` under way already."""
    row = session.execute(select(_JOB.account_id, _JOB.kind).where(_JOB.id == job_id)).one()
    if row.account_id is not None:
        _check_jobs(session, row.account_id, row.kind)


def _check_jobs(session: Session, account_id: int, kind: str) -> None:
    most = settings().quota_jobs
    # Deleting makes room, and whoever is at a limit must be able to.
    if not most or kind == DELETE_JOB:
        return
    session.execute(select(func.pg_advisory_xact_lock(_JOBS, account_id)))
    taken = session.execute(
        select(func.count(), func.min(_JOB.id)).where(
            _JOB.account_id == account_id, _JOB.state.in_(UNDER_WAY), _JOB.kind != DELETE_JOB
        )
    ).one()
    if taken[0] >= most:
        raise QuotaError(
            f"One account may have {most} {_of(most, 'job')} under way here "
            f"(SCOPEBOOK_QUOTA_JOBS), and yours has {taken[0]}; wait for one of them, or cancel "
            f"one: `scopebook jobs cancel {taken[1]}`.",
            retry_after_s=60,
        )


def place_of_inference(session: Session, account_id: int, unfinished: tuple[str, ...]) -> None:
    """Refuse a request to run a model where the account has `inference_waiting` already."""
    most = settings().inference_waiting
    session.execute(select(func.pg_advisory_xact_lock(_WAITING, account_id)))
    waiting = session.execute(
        select(func.count()).where(
            _INFERENCE.account_id == account_id, _INFERENCE.state.in_(unfinished)
        )
    ).scalar_one()
    if waiting >= most:
        raise QuotaError(
            f"You have {waiting} {_of(waiting, 'request')} waiting for the model already, and one "
            f"account may have {most} (SCOPEBOOK_INFERENCE_WAITING); wait for one of them to end, "
            "or cancel one.",
            retry_after_s=5,
        )


def place_of_texts(session: Session, *, written: bool) -> None:
    """Refuse texts that were added where all there are take more than `quota_corpora_mb` now.

    Before any is read, so that none is read in vain; and when they are `written`, right before the
    transaction ends, since nobody else can end one that has added text until then.
    """
    most = settings().quota_corpora_mb
    if not most:
        return
    if written:
        session.execute(select(func.pg_advisory_xact_lock(_TEXTS)))
    stored = select(func.coalesce(func.sum(func.pg_column_size(Document.text)), 0))
    used = session.execute(stored).scalar_one() / 1e6
    if used > most:
        raise QuotaError(
            f"The texts of all corpora and scans may take {most} MB here "
            f"(SCOPEBOOK_QUOTA_CORPORA_MB), and {'with these ' if written else ''}they take "
            f"{used:.1f} MB; add fewer, or "
            "delete what is not needed: `scopebook corpus remove`, `scopebook scans remove`.",
            retry_after_s=3600,
        )


def within_budget(model: "LanguageModel") -> "LanguageModel":
    """Return a language model with the budget of one job, which is what was asked for or less.

    Raises QuotaError for a budget above `quota_llm_usd`, InvalidInputError for a server without
    prices, whose spending cannot be known.
    """
    most = settings().quota_llm_usd
    if not most or "://" not in model.endpoint:
        return model
    if model.budget_usd is not None and model.budget_usd > most:
        raise QuotaError(
            f"One job may spend {most:g} US dollars on a language model here "
            f"(SCOPEBOOK_QUOTA_LLM_USD), and {model.budget_usd:g} were asked for; ask for less, or "
            "do it in several jobs.",
            retry_after_s=3600,
        )
    return replace(model, budget_usd=model.budget_usd or most)


def _of(count: int, one: str) -> str:
    return one if count == 1 else f"{one}s"
