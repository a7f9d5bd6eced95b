"""Read scans: lists of them, one with its summary, its features, hits and files."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from scopebook.artifacts import open_artifact
from scopebook.db.jobs import Job
from scopebook.db.scan_tables import Scan
from scopebook.db.tables import Document, Model, Release
from scopebook.errors import ConflictError, InvalidInputError, NotFoundError
from scopebook.feature_names import row_ids_of
from scopebook.job_ends import LARGEST_ID
from scopebook.paging import decode_cursor, encode_cursor
from scopebook.releases import find_release
from scopebook.scan_files import Sort, csv_of_features, read_features_page, read_hits_page
from scopebook.scan_html import scan_html
from scopebook.scan_passages import Hit, read_scanned_document, read_snippets
from scopebook.scan_views import ScannedDocument

Form = Literal["parquet", "csv", "html"]
MEDIA_TYPES: Final[dict[Form, str]] = {
    "parquet": "application/vnd.apache.parquet",
    "csv": "text/csv; charset=utf-8",
    "html": "text/html; charset=utf-8",
}
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, kw_only=True)
class ScanReport:
    """A scan; in lists without its summary."""

    id: int
    job_id: int
    #: Of its job.
    state: str
    error: str | None
    release: str
    model: str
    dataset: str
    layers: list[int]
    parts: list[str]
    against: str | None
    fdr: float
    coverage: str | None
    fail_if: list[str]
    created_at: datetime
    finished_at: datetime | None
    #: Whether one of its conditions failed it; None: it is not done, or has none.
    failed: bool | None
    summary: dict[str, Any] | None = None


def list_scans(
    session: Session, *, release: str | None = None, limit: int = 50, cursor: str | None = None
) -> tuple[list[ScanReport], str | None]:
    """Return scans, the newest first, without their summaries."""
    statement = _described().order_by(Scan.id.desc())
    if release is not None:
        statement = statement.where(Scan.release_id == find_release(session, release).id)
    if cursor is not None:
        statement = statement.where(Scan.id < decode_cursor(cursor, [int])[0])
    rows = session.execute(statement.limit(limit + 1)).all()
    following = encode_cursor([rows[limit - 1].Scan.id]) if len(rows) > limit else None
    return [_report(row, whole=False) for row in rows[:limit]], following


def read_scan(session: Session, scan_id: int) -> ScanReport:
    """Return one scan with what it found."""
    row = None
    if 0 < scan_id <= LARGEST_ID:
        row = session.execute(
            _described().where(Scan.id == scan_id).execution_options(populate_existing=True)
        ).one_or_none()
    if row is None:
        raise NotFoundError(f"There is no scan {scan_id}; `GET /api/scans` lists those there are.")
    return _report(row, whole=True)


def _described() -> Select[*tuple[Any, ...]]:
    return (
        select(Scan, Job.state, Job.error, Release.name.label("release"), Model.name.label("model"))
        .join(Job, Job.id == Scan.job_id)
        .join(Release, Release.id == Scan.release_id)
        .join(Model, Model.id == Release.model_id)
        .where(Scan.deletion_job_id.is_(None))
    )


def _report(row: Any, *, whole: bool) -> ScanReport:
    scan: Scan = row.Scan
    asked = scan.parameters
    conditions = scan.summary["conditions"] if scan.summary else []
    return ScanReport(
        id=scan.id,
        job_id=scan.job_id,
        state=row.state,
        error=row.error,
        release=row.release,
        model=row.model,
        dataset=scan.dataset,
        layers=list(scan.layers),
        parts=list(scan.parts),
        against=asked["against"],
        fdr=asked["fdr"],
        coverage=asked["coverage"]["name"] if asked["coverage"] else None,
        fail_if=[one["text"] for one in asked["conditions"]],
        created_at=scan.created_at,
        finished_at=scan.finished_at,
        failed=any(one["failed"] for one in conditions) if conditions else None,
        summary=scan.summary if whole else None,
    )


def _done(session: Session, scan_id: int) -> Scan:
    """Return a scan whose results are there."""
    report = read_scan(session, scan_id)
    scan = session.get_one(Scan, scan_id)
    if scan.features_artifact is None or scan.hits_artifact is None:
        raise ConflictError(
            f"Scan {scan_id} has no results (its job {report.job_id} is {report.state}); wait "
            "until the job is done, or retry it."
        )
    return scan


def scan_features(
    session: Session,
    scan_id: int,
    *,
    part: str = "",
    sort: Sort = "over",
    fdr: float | None = None,
    flagged: bool = False,
    limit: int = 50,
    cursor: str | None = None,
) -> tuple[list[dict[str, Any]], str | None]:
    """Return a scan's features page by page; `part` "" means all documents."""
    scan = _done(session, scan_id)
    if part and part not in scan.parts:
        raise InvalidInputError(
            f"Scan {scan_id} has no part {part!r} but "
            f"{', '.join(map(repr, scan.parts)) or 'none: it is one text'}."
        )
    return read_features_page(
        scan.features_artifact or "",
        part="" if len(scan.parts) < 2 else part,
        sort=sort,
        fdr=fdr,
        flagged=flagged,
        limit=limit,
        cursor=cursor,
    )


def scan_hits(
    session: Session,
    scan_id: int,
    *,
    feature: str | None = None,
    document: int | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> tuple[list[dict[str, Any]], str | None]:
    """Return hits with their passages, the strongest first: of a feature, or in a document.

    Every document of a feature that was watched for (of a list or a condition), else the
    strongest eight of each part.
    """
    if feature is None and document is None:
        raise InvalidInputError("Name a feature or a document whose hits are wanted.")
    scan = _done(session, scan_id)
    feature_id = None if feature is None else row_ids_of(session, [feature])[feature]
    rows, following = read_hits_page(
        scan.hits_artifact or "",
        feature_id=feature_id,
        document_id=document,
        limit=limit,
        cursor=cursor,
    )
    return _with_passages(session, rows), following


def scan_document(
    session: Session, scan_id: int, document_id: int, *, start: int = 0, length: int = 4000
) -> ScannedDocument:
    """Return a document of a scan with at most `length` characters of its text."""
    read_scan(session, scan_id)
    scan = session.get_one(Scan, scan_id)
    return read_scanned_document(session, scan, document_id, start=start, length=length)


def _with_passages(session: Session, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    hits = [
        Hit(
            part=row["part"],
            document_id=row["document_id"],
            tokens=row["tokens"],
            activation=row["max"],
            context_id=row["context_id"],
            peak=row["peak"],
        )
        for row in rows
    ]
    snippets = read_snippets(session, hits)
    # Those of texts that went meanwhile are left out of both.
    known = set(
        session.scalars(select(Document.id).where(Document.id.in_([h.document_id for h in hits])))
    )
    there = [row for row in rows if row["document_id"] in known]
    return [
        asdict(snippet) | {"feature": row["feature"], "complete": row["complete"]}
        for row, snippet in zip(there, snippets, strict=True)
    ]


def export_scan(session: Session, scan_id: int, form: Form) -> Iterator[bytes]:
    """Return a scan's file in pieces: all features as Parquet or CSV, or the report as HTML."""
    scan = _done(session, scan_id)
    artifact = scan.features_artifact or ""
    if form == "html":
        page = scan_html(asdict(read_scan(session, scan_id)))
        return iter([page.encode()])
    if form == "csv":
        return (text.encode() for text in csv_of_features(artifact))
    return _pieces(artifact)


def _pieces(artifact: str) -> Iterator[bytes]:
    with open_artifact(artifact) as file:
        while chunk := file.read(_CHUNK):
            yield chunk
