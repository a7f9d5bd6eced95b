"""Work on steps: claim one, hold it while working, end it once.

A task module registers the work of one kind of step. The work reads in short transactions of its
own, computes with none open, and returns a function that writes the results; that function runs
in the transaction that ends the step, so results stand exactly once::

    @step_task(LABEL_SAE)
    def label_sae(claim: Claim, progress: Progress) -> Finish:
        features = read_features(claim.parameters["sae_id"])
        proposals = []
        for done, feature in enumerate(features):
            progress(done, len(features), "features")  # raises when the claim is lost
            proposals.append(propose(feature))

        def write(session: Session) -> None:
            save_proposals(session, proposals)

        return write

`write` may return steps of later stages (`NewStep`) that only this step could know of. Work that
commits parts on its way calls `progress.hold(session)` in each of these transactions, so that a
worker taken for dead commits nothing any more.

What the work raises ends the step: a `ScopebookError` fails it with its sentence, anything else
gives it back until that happened `max_attempts` times.

A database that goes away costs no result: the end of a step is written again and again for as long
as a lease lasts, and the fence tells whether an end whose answer was lost stands already.
"""

import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from scopebook import meters
from scopebook.db.sessions import Sessions, sessions, unit_of_work
from scopebook.errors import ScopebookError
from scopebook.job_ends import kind_of
from scopebook.log_fields import logged_as_step
from scopebook.settings import settings
from scopebook.steps import (
    Claim,
    LostClaimError,
    NewStep,
    claim_step,
    fail_step,
    finish_step,
    give_back_step,
    release_step,
    renew_step,
    was_finished,
)
from scopebook.waking import wake_others
from scopebook_workers import process
from scopebook_workers.outages import AWAY, patiently
from scopebook_workers.tasks import MODULE_OF

log = logging.getLogger(__name__)

#: Seconds between two looks at the claim, which also write the progress.
PROGRESS_INTERVAL_S = 0.5
#: A death says less against a step than an error does: kills and restarts hit whatever is at work.
DEATHS_PER_ATTEMPT = 8

Finish = Callable[[Session], Sequence[NewStep] | None]
Work = Callable[[Claim, "Progress"], Finish]

_works: dict[str, Work] = {}


class StoppingError(Exception):
    """This worker shuts down, so it gives its step back."""


class Progress:
    """How far the work is, and whether it is still this worker's.

    A thread of its own writes to the database; a call costs next to nothing.
    """

    def __init__(self, claim: Claim, factory: Sessions, *, lease_s: float) -> None:
        self._claim = claim
        self._factory = factory
        self._lease_s = lease_s
        self._state: tuple[int, int, str] | None = None
        self._lost: LostClaimError | None = None
        self._ended = threading.Event()
        self._counted = 0

    def __call__(self, done: int, total: int, unit: str) -> None:
        """Note that `done` of `total` units are done; raise when the work is to be dropped."""
        self.check()
        self._state = (done, total, unit)
        if unit == "tokens":
            # Also those of a shard that is begun anew: the model has read them.
            meters.count("tokens_read", max(0, done - self._counted), kind=self._claim.kind)
            self._counted = done

    def check(self) -> None:
        """Raise when the work is to be dropped."""
        if self._lost is not None:
            raise self._lost
        if process.stopping():
            raise StoppingError

    def hold(self, session: Session) -> None:
        """Keep the claim until this transaction ends; raise `LostClaimError` if it is lost."""
        renew_step(session, self._claim, lease_s=self._lease_s)

    @contextmanager
    def renewing(self) -> Iterator[None]:
        """Renew the lease inside the block, at least three times per lease."""
        thread = threading.Thread(target=self._renew_until_ended, name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _renew_until_ended(self) -> None:
        # Also while nothing is reported: a long batch must find out that it was cancelled.
        while not self._ended.wait(min(PROGRESS_INTERVAL_S, self._lease_s / 3)):
            self._renew()
            if self._lost is not None:
                return

    def _renew(self) -> None:
        done, total, unit = self._state or (None, None, None)
        try:
            with _unit(self._factory, self._lease_s) as session:
                renew_step(
                    session,
                    self._claim,
                    lease_s=self._lease_s,
                    done=done,
                    total=total,
                    unit=unit,
                )
        except LostClaimError as lost:
            self._lost = lost
        except SQLAlchemyError as error:
            # The work goes on: if the lease runs out meanwhile, its end is refused.
            log.warning("The lease of step %s was not renewed: %s", self._claim.step_id, error)


def step_task(kind: str) -> Callable[[Work], Work]:
    """Register the decorated function as the work of `kind`; see the module's example."""

    def register(work: Work) -> Work:
        _works[kind] = work
        return work

    return register


def _work_of(kind: str) -> Work:
    """Import the module of `kind` on first use: torch must not be imported before the fork."""
    if kind not in _works:
        with _no_look_for_garbage():
            import_module(MODULE_OF[kind])
    return _works[kind]


@contextmanager
def _no_look_for_garbage() -> Iterator[None]:
    """Look for no garbage inside: torch's import makes a million things and drops next to none.

    Looking through them again and again takes a fifth of the import's time.
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


@contextmanager
def _unit(factory: Sessions, lease_s: float) -> Iterator[Session]:
    """Work in one transaction, which the server ends if this process freezes inside it.

    A frozen worker would else keep the lock on its step's row, which others pass over.
    """
    with unit_of_work(factory) as session:
        limit = str(max(1, round(lease_s * 1000)))
        session.execute(select(func.set_config("idle_in_transaction_session_timeout", limit, True)))
        yield session


def _patiently(write: Callable[[Session], None]) -> None:
    """Do `write` in one transaction, also if the database has to be waited for."""

    def once() -> None:
        with _unit(sessions(), settings().lease_s) as session:
            write(session)

    patiently(once, "the step's end")


def work_off(*kinds: str) -> int:
    """Do the due steps of these kinds one after the other; return how many were done.

    The next is chosen anew after each, so that no long run keeps what is more urgent waiting.
    """
    done = 0
    woken = True
    while not process.stopping():
        claim = _claim(kinds, woken=woken)
        if claim is None:
            break
        woken = False
        try:
            done += _do(claim)
        except _RestError:
            break
    return done


class _RestError(Exception):
    """What went wrong may pass with time, so this worker waits for the next notice."""


def _claim(kinds: Sequence[str], *, woken: bool) -> Claim | None:
    try:
        with _unit(sessions(), settings().lease_s) as session:
            claim = claim_step(
                session,
                *kinds,
                worker=process.name(),
                lease_s=settings().lease_s,
                max_attempts=settings().max_attempts * DEATHS_PER_ATTEMPT,
            )
            if claim is not None and woken:
                wake_others(session, claim.job_id, claim.kind)
    except AWAY as error:
        # The sweep sends a notice once the database is back.
        log.warning("The database is away, so no step is taken: %s", error)
        return None
    if claim is not None and claim.lost:
        meters.count("leases_lost", kind=claim.kind)
    return claim


def _do(claim: Claim) -> bool:
    """Do a claimed step and end it, whatever happens; return whether it was done."""
    with logged_as_step(
        job=claim.job_id, step=claim.step_id, kind=claim.kind, attempt=claim.attempt
    ):
        log.info("Step %s (%s), attempt %s", claim.step_id, claim.kind, claim.attempt)
        began = time.monotonic()
        try:
            return _work_and_end(claim)
        except AWAY as error:
            # Its lease runs out, and the sweep finds it.
            log.warning("Step %s is left as it is: %s", claim.step_id, error)
            raise _RestError from error
        finally:
            log.info("Step %s is over for this worker", claim.step_id, extra=_took(began))


def _took(began: float) -> dict[str, int]:
    return {"ms": round(1000 * (time.monotonic() - began))}


def _work_and_end(claim: Claim) -> bool:
    end = partial(meters.count, "steps_ended", kind=claim.kind)
    try:
        _finish(claim)
    except LostClaimError as lost:
        end(outcome="lost")
        log.info("%s", lost)
        _patiently(lambda session: release_step(session, claim))
    except StoppingError:
        end(outcome="given back")
        _patiently(lambda session: give_back_step(session, claim))
    except ScopebookError as error:
        end(outcome="failed")
        _fail(claim, str(error), again=False, kind=kind_of(error))
    except Exception as error:  # the process edge of every step: nothing may leave it running
        log.exception("Step %s (%s) failed", claim.step_id, claim.kind)
        again = claim.failures + 1 < settings().max_attempts
        end(outcome="tried again" if again else "failed")
        _fail(claim, _first_line(error), again=again)
        if again:
            raise _RestError from error
    else:
        end(outcome="done")
        return True
    return False


def _first_line(error: Exception) -> str:
    """Return what a person can use of an unforeseen error; the log has all of it."""
    lines = str(error).strip().splitlines() or ["no message"]
    return f"{type(error).__name__}: {lines[0][:300]} (the worker's log has more)"


def _finish(claim: Claim) -> None:
    progress = Progress(claim, sessions(), lease_s=settings().lease_s)
    with progress.renewing():
        write = _work_of(claim.kind)(claim, progress)
        tries = 0

        def end(session: Session) -> None:
            nonlocal tries
            tries += 1
            # The commit before this try may stand, and only its answer be lost.
            if tries == 1 or not was_finished(session, claim):
                finish_step(session, claim, write(session) or ())

        _patiently(end)


def _fail(claim: Claim, message: str, *, again: bool, kind: str | None = None) -> None:
    _patiently(lambda session: fail_step(session, claim, message, again=again, kind=kind))
