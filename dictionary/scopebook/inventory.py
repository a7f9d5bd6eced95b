"""What this instance holds, in numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from scopebook.corpora import is_registered
from scopebook.db.jobs import Job
from scopebook.db.label_tables import Label, LabelEmbedding
from scopebook.db.tables import Corpus, Document, Release, Sae


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """Counts over the whole dictionary."""

    releases: int
    corpora: int
    features: int
    labelled: int
    embedded: int
    jobs_running: int


@dataclass(frozen=True, kw_only=True)
class CorpusReport:
    """A corpus with its size."""

    id: int
    name: str
    documents: int
    #: Documents that nearly repeat an earlier one; they are kept.
    near_duplicates: int
    size_bytes: int
    tags: dict[str, int]
    created_at: datetime
    #: The job that deletes it.
    deletion_job_id: int | None = None


def count_labelled(session: Session) -> int:
    """Count the features that have a label; of many that takes a while."""
    found: int = session.scalars(
        select(func.count()).select_from(Label).where(Label.current, Label.sense_id.is_(None))
    ).one()
    return found


def take_inventory(
    session: Session, labelled: Callable[[Session], int] = count_labelled
) -> Inventory:
    """Count what there is."""
    row = session.execute(
        select(
            select(func.count()).select_from(Release).scalar_subquery().label("releases"),
            select(func.count(Corpus.id)).where(is_registered()).scalar_subquery().label("corpora"),
            select(func.coalesce(func.sum(Sae.d_sae), 0)).scalar_subquery().label("features"),
            select(func.count())
            .select_from(select(LabelEmbedding.label_id).limit(1).subquery())
            .scalar_subquery()
            .label("embedded"),
            select(func.count())
            .select_from(Job)
            .where(Job.state.in_(("queued", "running", "cancelling")))
            .scalar_subquery()
            .label("jobs_running"),
        )
    ).one()
    return Inventory(labelled=labelled(session), **row._asdict())


def what_is_missing(inventory: Inventory) -> str:
    """Say what to do before a search can find anything; empty once labels are there."""
    if inventory.labelled:
        return ""
    if inventory.jobs_running:
        return "No feature has a label yet, but work is under way: `scopebook jobs --watch`."
    if not inventory.releases:
        return "There is no release yet: `scopebook add RELEASE` registers one."
    if not inventory.corpora:
        return "There is no corpus yet: `scopebook corpus add NAME FILE` registers one."
    return "No feature has a label yet: `scopebook collect RELEASE CORPUS` reads text and labels."


def list_corpora(session: Session) -> list[CorpusReport]:
    """Return all corpora by name, with their documents by tag."""
    rows = session.execute(
        select(
            Corpus.id,
            Corpus.name,
            Corpus.created_at,
            Corpus.deletion_job_id,
            Document.tag,
            func.count(Document.id),
            func.count(Document.near_id),
            func.coalesce(func.sum(func.octet_length(Document.text)), 0),
        )
        .outerjoin(Document, Document.corpus_id == Corpus.id)
        .where(is_registered())
        .group_by(Corpus.id, Document.tag)
        .order_by(Corpus.name, Document.tag)
    )
    reports: dict[str, CorpusReport] = {}
    for row in rows:
        corpus_id, name, created_at, job_id, tag, documents, near_duplicates, size = row
        before = reports.get(name)
        tags = {**(before.tags if before else {}), **({tag: documents} if tag else {})}
        reports[name] = CorpusReport(
            id=corpus_id,
            name=name,
            documents=documents + (before.documents if before else 0),
            near_duplicates=near_duplicates + (before.near_duplicates if before else 0),
            size_bytes=size + (before.size_bytes if before else 0),
            tags=tags,
            created_at=created_at,
            deletion_job_id=job_id,
        )
    return list(reports.values())
