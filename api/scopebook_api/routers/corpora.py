"""The corpora this instance holds: list them, and delete one with what was made of it."""

from fastapi import APIRouter

from scopebook.deletion_preview import Deletion, preview_corpus
from scopebook.deletions import request_corpus_deletion
from scopebook.inventory import list_corpora
from scopebook.job_reports import JobReport, read_job
from scopebook_api.deletion_schemas import DeletionRead
from scopebook_api.deps import Admin, DbSession
from scopebook_api.job_schemas import JobRead
from scopebook_api.schemas import CorpusRead, Page, problems

router = APIRouter(prefix="/corpora", tags=["corpora"])


@router.get("", response_model=Page[CorpusRead])
def browse(session: DbSession) -> dict[str, object]:
    """List all corpora."""
    return {"items": list_corpora(session), "next": None}


@router.get("/{corpus_id}/deletion", response_model=DeletionRead, responses=problems(404))
def preview(session: DbSession, _: Admin, corpus_id: int) -> Deletion:
    """Tell what would go with a corpus, and delete nothing."""
    return preview_corpus(session, corpus_id)


@router.delete(
    "/{corpus_id}", response_model=JobRead, status_code=202, responses=problems(404, 409)
)
def delete(session: DbSession, me: Admin, corpus_id: int) -> JobReport:
    """Delete a corpus with its collections and all that was made of its text, as a job.

    Refused while a job uses it. Asked again, it goes on with a deletion that has stopped.
    """
    return read_job(session, request_corpus_deletion(session, corpus_id, by=me))
