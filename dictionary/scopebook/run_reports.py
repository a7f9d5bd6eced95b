"""Runs as a person sees them, and the choice of which one the dictionary shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Select, cast, exists, func, select, update
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import Session

from scopebook.db.jobs import Job
from scopebook.db.tables import FEATURE_BITS, Corpus, Evidence, Release, Run, Sae, Tokenisation
from scopebook.errors import ConflictError, NotFoundError
from scopebook.job_ends import LARGEST_ID
from scopebook.labelings import settle_labels
from scopebook.paging import decode_cursor, encode_cursor
from scopebook.releases import find_release


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """One collection: what was read, and for which layers the dictionary shows it."""

    id: int
    job_id: int
    state: str
    release: str
    corpus: str
    layers: list[int]
    #: Layers whose evidence is there.
    collected: list[int]
    #: Layers for which the dictionary shows this run.
    shown: list[int]
    max_tokens: int | None
    tokens_seen: int | None
    contexts_seen: int | None
    created_at: datetime
    finished_at: datetime | None


def list_runs(
    session: Session,
    *,
    release: str | None = None,
    job: int | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> tuple[list[RunReport], str | None]:
    """Return runs, newest first, and the next page's cursor."""
    statement = _listed().order_by(Run.id.desc()).limit(limit + 1)
    if release is not None:
        statement = statement.where(Run.release_id == find_release(session, release).id)
    if job is not None:
        statement = statement.where(Run.job_id == job)
    if cursor is not None:
        statement = statement.where(Run.id < decode_cursor(cursor, [int])[0])
    rows = session.execute(statement).all()
    following = encode_cursor([rows[limit - 1].id]) if len(rows) > limit else None
    return [_report(row) for row in rows[:limit]], following


def read_run(session: Session, run_id: int) -> RunReport:
    """Return one run."""
    row = None
    if 0 < run_id <= LARGEST_ID:
        row = session.execute(_listed().where(Run.id == run_id)).one_or_none()
    if row is None:
        raise NotFoundError(f"There is no run {run_id}; `scopebook runs` lists those there are.")
    return _report(row)


def use_run(session: Session, run_id: int, layers: Sequence[int] | None = None) -> RunReport:
    """Let the dictionary show this run's evidence for the layers, by default for all it has.

    Labels stay as they are: they belong to the features, not to a run.
    """
    run = read_run(session, run_id)
    wanted = sorted(set(run.layers if layers is None else layers))
    unknown = [layer for layer in wanted if layer not in run.layers]
    if unknown or not wanted:
        raise NotFoundError(
            f"Run {run_id} has no layer {_words(unknown) or '(none was named)'}; "
            f"it has {_words(run.layers)}."
        )
    missing = [layer for layer in wanted if layer not in run.collected]
    if missing:
        raise ConflictError(
            f"Run {run_id} has no evidence for layer {_words(missing)} yet, so it cannot be "
            f"shown for it; its job {run.job_id} is {run.state}."
        )
    release_id = select(Run.release_id).where(Run.id == run_id).scalar_subquery()
    shown = session.scalars(
        update(Sae)
        .where(Sae.release_id == release_id, Sae.layer.in_(wanted))
        .values(current_run_id=run_id)
        .returning(Sae.id)
    ).all()
    settle_labels(session, shown)
    return read_run(session, run_id)


def _words(layers: Sequence[int]) -> str:
    return ", ".join(map(str, layers))


def _listed() -> Select[*tuple[Any, ...]]:
    first_id = cast(Sae.id, BigInteger) * 2**FEATURE_BITS
    # Evidence of a layer is written in one transaction: one row tells of all.
    collected = (
        exists()
        .where(
            Evidence.run_id == Run.id,
            Evidence.feature_id.between(first_id, first_id + (2**FEATURE_BITS - 1)),
        )
        .correlate(Run, Sae)
    )
    return (
        select(
            Run.id,
            Run.job_id,
            Job.state,
            Release.name.label("release"),
            Corpus.name.label("corpus"),
            Run.layers,
            _layers_where(collected).label("collected"),
            _layers_where(Sae.current_run_id == Run.id).label("shown"),
            cast(Run.parameters["max_tokens"].astext, BigInteger).label("max_tokens"),
            Run.tokens_seen,
            Run.contexts_seen,
            Run.created_at,
            Run.finished_at,
        )
        .join(Job, Job.id == Run.job_id)
        .join(Release, Release.id == Run.release_id)
        .join(Tokenisation, Tokenisation.id == Run.tokenisation_id)
        .join(Corpus, Corpus.id == Tokenisation.corpus_id)
        # One whose corpus is being deleted loses its evidence piece by piece.
        .where(Corpus.deletion_job_id.is_(None))
    )


def _layers_where(condition: Any) -> Any:
    """Return the layers of the run's release for which the condition holds, in order."""
    return (
        select(func.array_agg(aggregate_order_by(Sae.layer, Sae.layer)))
        .where(Sae.release_id == Run.release_id, condition)
        .correlate(Run)
        .scalar_subquery()
    )


def _report(row: Any) -> RunReport:
    values = row._asdict()
    return RunReport(
        **values | {"collected": values["collected"] or [], "shown": values["shown"] or []}
    )
