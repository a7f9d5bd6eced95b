"""What people say of one feature; every write names the version that it is for."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from scopebook import discussion, groupings, histories, reviews
from scopebook.annotations import AnnotationView
from scopebook.example_marks import mark_example
from scopebook.tags import tag_feature
from scopebook_api.deps import Cursor, DbSession, Editor, Limit
from scopebook_api.feature_deps import FeatureKey, Writing, answered
from scopebook_api.idempotency import KeyedRoute
from scopebook_api.review_schemas import (
    AnnotationRead,
    ChangeRead,
    CommentRequest,
    MergeRequest,
    PinRequest,
    ProposalRequest,
    ReviewRequest,
    SplitRequest,
    StaleProblem,
    WhyRequest,
)
from scopebook_api.schemas import Page, Problem

#: Before the routes of `features`, whose path would take "annotation" for an index.
router = APIRouter(
    prefix="/features/{model:path}/{source}/{index}",
    tags=["annotations"],
    route_class=KeyedRoute,
    responses={
        404: {"model": Problem},
        409: {"model": Problem},
        412: {"model": StaleProblem, "description": "Somebody has changed it since it was read."},
        428: {"model": Problem, "description": "The request names no version."},
    },
)
CommentId = Annotated[int, Path(ge=1, lt=2**63)]


@router.get("/annotation", response_model=AnnotationRead)
def read(session: DbSession, feature: FeatureKey, response: Response) -> AnnotationView:
    """Return what people have said of a feature, with its version as ETag."""
    return answered(session, response, feature)


@router.post("/reviews", response_model=AnnotationRead)
def review(
    session: DbSession, write: Writing, said: ReviewRequest, response: Response
) -> AnnotationView:
    """Accept or reject a label, or say that one is unsure; a later verdict stands for it."""
    reviews.review_label(session, write, said.label_id, said.verdict, said.reason)
    return answered(session, response, write.feature_id)


@router.post("/proposals", response_model=AnnotationRead)
def propose(
    session: DbSession, write: Writing, said: ProposalRequest, response: Response
) -> AnnotationView:
    """Propose a wording; it is in force once another person accepts it, or an editor proposes."""
    reviews.propose_label(session, write, **said.model_dump())
    return answered(session, response, write.feature_id)


@router.post("/pin", response_model=AnnotationRead)
def pin(
    session: DbSession, _: Editor, write: Writing, said: PinRequest, response: Response
) -> AnnotationView:
    """Keep a label in force, or let the rule decide again; editors may."""
    reviews.pin_label(session, write, said.label_id, sense=said.sense, reason=said.reason)
    return answered(session, response, write.feature_id)


@router.post("/second-opinion", response_model=AnnotationRead)
def ask_second_opinion(
    session: DbSession, write: Writing, said: WhyRequest, response: Response
) -> AnnotationView:
    """Ask for another person's verdict; the queue hands the feature to others first."""
    reviews.ask_second_opinion(session, write, said.reason)
    return answered(session, response, write.feature_id)


@router.post("/comments", response_model=AnnotationRead)
def comment(
    session: DbSession, write: Writing, said: CommentRequest, response: Response
) -> AnnotationView:
    """Add to the discussion."""
    discussion.add_comment(session, write, said.text)
    return answered(session, response, write.feature_id)


@router.put("/comments/{comment_id}", response_model=AnnotationRead)
def edit_comment(
    session: DbSession,
    write: Writing,
    comment_id: CommentId,
    said: CommentRequest,
    response: Response,
) -> AnnotationView:
    """Let one's own comment say something else; what it said stays on record."""
    discussion.edit_comment(session, write, comment_id, said.text)
    return answered(session, response, write.feature_id)


@router.delete("/comments/{comment_id}", response_model=AnnotationRead)
def remove_comment(
    session: DbSession, write: Writing, comment_id: CommentId, response: Response
) -> AnnotationView:
    """Take a comment away: its author may, and editors."""
    discussion.edit_comment(session, write, comment_id, None)
    return answered(session, response, write.feature_id)


@router.put("/tags/{tag:path}", response_model=AnnotationRead)
def tag(session: DbSession, write: Writing, tag: str, response: Response) -> AnnotationView:
    """Give the feature a tag of the team's vocabulary."""
    tag_feature(session, write, tag, present=True)
    return answered(session, response, write.feature_id)


@router.delete("/tags/{tag:path}", response_model=AnnotationRead)
def untag(session: DbSession, write: Writing, tag: str, response: Response) -> AnnotationView:
    """Take a tag away."""
    tag_feature(session, write, tag, present=False)
    return answered(session, response, write.feature_id)


@router.put("/off-meaning/{context_id}", response_model=AnnotationRead)
def mark(
    session: DbSession, write: Writing, context_id: CommentId, response: Response
) -> AnnotationView:
    """Mark a shown example as off-meaning."""
    mark_example(session, write, context_id, off=True)
    return answered(session, response, write.feature_id)


@router.delete("/off-meaning/{context_id}", response_model=AnnotationRead)
def unmark(
    session: DbSession, write: Writing, context_id: CommentId, response: Response
) -> AnnotationView:
    """Take the mark off an example."""
    mark_example(session, write, context_id, off=False)
    return answered(session, response, write.feature_id)


@router.post("/senses/merge", response_model=AnnotationRead)
def merge_senses(
    session: DbSession, write: Writing, said: MergeRequest, response: Response
) -> AnnotationView:
    """Join senses into one, which keeps the label of the largest."""
    groupings.merge_senses(session, write, said.ordinals, said.reason)
    return answered(session, response, write.feature_id)


@router.post("/senses/split", response_model=AnnotationRead)
def split_sense(
    session: DbSession, write: Writing, said: SplitRequest, response: Response
) -> AnnotationView:
    """Take examples out of a sense into a new one."""
    groupings.split_sense(session, write, said.ordinal, said.context_ids, said.reason)
    return answered(session, response, write.feature_id)


@router.get("/history", response_model=Page[ChangeRead])
def history(
    session: DbSession, feature: FeatureKey, limit: Limit = 50, cursor: Cursor = None
) -> dict[str, object]:
    """List what people did to the feature, newest first."""
    found, following = histories.history_of(session, feature, limit=limit, cursor=cursor)
    return {"items": found, "next": following}


@router.post("/history/{change_id}/undo", response_model=AnnotationRead)
def undo(
    session: DbSession,
    write: Writing,
    change_id: CommentId,
    said: WhyRequest,
    response: Response,
) -> AnnotationView:
    """Restore what was before an entry, by a new one; refused where later ones rest on it."""
    histories.undo_change(session, write, change_id, said.reason)
    return answered(session, response, write.feature_id)
