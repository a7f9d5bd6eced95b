"""Scores of labels: ask for them."""

from fastapi import APIRouter

from scopebook.allowed_servers import check_server
from scopebook.job_reports import JobReport, read_job
from scopebook.labeling_requests import LanguageModel
from scopebook.scoring_requests import Wanted, score_once
from scopebook_api.deps import DbSession, Editor
from scopebook_api.idempotency import KeyedRoute
from scopebook_api.job_schemas import JobRead
from scopebook_api.schemas import problems
from scopebook_api.score_schemas import ScoreRequest

router = APIRouter(
    prefix="/scores", tags=["scores"], route_class=KeyedRoute, responses=problems(404, 409)
)


@router.post("", response_model=JobRead, status_code=202)
def score(session: DbSession, me: Editor, asked: ScoreRequest) -> JobReport:
    """Measure how well labels tell where their features fire, as a job.

    What is stored is not asked for again.
    """
    judge = LanguageModel(**asked.judge.model_dump()) if asked.judge else None
    if judge is not None:
        check_server(me, judge.endpoint)
    wanted = Wanted(
        scorers=asked.scorers,
        sample=asked.sample,
        source=asked.source,
        allow_same_judge=asked.same_judge,
    )
    job_id = score_once(session, asked.release, asked.layers, judge=judge, wanted=wanted)
    return read_job(session, job_id)
