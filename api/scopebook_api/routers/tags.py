"""The team's vocabulary, comments that speak to one, and how far people agree."""

from typing import Annotated

from fastapi import APIRouter, Path

from scopebook.agreement import AgreementReport, agreement_report
from scopebook.discussion import comments_for
from scopebook.feature_names import names_of
from scopebook.tags import TagView, list_tags, save_tag
from scopebook_api.deps import Cursor, DbSession, Editor, Limit, Me
from scopebook_api.review_schemas import AgreementReportRead, MentionRead, TagRead, TagRequest
from scopebook_api.schemas import Page, problems

router = APIRouter(tags=["team"], responses=problems(404))


@router.get("/tags", response_model=Page[TagRead])
def vocabulary(session: DbSession) -> dict[str, object]:
    """List the team's tags."""
    return {"items": list_tags(session), "next": None}


@router.put("/tags/{name:path}", response_model=TagRead)
def save(
    session: DbSession, me: Editor, name: Annotated[str, Path(max_length=100)], wanted: TagRequest
) -> TagView:
    """Add a tag, describe it otherwise, or offer it no more; editors may."""
    return save_tag(session, me, name, description=wanted.description, retired=wanted.retired)


@router.get("/comments/mentions", response_model=Page[MentionRead])
def mentions(
    session: DbSession, me: Me, limit: Limit = 50, cursor: Cursor = None
) -> dict[str, object]:
    """List comments of others that speak to oneself, newest first."""
    found, following = comments_for(session, me.account_id, limit=limit, cursor=cursor)
    names = names_of(session, {comment.feature_id for comment in found})
    items = [
        vars(comment) | {"feature": names[comment.feature_id]}
        for comment in found
        if comment.feature_id in names
    ]
    return {"items": items, "next": following}


@router.get("/agreement", response_model=AgreementReportRead)
def agreement(session: DbSession, release: str | None = None) -> dict[str, object]:
    """Tell how far people agree: over all, by pair, by tag, by month."""
    return _shown(agreement_report(session, release=release))


def _shown(report: AgreementReport) -> dict[str, object]:
    return {
        "overall": report.overall,
        "pairs": [vars(found) | {"authors": [one, other]} for one, other, found in report.pairs],
        "tags": [vars(found) | {"name": name} for name, found in report.tags],
        "months": [vars(found) | {"name": name} for name, found in report.months],
    }
