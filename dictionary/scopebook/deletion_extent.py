"""What was derived from a corpus or a scan: what goes with it when it is deleted.

Tables themselves are asked and not their classes: who asks may not see a release that is hidden,
and what was made of a text goes all the same (`scopebook.visibility`).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import BigInteger, String, any_, cast, func, literal, or_, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from scopebook.db.arrays import among
from scopebook.db.jobs import Job, Step
from scopebook.db.label_tables import Labeling
from scopebook.db.map_tables import FeatureMap
from scopebook.db.scan_tables import Scan
from scopebook.db.tables import Corpus, Release, Run, Sae, Tokenisation
from scopebook.errors import ConflictError
from scopebook.jobs_under_way import DELETE_JOB, UNDER_WAY

_CORPUS: Final[Any] = Corpus.__table__.c
_CUT: Final[Any] = Tokenisation.__table__.c
_RUN: Final[Any] = Run.__table__.c
_SAE: Final[Any] = Sae.__table__.c
_RELEASE: Final[Any] = Release.__table__.c
_SCAN: Final[Any] = Scan.__table__.c
_LABELING: Final[Any] = Labeling.__table__.c
_MAP: Final[Any] = FeatureMap.__table__.c
_JOB: Final[Any] = Job.__table__.c
_STEP: Final[Any] = Step.__table__.c


@dataclass(frozen=True, kw_only=True)
class Extent:
    """Row ids of what goes; everything else that goes hangs on these."""

    corpora: Sequence[int]
    scans: Sequence[int]
    tokenisations: Sequence[int] = ()
    runs: Sequence[int] = ()
    #: Releases that were collected over it, and the names of those.
    releases: Sequence[int] = ()
    names: Sequence[str] = ()
    saes: Sequence[int] = ()
    labelings: Sequence[int] = ()
    maps: Sequence[int] = ()


def extent_of(
    session: Session, *, corpora: Collection[int] = (), scans: Collection[int] = ()
) -> Extent:
    """Return all that goes with these corpora and scans.

    With a corpus go its collections and what was made of those; maps and scans whose pages quote
    labels that go; scans of its text; and the texts of scans that go, unless another scan has them.
    """
    before, found = None, Extent(corpora=sorted(corpora), scans=sorted(scans))
    while found != before:
        before, found = found, _one_further(session, found)
    return found


def _one_further(session: Session, known: Extent) -> Extent:
    tokenisations = _ids(session, _CUT.id, among(_CUT.corpus_id, known.corpora))
    runs = _ids(session, _RUN.id, among(_RUN.tokenisation_id, tokenisations))
    labelings = _ids(session, _LABELING.id, among(_LABELING.run_id, runs))
    releases = _ids(
        session,
        _RELEASE.id,
        _RELEASE.id.in_(select(_RUN.release_id).where(among(_RUN.id, runs))),
    )
    scans = sorted({*known.scans, *_scans(session, known.corpora, runs, labelings)})
    return replace(
        known,
        corpora=sorted({*known.corpora, *_owned(session, scans)}),
        scans=scans,
        tokenisations=tokenisations,
        runs=runs,
        releases=releases,
        names=sorted(
            session.scalars(select(_RELEASE.name).where(among(_RELEASE.id, releases))).all()
        ),
        saes=_ids(session, _SAE.id, among(_SAE.release_id, releases)),
        labelings=labelings,
        maps=_ids(session, _MAP.id, _quotes(_MAP, labelings)),
    )


def _ids(session: Session, column: Any, *conditions: Any) -> list[int]:
    return list(session.scalars(select(column).where(*conditions).order_by(column)))


def _quotes(table: Any, labelings: Collection[int]) -> Any:
    """Return the condition that a row was made of a release's labels when some of these stood."""
    return (
        select(_LABELING.id)
        .join(Sae.__table__, _SAE.id == _LABELING.sae_id)
        .where(
            among(_LABELING.id, labelings),
            _SAE.release_id == table.release_id,
            _LABELING.created_at <= table.created_at,
        )
        .exists()
    )


def _scans(
    session: Session, corpora: Collection[int], runs: Collection[int], labelings: Collection[int]
) -> list[int]:
    """Return the scans of these texts, those held against the runs, and those that quote labels."""
    references = func.jsonb_each_text(_SCAN.parameters["references"]).table_valued("key", "value")
    held_against = (
        select(literal(1))
        .select_from(references)
        .where(among(cast(references.c.value, BigInteger), runs))
        .exists()
    )
    quotes = _quotes(_SCAN, labelings)
    return _ids(session, _SCAN.id, or_(among(_SCAN.corpus_id, corpora), held_against, quotes))


def _owned(session: Session, scans: Collection[int]) -> list[int]:
    """Return the corpora that these scans alone have."""
    mine = select(_SCAN.corpus_id).where(among(_SCAN.id, scans), _SCAN.owns_corpus)
    others = select(_SCAN.corpus_id).where(~among(_SCAN.id, scans))
    return _ids(session, _CORPUS.id, _CORPUS.id.in_(mine), _CORPUS.id.not_in(others))


def refuse_while_used(session: Session, extent: Extent, *, but: int | None = None) -> None:
    """Raise ConflictError while a job is under way that uses what is to go; `but` does not count.

    Also a job on one of the releases: what it makes may quote labels that go.
    """
    asked = func.jsonb_extract_path_text(_JOB.parameters, "release")
    busy = session.execute(
        select(_JOB.id, _JOB.title)
        .where(
            _JOB.state.in_(UNDER_WAY),
            _JOB.kind != DELETE_JOB,
            _JOB.id != (but or 0),
            or_(
                _JOB.id.in_(jobs_of(extent)),
                asked.in_(extent.names),
                _JOB.id.in_(_begins_with(extent.corpora)),
            ),
        )
        .order_by(_JOB.id)
        .limit(1)
    ).one_or_none()
    if busy is not None:
        raise ConflictError(
            f"Job {busy.id} ({busy.title}) is at work with what is to be deleted; wait for it, or "
            f"cancel it first: `scopebook jobs cancel {busy.id}`."
        )


def jobs_of(extent: Extent) -> Any:
    """Return the jobs that made, or were to make, what goes."""
    return (
        select(_STEP.job_id)
        .where(doomed_steps(extent))
        .union(
            select(_RUN.job_id).where(among(_RUN.id, extent.runs)),
            select(_SCAN.job_id).where(among(_SCAN.id, extent.scans)),
            select(_LABELING.job_id).where(
                among(_LABELING.id, extent.labelings), _LABELING.job_id.is_not(None)
            ),
        )
    )


def doomed_steps(extent: Extent) -> Any:
    """Return the condition that a step was about what goes."""
    return or_(
        *(
            func.jsonb_extract_path_text(_STEP.parameters, name) == any_(_texts(ids))
            for name, ids in (
                ("tokenisation_id", extent.tokenisations),
                ("run_id", extent.runs),
                ("scan_id", extent.scans),
            )
        )
    )


def _texts(ids: Collection[int]) -> Any:
    return literal([str(one) for one in ids], ARRAY(String))


def _begins_with(corpora: Collection[int]) -> Any:
    """Return the jobs that go on to collect one of the corpora once their release is added."""
    name = func.jsonb_extract_path_text(_STEP.parameters, "collect", "corpus")
    return select(_STEP.job_id).where(
        _STEP.state != "done",
        name.in_(select(_CORPUS.name).where(among(_CORPUS.id, corpora))),
    )
