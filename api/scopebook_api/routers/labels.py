"""Labels: how far they reach, how good they are, and ask for more."""

from typing import Annotated

from fastapi import APIRouter, Query

from scopebook.allowed_servers import check_server, named_language_models
from scopebook.errors import ConflictError
from scopebook.job_reports import JobReport, read_job
from scopebook.label_reports import label_coverage
from scopebook.labeling_requests import LanguageModel, label_once
from scopebook.score_reports import score_report
from scopebook.window_embedders import TERMS, asked_embedder
from scopebook_api.deps import Cursor, DbSession, Editor, Limit
from scopebook_api.idempotency import KeyedRoute
from scopebook_api.job_schemas import JobRead
from scopebook_api.label_schemas import CoverageRead, LabelRequest, ScoresRead, ServersRead
from scopebook_api.schemas import Page, problems

router = APIRouter(
    prefix="/labels", tags=["labels"], route_class=KeyedRoute, responses=problems(404)
)


@router.get("/coverage", response_model=Page[CoverageRead])
def coverage(session: DbSession, release: str | None = None) -> dict[str, object]:
    """List the layers with how many of their features have a label, and of whom."""
    return {"items": label_coverage(session, release), "next": None}


@router.get("/scores", response_model=ScoresRead)
def scores(
    session: DbSession,
    release: str | None = None,
    layer: int | None = None,
    scorer: Annotated[str | None, Query(description="Null: the one that says most.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> dict[str, object]:
    """Tell how the labels in force are scored, and list those of one scorer, the worst first."""
    report = score_report(
        session, release=release, layer=layer, scorer=scorer, limit=limit, cursor=cursor
    )
    return {
        "items": report.worst,
        "next": report.following,
        "labels": report.labels,
        "distributions": report.distributions,
        "scorer": report.scorer,
    }


@router.get("/servers", response_model=ServersRead)
def servers(me: Editor) -> dict[str, object]:
    """List the servers of language models that the settings name, and say whether others may be."""
    return {"items": named_language_models(), "next": None, "others": me.may("admin")}


@router.post("", response_model=JobRead, status_code=202, responses=problems(409))
def label(session: DbSession, me: Editor, wanted: LabelRequest) -> JobReport:
    """Word the features' shown examples by keywords, then by a language model, as a job.

    Earlier labels stay in the history.

    If the same method has worded them, the answer is the job that did so; features that are named
    are worded again in any case, and nothing changes for the others.
    """
    llm = LanguageModel(**wanted.llm.model_dump()) if wanted.llm else None
    asked = wanted.embedder is not None or wanted.embedder_model is not None
    embedder = asked_embedder(wanted.embedder or TERMS, wanted.embedder_model) if asked else None
    for address in (llm and llm.endpoint, embedder and embedder.is_server and embedder.name):
        if address:
            check_server(me, address)
    job_id, _is_new = label_once(
        session,
        wanted.release,
        wanted.layers,
        features=wanted.features,
        anew=wanted.anew,
        llm=llm,
        embedder=embedder,
    )
    if job_id is None:
        raise ConflictError(
            f"The examples that are shown for {wanted.release} are labelled; ask with `anew` to "
            "label them again."
        )
    return read_job(session, job_id)
