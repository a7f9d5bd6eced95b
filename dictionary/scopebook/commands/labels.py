"""`scopebook label`: word features by what their examples share, and by a language model."""

import re
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Final

import typer
from sqlalchemy.orm import Session

from scopebook.console import dictionary, err, leaving, print_json, read_whole_job, watch_job
from scopebook.db.sessions import unit_of_work
from scopebook.errors import InvalidInputError
from scopebook.job_reports import JobReport
from scopebook.label_reports import label_coverage
from scopebook.labeling_requests import LanguageModel, label_once, told_costs
from scopebook.llm_labelings import spent_by
from scopebook.release_names import chosen_layers, shown
from scopebook.settings import settings
from scopebook.window_embedders import TERMS, AskedEmbedder, asked_embedder, on_this_machine

_NUMBERS: Final = re.compile(r" *[0-9]{1,9} *(, *[0-9]{1,9} *)*")

Features = Annotated[
    str | None,
    typer.Option(help="Numbers of features of the one layer, e.g. 12,40: label those again."),
]
Embedder = Annotated[
    str | None,
    typer.Option(
        help="What finds the senses: terms (the default), residual (what the model itself makes "
        "of the firing token), a sentence-transformers model (all-MiniLM-L6-v2, a hub id or a "
        "folder), or an embeddings server's base URL."
    ),
]
EmbedderModel = Annotated[str | None, typer.Option(help="The embedding model's name at that URL.")]
Endpoint = Annotated[
    str | None,
    typer.Option(help="An OpenAI-compatible server's base URL (.../v1), or a model's folder."),
]
Limit = Annotated[
    int | None, typer.Option(min=1, help="Ask about the first so many features of a layer.")
]
Parallel = Annotated[int | None, typer.Option(min=1, max=1024, help="The most requests at once.")]
BudgetTokens = Annotated[
    int | None, typer.Option(min=1, help="Stop before so many tokens are spent.")
]
BudgetUsd = Annotated[
    float | None, typer.Option(min=0, help="Stop before so many US dollars are spent.")
]
PriceIn = Annotated[float | None, typer.Option(min=0, help="US dollars for a million tokens read.")]
PriceCached = Annotated[
    float | None, typer.Option(min=0, help="The same, for tokens read from the cache.")
]
PriceOut = Annotated[
    float | None, typer.Option(min=0, help="US dollars for a million tokens written.")
]


def label(
    release: Annotated[str, typer.Argument(help="A registered release with examples.")],
    layers: Annotated[str | None, typer.Option(help="E.g. 11,12 or 20-23; all if unset.")] = None,
    features: Features = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="Word the examples though the same method has.")
    ] = False,
    embedder: Embedder = None,
    embedder_model: EmbedderModel = None,
    endpoint: Endpoint = None,
    llm: Annotated[str | None, typer.Option(help="The model's name there.")] = None,
    limit: Limit = None,
    parallel: Parallel = None,
    budget_tokens: BudgetTokens = None,
    budget_usd: BudgetUsd = None,
    price_in: PriceIn = None,
    price_cached: PriceCached = None,
    price_out: PriceOut = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Sort the examples of each feature into senses, and word both by keywords.

    With --endpoint and --llm, a language model then words the senses. What was said before stays
    in the history. With --features, some features of one layer are worded again, and nothing
    changes for the others. A key is read from SCOPEBOOK_LLM_API_KEY of the instance, and sent
    only to the server that SCOPEBOOK_LLM_ENDPOINT names. The same goes for an embedder's key:
    SCOPEBOOK_WINDOW_EMBEDDER_API_KEY is for the server SCOPEBOOK_WINDOW_EMBEDDER_URL.
    """
    asked = _language_model(
        endpoint,
        llm,
        limit=limit,
        parallel=parallel,
        budget_tokens=budget_tokens,
        budget_usd=budget_usd,
        price_in=price_in,
        price_cached=price_cached,
        price_out=price_out,
    )
    _label(
        release,
        chosen_layers(layers),
        features=_numbers(features),
        anew=anew,
        llm=asked,
        embedder=_embedder(embedder, embedder_model),
        as_json=as_json,
    )


def _embedder(name: str | None, model: str | None) -> AskedEmbedder | None:
    if name is None and model is None:
        return None
    return asked_embedder(on_this_machine(name or TERMS), model)


def _numbers(features: str | None) -> list[int] | None:
    """Read `12,40`; None where nothing was said."""
    if features is None:
        return None
    if _NUMBERS.fullmatch(features) is None:
        raise InvalidInputError(
            f"{shown(features)} is not a list of features: expected their numbers in the layer, "
            "as in 12,40."
        )
    return [int(number) for number in features.split(",")]


def _label(
    release: str,
    layers: list[int] | None,
    *,
    features: list[int] | None,
    anew: bool,
    llm: LanguageModel | None,
    embedder: AskedEmbedder | None,
    as_json: bool,
) -> None:
    report: JobReport | None = None
    ended: list[str] = []
    with dictionary(work=True) as factory:
        with unit_of_work(factory) as session:
            job_id, is_new = label_once(
                session,
                release,
                layers,
                features=features,
                anew=anew,
                llm=llm,
                embedder=embedder,
            )
        if job_id is not None and is_new:
            with leaving(job_id):
                report = watch_job(factory, job_id, news=partial(_costs, job_id=job_id))
            with factory() as session:
                ended = ended_lines(session, release, job_id)
        elif job_id is not None:
            report = read_whole_job(factory, job_id)
    if as_json:
        print_json(report)
    elif is_new and report is not None:
        for line in [f"{report.title}: done.", *ended]:
            err.print(line, markup=False, highlight=False)
    else:
        err.print(
            f"Nothing to do: the examples that are shown for {release} are labelled"
            + (f" (job {job_id})" if job_id else "")
            + "; --anew labels them again.",
            markup=False,
            highlight=False,
        )


def _costs(session: Session, *, job_id: int) -> list[str]:
    """Return what asking is expected to take, which is known before the first request."""
    return [f"{title}." for title in told_costs(session, job_id)]


def ended_lines(session: Session, release: str, job_id: int) -> list[str]:
    """Return how a job's labelings ended for the features, a line each, and what asking took."""
    lines = [
        f"Layer {layer.layer} by {labeling.method}: {_counted(labeling.outcomes)}."
        for layer in label_coverage(session, release)
        for labeling in reversed(layer.labelings)
        if labeling.job_id == job_id
    ]
    spent = spent_by(session, job_id)
    if spent.tokens_in or spent.tokens_out:
        lines.append(
            f"The language model counted {spent.tokens_in:,} tokens in "
            f"({spent.tokens_cached:,} of them cached) and {spent.tokens_out:,} out."
        )
    return lines


def _counted(outcomes: Mapping[str, int]) -> str:
    """Return the features by how it ended, labelled ones first, the others by their number."""
    ordered = sorted(outcomes.items(), key=lambda pair: (pair[0] != "ok", -pair[1], pair[0]))
    said = [f"{n:,} {'labelled' if status == 'ok' else status}" for status, n in ordered]
    return ", ".join(said) or "no feature was asked about"


def _language_model(
    endpoint: str | None, model: str | None, **allowed: Any
) -> LanguageModel | None:
    """Return the model that is asked, completed by the settings; None for keywords alone."""
    chosen = settings()
    endpoint, model = endpoint or chosen.llm_endpoint, model or chosen.llm_model
    if endpoint is None and model is None:
        return None
    prices = {
        name: getattr(chosen, f"llm_{name}") for name in ("price_in", "price_cached", "price_out")
    }
    known = {name: value for name, value in allowed.items() if value is not None}
    return LanguageModel(endpoint=endpoint or "", model=model or "", **(prices | known))
