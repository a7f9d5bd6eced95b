"""The corpora this instance holds."""

from fastapi import APIRouter

from scopebook.inventory import list_corpora
from scopebook_api.deps import DbSession
from scopebook_api.schemas import CorpusRead, Page

router = APIRouter(prefix="/corpora", tags=["corpora"])


@router.get("", response_model=Page[CorpusRead])
def browse(session: DbSession) -> dict[str, object]:
    """List all corpora."""
    return {"items": list_corpora(session), "next": None}
