"""Scans: ask for one, list them, read what they found."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import StreamingResponse

from scopebook.deletion_preview import Deletion, preview_scan
from scopebook.deletions import request_scan_deletion
from scopebook.errors import InvalidInputError
from scopebook.job_reports import JobReport, read_job
from scopebook.scan_datasets import Dataset, add_records
from scopebook.scan_files import Sort
from scopebook.scan_reports import (
    MEDIA_TYPES,
    Form,
    ScanReport,
    export_scan,
    list_scans,
    read_scan,
    scan_document,
    scan_features,
    scan_hits,
)
from scopebook.scan_views import ScannedDocument
from scopebook.scans import ScanRequest, check_request, registered_dataset, request_scan
from scopebook_api.deletion_schemas import DeletionRead
from scopebook_api.deps import Cursor, DbSession, Editor, Limit
from scopebook_api.idempotency import KeyedRoute
from scopebook_api.job_schemas import JobRead
from scopebook_api.scan_schemas import (
    ScanAskedRead,
    ScanAskRequest,
    ScanDocumentRead,
    ScanFeatureRead,
    ScanHitRead,
    ScanRead,
)
from scopebook_api.schemas import Page, problems

router = APIRouter(prefix="/scans", tags=["scans"], route_class=KeyedRoute, responses=problems(404))


@router.get("", response_model=Page[ScanRead])
def browse(
    session: DbSession, release: str | None = None, limit: Limit = 50, cursor: Cursor = None
) -> dict[str, object]:
    """List scans, newest first, without what they found."""
    scans, following = list_scans(session, release=release, limit=limit, cursor=cursor)
    return {"items": scans, "next": following}


@router.post("", response_model=ScanAskedRead, status_code=202, responses=problems(409))
def ask(session: DbSession, me: Editor, wanted: ScanAskRequest) -> dict[str, object]:
    """Hold a text against a collection, as a job; the scan is there to be read when it is done."""
    request = ScanRequest(
        release=wanted.release,
        layers=wanted.layers,
        against=wanted.against,
        coverage=wanted.coverage,
        fail_if=tuple(wanted.fail_if),
        fdr=wanted.fdr,
    )
    check_request(session, request, me)
    dataset = _dataset(session, wanted)
    scan = request_scan(session, dataset, request, actor=me)
    return {
        "scan": read_scan(session, scan.id),
        "job": read_job(session, scan.job_id),
        "left_out": [str(problem) for problem in dataset.problems],
    }


def _dataset(session: DbSession, wanted: ScanAskRequest) -> Dataset:
    given = [one for one in (wanted.corpus, wanted.texts, wanted.records) if one is not None]
    if len(given) != 1:
        raise InvalidInputError(
            "Name a registered corpus, or send texts, or send records: exactly one of them."
        )
    if wanted.corpus is not None:
        if wanted.fields:
            raise InvalidInputError(
                "Fields are chosen of records; a registered corpus holds texts: leave them out."
            )
        return registered_dataset(session, wanted.corpus)
    if wanted.records is not None:
        return add_records(session, wanted.name, wanted.records, fields=wanted.fields)
    return add_records(session, wanted.name, [{"text": text} for text in wanted.texts or ()])


@router.get("/{scan_id}", response_model=ScanRead)
def read(session: DbSession, scan_id: int) -> ScanReport:
    """Return one scan with what it found."""
    return read_scan(session, scan_id)


@router.get("/{scan_id}/deletion", response_model=DeletionRead)
def preview_deletion(session: DbSession, _: Editor, scan_id: int) -> Deletion:
    """Tell what would go with a scan, and delete nothing."""
    return preview_scan(session, scan_id)


@router.delete("/{scan_id}", response_model=JobRead, status_code=202, responses=problems(409))
def delete(session: DbSession, me: Editor, scan_id: int) -> JobReport:
    """Delete a scan with what it found, as a job, and its text where no other scan has it.

    A registered corpus that was scanned stays.
    """
    return read_job(session, request_scan_deletion(session, scan_id, by=me))


@router.get("/{scan_id}/features", response_model=Page[ScanFeatureRead], responses=problems(409))
def features(
    session: DbSession,
    scan_id: int,
    part: Annotated[str, Query(description="A field; empty: all documents.")] = "",
    sort: Annotated[
        Sort,
        Query(description="`over`, `under`: by the bound of the interval that is nearest to 0."),
    ] = "over",
    fdr: Annotated[
        float | None,
        Query(ge=0, le=1, description="The largest false discovery rate; untested are left out."),
    ] = None,
    flagged: Annotated[bool, Query(description="Take flagged features too.")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> dict[str, object]:
    """List all features of a scan with their ratios."""
    found, following = scan_features(
        session,
        scan_id,
        part=part,
        sort=sort,
        fdr=fdr,
        flagged=flagged,
        limit=limit,
        cursor=cursor,
    )
    return {"items": found, "next": following}


@router.get("/{scan_id}/hits", response_model=Page[ScanHitRead], responses=problems(409))
def hits(
    session: DbSession,
    scan_id: int,
    feature: Annotated[str | None, Query(description="`{model}/{layer}-{set}/{index}`.")] = None,
    document: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> dict[str, object]:
    """List where a feature fires, or what fires in a document, the strongest first."""
    found, following = scan_hits(
        session, scan_id, feature=feature, document=document, limit=limit, cursor=cursor
    )
    return {"items": found, "next": following}


@router.get("/{scan_id}/documents/{document_id}", response_model=ScanDocumentRead)
def document(
    session: DbSession,
    scan_id: int,
    document_id: Annotated[int, Path(ge=1, lt=2**63)],
    start: Annotated[int, Query(ge=0, lt=2**31 - 1, description="The first character.")] = 0,
    length: Annotated[int, Query(ge=1, le=100_000, description="Characters at most.")] = 4000,
) -> ScannedDocument:
    """Return a document of a scan with its text, or the part of it that is asked for."""
    return scan_document(session, scan_id, document_id, start=start, length=length)


@router.get(
    "/{scan_id}/export",
    response_class=StreamingResponse,
    responses={200: {"content": {kind: {} for kind in MEDIA_TYPES.values()}}, **problems(409)},
)
def export(session: DbSession, scan_id: int, form: Form = "html") -> StreamingResponse:
    """Return a scan as a file: all features as Parquet or CSV, or the report as HTML."""
    return StreamingResponse(
        export_scan(session, scan_id, form),
        media_type=MEDIA_TYPES[form],
        headers={
            "Content-Disposition": f'attachment; filename="scan-{scan_id}.{form}"',
            # The report holds texts of strangers: it is to be kept, not to be shown from here.
            "X-Content-Type-Options": "nosniff",
        },
    )
