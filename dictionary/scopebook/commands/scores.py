"""`scopebook score`: how well labels tell where their features fire, on text nobody worded by."""

from functools import partial
from typing import Annotated, Any

import typer
from sqlalchemy.orm import Session

from scopebook.commands.labels import (
    BudgetTokens,
    BudgetUsd,
    Endpoint,
    Parallel,
    PriceCached,
    PriceIn,
    PriceOut,
)
from scopebook.console import dictionary, err, leaving, print_json, watch_job
from scopebook.db.sessions import unit_of_work
from scopebook.label_scores import SCORERS
from scopebook.labeling_requests import LanguageModel
from scopebook.release_names import chosen_layers
from scopebook.scoring_requests import Wanted, score_once, told_scores
from scopebook.settings import settings

Scorers = Annotated[
    str | None, typer.Option(help=f"Some of {','.join(SCORERS)}; all that can be if unset.")
]
Sample = Annotated[
    int | None, typer.Option(min=1, help="Score so many features of a layer, drawn.")
]
Source = Annotated[
    str | None,
    typer.Option(
        help="Score the newest labels by `keywords` or `llm`; if unset, those in force, of which "
        "no judge is asked about keywords."
    ),
]
SameJudge = Annotated[
    bool, typer.Option("--same-judge", help="Let a model judge labels that it has worded.")
]


def score(
    release: Annotated[str, typer.Argument(help="A registered release with labels.")],
    layers: Annotated[str | None, typer.Option(help="E.g. 11,12 or 20-23; all if unset.")] = None,
    endpoint: Endpoint = None,
    llm: Annotated[str | None, typer.Option(help="The judging model's name there.")] = None,
    scorers: Scorers = None,
    sample: Sample = None,
    source: Source = None,
    same_judge: SameJudge = False,
    parallel: Parallel = None,
    budget_tokens: BudgetTokens = None,
    budget_usd: BudgetUsd = None,
    price_in: PriceIn = None,
    price_cached: PriceCached = None,
    price_out: PriceOut = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Measure how well labels tell where their features fire, on examples kept from who words.

    Without a model, labels are compared with windows of text by their vectors. With --endpoint and
    --llm, a model that worded none of them judges. What is stored is not asked again. A key is
    read from SCOPEBOOK_JUDGE_API_KEY of the instance, and sent only to the server that
    SCOPEBOOK_JUDGE_ENDPOINT names.
    """
    wanted = Wanted(
        scorers=None if scorers is None else [name.strip() for name in scorers.split(",")],
        sample=sample,
        source=source,
        allow_same_judge=same_judge,
    )
    judge = _judge(
        endpoint,
        llm,
        parallel=parallel,
        budget_tokens=budget_tokens,
        budget_usd=budget_usd,
        price_in=price_in,
        price_cached=price_cached,
        price_out=price_out,
    )
    _score(release, chosen_layers(layers), judge=judge, wanted=wanted, as_json=as_json)


def _score(
    release: str,
    layers: list[int] | None,
    *,
    judge: LanguageModel | None,
    wanted: Wanted,
    as_json: bool,
) -> None:
    with dictionary(work=True) as factory:
        with unit_of_work(factory) as session:
            job_id = score_once(session, release, layers, judge=judge, wanted=wanted)
        with leaving(job_id):
            report = watch_job(factory, job_id, news=partial(_news, job_id=job_id))
    if as_json:
        print_json(report)
    else:
        err.print(f"{report.title}: done.", markup=False, highlight=False)


def _news(session: Session, *, job_id: int) -> list[str]:
    """Return what scoring is expected to take before the first request, and what came of it."""
    return [f"{title.rstrip('.')}." for title in told_scores(session, job_id)]


def _judge(endpoint: str | None, model: str | None, **allowed: Any) -> LanguageModel | None:
    """Return the model that judges, completed by the settings; None for vectors alone."""
    chosen = settings()
    endpoint, model = endpoint or chosen.judge_endpoint, model or chosen.judge_model
    if endpoint is None and model is None:
        return None
    known = {name: value for name, value in allowed.items() if value is not None}
    return LanguageModel(endpoint=endpoint or "", model=model or "", **known)
