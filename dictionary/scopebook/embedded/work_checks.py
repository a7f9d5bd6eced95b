"""What the database says of the work: who takes it, what is stuck, what runs out.

One function per check, each over one session; a check that cannot look says so.
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import exists, func, make_url, or_, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from scopebook.artifacts import check_writable
from scopebook.db.account_tables import Account, ApiToken
from scopebook.db.jobs import Job
from scopebook.db.label_tables import Label, LabelEmbedding
from scopebook.db.sessions import sessions_for, unit_of_work
from scopebook.db.tables import Release, Sae
from scopebook.embedded.checks import Check
from scopebook.embedded.disk import LEAST_FREE_BYTES, free_bytes
from scopebook.embedded.folder import DataFolder
from scopebook.embedders import current_embedder, embedder_name
from scopebook.jobs import LIVE
from scopebook.settings import Settings
from scopebook.work_state import QueueState, WorkState, read_work

#: A server that says nothing for so long is taken to be down.
_ANSWER_S: Final = 5
#: A step that idle workers leave for so long is stuck: the sweep looks every two seconds.
_STUCK_S: Final = 60.0
#: Clocks that differ by more make logs hard to read, and by much more logins fail.
_CLOCK_NOTE_S: Final = 2.0
_CLOCK_WRONG_S: Final = 30.0
_SOON_DAYS: Final = 7

Look = Callable[[Session, Settings], Sequence[Check]]


def patient_url(settings: Settings) -> str | None:
    """Return where the database is, for who waits for a bounded time; None: nowhere."""
    running = DataFolder(settings.data_dir).running()
    url = settings.database_url or (running.database_url if running else None)
    if url is None:
        return None
    address = make_url(url)
    options = f"{address.query.get('options', '')} -c statement_timeout={1000 * _ANSWER_S}"
    limits = {"connect_timeout": str(_ANSWER_S), "options": options.strip()}
    return address.update_query_dict(limits).render_as_string(hide_password=False)


def work_checks(settings: Settings) -> list[Check]:
    """Return what the database says, which must be there and at the newest revision."""
    url = patient_url(settings)
    if url is None:
        return []
    factory = sessions_for(url)
    found: list[Check] = []
    for name, look in _LOOKS.items():
        try:
            with unit_of_work(factory) as session:
                found += look(session, settings)
        except SQLAlchemyError as error:
            reason = str(error.__cause__ or error).strip().splitlines()[0]
            found.append(Check(name, "note", f"the database does not say it: {reason}"))
    factory.kw["bind"].dispose()
    return found


def _start(settings: Settings, queue: str) -> str:
    """Return the command that starts a worker for a queue."""
    return f"scopebook worker --queues {queue}" if settings.database_url else "scopebook up"


def queues(session: Session, settings: Settings) -> list[Check]:
    """Is there somebody to take what waits, and does it go on?"""
    work = read_work(session)
    checks = [_queue(name, state, settings) for name, state in work.queues.items() if name != LIVE]
    return [*checks, _live(work.queues[LIVE], settings), _workers(work)]


def _queue(name: str, state: QueueState, settings: Settings) -> Check:
    title = f"Queue: {name}"
    waits = f"{state.waiting} steps wait, the oldest for {state.oldest_s:.0f} s"
    if state.waiting and not state.workers:
        says = f"{waits}, and no living worker reads from it"
        return Check(title, "missing", says, _start(settings, name))
    if state.waiting and not state.running and state.oldest_s > _STUCK_S:
        says = f"{waits}, and none of {state.workers} idle worker processes takes them"
        mend = "scopebook sweep" if settings.database_url else "scopebook up"
        return Check(title, "missing", says, f"{mend}  (it tells the workers; look into its log)")
    if not state.workers:
        return Check(title, "note", "no worker reads from it, and nothing waits there")
    says = f"{state.workers} worker processes, {state.running} steps run, {state.waiting} wait"
    return Check(title, "fine", says)


def _live(state: QueueState, settings: Settings) -> Check:
    """Are there inference workers, for whoever inspects, compares and steers?"""
    if state.workers:
        says = f"{state.workers} alive, {state.running} requests run, {state.waiting} wait"
        return Check("Inference workers", "fine", says)
    if state.waiting:
        says = f"none is alive, and {state.waiting} requests wait"
        return Check("Inference workers", "missing", says, _start(settings, LIVE))
    return Check("Inference workers", "note", "none is alive, so nobody can inspect or steer")


def _workers(work: WorkState) -> Check:
    cut_off = sorted({one.host for one in work.workers if one.alive and not one.consuming})
    silent = sorted({one.host for one in work.workers if not one.alive})
    if cut_off:
        says = f"those of {', '.join(cut_off)} live and are not in touch with their broker"
        mend = (
            "wait if they have just started; else mend the way from there to SCOPEBOOK_BROKER_URL"
        )
        return Check("Workers", "missing", says, mend)
    if silent:
        says = f"some of {', '.join(silent)} ended within a day without a word"
        return Check("Workers", "note", says, "look into their logs")
    return Check("Workers", "fine", f"{len(work.workers)} processes alive")


def failed_jobs(session: Session, _: Settings) -> list[Check]:
    """Has work failed lately that somebody should look at?"""
    recent = Job.finished_at > func.now() - text(f"interval '{_SOON_DAYS} days'")
    failed = session.execute(
        select(Job.id, Job.title, Job.error)
        .where(Job.state == "failed", recent)
        .order_by(Job.id.desc())
    ).all()
    if not failed:
        return [Check("Failed jobs", "fine", f"none within {_SOON_DAYS} days")]
    newest = failed[0]
    says = f"{len(failed)} within {_SOON_DAYS} days, the newest {newest.id} ({newest.title})"
    mend = f"scopebook jobs show {newest.id}, then scopebook jobs retry {newest.id}"
    return [Check("Failed jobs", "note", says, mend)]


def artifacts(_: Session, settings: Settings) -> list[Check]:
    """Do the artifacts take files, and is there room?"""
    place = settings.artifacts
    try:
        check_writable()
    except Exception as error:
        # Each kind of object store has errors of its own; of a folder the cause tells more.
        says = f"{_without_user(place)} takes no files: {error.__cause__ or error}"
        mend = "mend that, or set SCOPEBOOK_ARTIFACTS_URL"
        return [Check("Artifacts", "missing", says, mend)]
    if "://" in place:
        return [Check("Artifacts", "fine", f"{_without_user(place)} takes files")]
    free = free_bytes(Path(place))
    says = f"{place} takes files, {free / 1e9:.1f} GB free"
    if free < LEAST_FREE_BYTES:
        return [Check("Artifacts", "missing", says, "free at least 1 GB")]
    return [Check("Artifacts", "fine", says)]


def _without_user(url: str) -> str:
    if "://" not in url:
        return url
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rsplit('@', 1)[-1]}"


def vectors(session: Session, settings: Settings) -> list[Check]:
    """Does a search by meaning find all labels: have they vectors of the embedder in use?"""
    embedder = current_embedder(session, settings)
    known = exists().where(
        LabelEmbedding.label_id == Label.id,
        LabelEmbedding.embedder_id == (embedder.id if embedder else 0),
    )
    rows = session.execute(
        select(Release.name, func.count())
        .join(Sae, Sae.release_id == Release.id)
        .join(Label, Label.sae_id == Sae.id)
        .where(Label.current, ~known)
        .group_by(Release.name)
        .order_by(Release.name)
    ).all()
    if not rows:
        return [Check("Label vectors", "fine", f"all of {embedder_name(settings)}")]
    # A labelling under way has labels without vectors too; those of another embedder it has not.
    others = session.scalar(
        select(exists().where(LabelEmbedding.embedder_id != (embedder.id if embedder else 0)))
    )
    told = ", ".join(f"{count:,} labels of {name}" for name, count in rows)
    says = f"{told} have none of {embedder_name(settings)}, so no search by meaning finds them"
    mend = "; ".join(f"scopebook map {name}" for name, _ in rows)
    return [Check("Label vectors", "missing" if others else "note", says, mend)]


def clocks(session: Session, _: Settings) -> list[Check]:
    """Do the clocks of this machine and of the database agree?"""
    before = time.time()
    there: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
    here = (before + time.time()) / 2
    apart = here - there.timestamp()
    if abs(apart) < _CLOCK_NOTE_S:
        return [Check("Clocks", "fine", f"{abs(apart):.1f} s apart")]
    ahead = "ahead of" if apart > 0 else "behind"
    says = f"this machine's is {abs(apart):.0f} s {ahead} the database's"
    state: Any = "missing" if abs(apart) > _CLOCK_WRONG_S else "note"
    return [Check("Clocks", state, says, "timedatectl set-ntp true  (on both machines)")]


def tokens(session: Session, _: Settings) -> list[Check]:
    """Do tokens end soon, or have some ended that were in use until then?"""
    week = text(f"interval '{_SOON_DAYS} days'")
    late = ApiToken.last_used_at > ApiToken.expires_at - week
    rows = session.execute(
        select(ApiToken.name, Account.name.label("owner"), ApiToken.expires_at)
        .join(Account, Account.id == ApiToken.account_id)
        .where(
            ApiToken.revoked_at.is_(None),
            Account.disabled_at.is_(None),
            ApiToken.expires_at < func.now() + week,
            ApiToken.expires_at > func.now() - week,
            or_(ApiToken.expires_at > func.now(), late),
        )
        .order_by(ApiToken.expires_at)
    ).all()
    if not rows:
        return [Check("Tokens", "fine", f"none ends within {_SOON_DAYS} days")]
    now = datetime.now(UTC)
    told = ", ".join(
        f"{row.name!r} of {row.owner} {'ended' if row.expires_at < now else 'ends'} on "
        f"{row.expires_at:%Y-%m-%d}"
        for row in rows
    )
    return [Check("Tokens", "note", told, "scopebook token create NAME")]


def limits(_: Session, settings: Settings) -> list[Check]:
    """What is set for how long things are kept, and how much one may take?"""
    days = {"scans": settings.keep_scans_days, "finished jobs": settings.keep_jobs_days}
    kept = [
        *(f"{what} {f'{n} days' if n else 'for ever'}" for what, n in days.items()),
        f"texts that were run live {settings.keep_inferences_minutes} minutes",
    ]
    most = {
        "jobs of one account": settings.quota_jobs,
        "MB of text": settings.quota_corpora_mb,
        "US dollars of one job": settings.quota_llm_usd,
        "live requests of one account": settings.inference_waiting,
    }
    taken = [f"{what} {f'{n:g}' if n else 'without limit'}" for what, n in most.items()]
    return [
        Check("Kept", "fine", ", ".join(kept)),
        Check("Quotas", "fine", ", ".join(taken)),
    ]


#: By what a check is called when it cannot look.
_LOOKS: Final[dict[str, Look]] = {
    "Queues": queues,
    "Failed jobs": failed_jobs,
    "Artifacts": artifacts,
    "Label vectors": vectors,
    "Clocks": clocks,
    "Tokens": tokens,
    "Quotas": limits,
}
