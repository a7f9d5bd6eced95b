"""Ask for labels: of the features of a release, as the dictionary shows them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final
from urllib.parse import urlsplit

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from scopebook.db.jobs import Step
from scopebook.db.label_tables import Labeling, LabelOutcome
from scopebook.db.tables import Release, Sae
from scopebook.errors import InvalidInputError
from scopebook.jobs import (
    CHECK_LABELS,
    EMBED_LABELS,
    LABEL_SAE,
    LABEL_SAE_BY_MODEL,
    WORD_SAE,
)
from scopebook.jobs_under_way import refuse_beside
from scopebook.labeling_methods import KEYWORDS, WORDING
from scopebook.labelings import (
    NAMED,
    find_labeling,
    found_by,
    row_id,
    sha256_of,
    speaks_of_all,
)
from scopebook.llm_labelings import newest_base
from scopebook.panels import panel_steps
from scopebook.quotas import within_budget
from scopebook.releases import find_release, find_saes
from scopebook.steps import NewStep, create_job
from scopebook.window_embedders import AskedEmbedder

LABEL_JOB: Final = "label"
#: Where a step's parameters hold the embedder that was asked for.
EMBEDDER: Final = "embedder"
#: The database lock of those who ask for labels; the number is ours alone.
_ASKING: Final = 7_263_014


@dataclass(frozen=True, kw_only=True)
class LanguageModel:
    """Which language model words the features, and what that may take.

    `endpoint` is the base URL of an OpenAI-compatible server or a model's folder; a key never
    stands here, since what is asked for is kept. Prices are US dollars for a million tokens.
    """

    endpoint: str
    model: str
    parallel: int | None = None
    #: Ask about the first so many eligible features of each layer.
    limit: int | None = None
    budget_tokens: int | None = None
    budget_usd: float | None = None
    price_in: float | None = None
    price_cached: float | None = None
    price_out: float | None = None

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.endpoint)
        except ValueError as error:  # such as a bracket that is not closed
            raise InvalidInputError(
                f"The endpoint {self.endpoint!r} is no address; give http(s)://HOST/v1."
            ) from error
        if parts.username or parts.password or parts.query:
            raise InvalidInputError(
                "The endpoint's address must hold no password and no query, since it is kept; "
                "give a key in SCOPEBOOK_LLM_API_KEY."
            )
        if not self.endpoint.strip() or not self.model.strip():
            raise InvalidInputError(
                "A language model needs an address and a name; give --endpoint URL and --llm MODEL."
            )
        if self.budget_usd is not None and None in (self.price_in, self.price_out):
            raise InvalidInputError(
                "A budget in dollars needs what tokens cost; give --price-in and --price-out in "
                "US dollars for a million tokens."
            )


def label_once(
    session: Session,
    release_name: str,
    layers: Sequence[int] | None = None,
    *,
    features: Sequence[int] | None = None,
    anew: bool = False,
    llm: LanguageModel | None = None,
    embedder: AskedEmbedder | None = None,
) -> tuple[int | None, bool]:
    """Return the id of the job that words, or has worded, the features: by keywords, then `llm`.

    And whether it is a new one: the same examples are not worded twice by the same method unless
    `anew` asks for it, or `features` names some of one layer by their numbers; nothing changes for
    the others. The id is None where they were worded before jobs were noted.

    Senses are found by `embedder`; None: by `terms`, and a model words those found last.

    Raises InvalidInputError for layers or features without evidence, and ConflictError while they
    are worded.
    """
    llm = llm and within_budget(llm)
    release, saes = labelable_saes(session, release_name, layers)
    named = None
    if features is not None:
        # What can be said of a feature is the same for all embedders; a model words one's senses.
        named = _checked_features(session, release.name, saes, features, embedder if llm else None)
    begin_asking(session, release)
    known = [_same(session, sae, llm, embedder) for sae in saes]
    anew = anew or named is not None
    wanted = [sae for sae, same in zip(saes, known, strict=True) if anew or same is None]
    if not wanted:
        return max((same.job_id or 0 for same in known if same), default=0) or None, False
    asked = {
        "release": release.name,
        "layers": [sae.layer for sae in wanted],
        "features": named,
        "anew": anew,
        "llm": asdict(llm) if llm else None,
        **({"embedder": asdict(embedder)} if embedder else {}),
    }
    # The senses that a model words need not be found anew each time.
    anew = anew and llm is None
    # A few features are not worth a pass of the model; they have contrasts if it was made.
    panels = panel_steps(session, wanted) if llm and named is None else ()
    steps = labeling_steps(
        wanted, features=named, anew=anew, llm=llm, embedder=embedder, panels=panels
    )
    title = _title(release, wanted[0], named, llm)
    return create_job(session, LABEL_JOB, title, steps, parameters=asked).id, True


def _title(
    release: Release, sae: Sae, named: Sequence[int] | None, llm: LanguageModel | None
) -> str:
    of = f"{_in_words(sae, named)} of " if named else ""
    return f"Label {of}{release.name}" + (f" by {llm.model}" if llm else "")


def labelable_saes(
    session: Session, release_name: str, layers: Sequence[int] | None
) -> tuple[Release, list[Sae]]:
    """Return the release and those of its SAEs; raises InvalidInputError without examples."""
    release = find_release(session, release_name)
    saes = find_saes(session, release=release.name, layers=layers)
    _check_evidence(release.name, saes)
    return release, list(saes)


def begin_asking(session: Session, release: Release) -> None:
    """Let nobody else ask for its labels until the end of the transaction.

    Raises ConflictError while a job labels it.
    """
    session.execute(select(func.pg_advisory_xact_lock(_ASKING, release.id)))
    refuse_beside(session, LABEL_JOB, release.name, does="labels")


def labeling_steps(
    saes: Sequence[Sae],
    *,
    run_id: int | None = None,
    first_stage: int = 0,
    features: list[int] | None = None,
    anew: bool = False,
    llm: LanguageModel | None = None,
    embedder: AskedEmbedder | None = None,
    panels: Sequence[NewStep] = (),
) -> list[NewStep]:
    """Return the steps that word the examples of a run, else of the shown ones.

    `features` are numbers of features of the only SAE, whose senses are known: a model words those.

    By keywords for all layers side by side, and beside them `panels` for contrasts; by a language
    model for one after the other, so that the budget is spent in one place; then the model's
    labels are checked, layers side by side, and all are embedded.
    """
    by_model = embedder is not None and embedder.runs_here
    steps = [
        NewStep(
            kind=LABEL_SAE_BY_MODEL if by_model else LABEL_SAE,
            stage=first_stage,
            title=f"Label {_in_words(sae, features)}",
            parameters={
                "sae_id": sae.id,
                "run_id": run_id or sae.current_run_id,
                "anew": anew,
                **({NAMED: features} if features else {}),
                **({} if embedder is None or embedder.is_terms else {EMBEDDER: asdict(embedder)}),
            },
        )
        for sae in saes
        # Finding the senses anew could change what is in force for other features.
        if llm is None or features is None
    ]
    steps += panels
    if llm is not None:
        first = first_stage + len(steps[:1])
        steps += _wording_steps(saes, llm, run_id, first, features, embedder)
    embed = NewStep(
        kind=EMBED_LABELS,
        stage=steps[-1].stage + 1,
        title="Embed the labels",
        parameters={"sae_ids": [sae.id for sae in saes]},
    )
    return [*steps, embed]


def _wording_steps(
    saes: Sequence[Sae],
    llm: LanguageModel,
    run_id: int | None,
    first_stage: int,
    features: list[int] | None,
    embedder: AskedEmbedder | None,
) -> list[NewStep]:
    words = [
        NewStep(
            kind=WORD_SAE,
            stage=first_stage + place,
            title=f"Word {_in_words(sae, features)} by {llm.model}",
            parameters={
                "sae_id": sae.id,
                "run_id": run_id or sae.current_run_id,
                "llm": asdict(llm),
                **({NAMED: features} if features else {}),
                **({EMBEDDER: asdict(embedder)} if embedder else {}),
            },
        )
        for place, sae in enumerate(saes)
    ]
    return [*words, *check_steps(saes, first_stage + len(saes), features)]


def check_steps(
    saes: Sequence[Sae], stage: int, features: Sequence[int] | None = None
) -> list[NewStep]:
    """Return the steps that check what a model has said of each SAE, side by side."""
    return [
        NewStep(
            kind=CHECK_LABELS,
            stage=stage,
            title=f"Check the labels of {_in_words(sae, features)} against unseen examples",
            parameters={"sae_ids": [sae.id]},
        )
        for sae in saes
    ]


def _in_words(sae: Sae, features: Sequence[int] | None) -> str:
    """Return what is labelled, such as `feature 12 of layer 1`."""
    if features is None:
        return f"layer {sae.layer}"
    named = f"feature {features[0]}" if len(features) == 1 else f"{len(features)} features"
    return f"{named} of layer {sae.layer}"


def _checked_features(
    session: Session,
    release: str,
    saes: Sequence[Sae],
    features: Sequence[int],
    embedder: AskedEmbedder | None,
) -> list[int]:
    """Return the numbers in order, each once, of features that can be worded again.

    Their senses must be known, by this embedder if one is given.
    """
    if len(saes) != 1 or not features:
        raise InvalidInputError(
            "Features are named by their numbers in one layer; give that layer and one or more "
            "numbers, as in --layers 1 --features 12,40."
        )
    [sae] = saes
    beyond = [index for index in features if not 0 <= index < sae.d_sae]
    if beyond:
        raise InvalidInputError(
            f"Layer {sae.layer} of {release} has {sae.d_sae} features, numbered 0 to "
            f"{sae.d_sae - 1}; there is no feature {beyond[0]}."
        )
    assert sae.current_run_id is not None
    wanted = sorted(set(features))
    base = newest_base(session, sae.id, sae.current_run_id, embedder)
    if base is None:
        by = f" by the embedder {embedder}" if embedder else ""
        raise InvalidInputError(
            f"Layer {sae.layer} of {release} has no labels{by} yet; label all of it by keywords "
            f"first{by}, which finds the senses."
        )
    _check_worded(session, base, sae, wanted)
    return wanted


def _check_worded(session: Session, base: int, sae: Sae, features: Sequence[int]) -> None:
    """Refuse features of which the labeling by keywords says that nothing can be said."""
    outcomes = {
        outcome.feature_id: outcome
        for outcome in session.scalars(
            select(LabelOutcome).where(
                LabelOutcome.labeling_id == base,
                LabelOutcome.feature_id.in_([row_id(sae.id, index) for index in features]),
            )
        )
    }
    for index in features:
        outcome = outcomes.get(row_id(sae.id, index))
        if outcome is None or outcome.status != "ok":
            reason = outcome.reason if outcome else "It has no examples."
            raise InvalidInputError(
                f"Feature {index} of layer {sae.layer} cannot be labelled again: {reason}"
            )


def _check_evidence(release: str, saes: Sequence[Sae]) -> None:
    bare = [sae.layer for sae in saes if sae.current_run_id is None]
    if bare or not saes:
        named = ", ".join(map(str, bare)) or "(none was named)"
        raise InvalidInputError(
            f"Layer {named} of {release} has no examples that could be labelled; collect some "
            "with `scopebook collect` first."
        )


def _same(
    session: Session, sae: Sae, llm: LanguageModel | None, embedder: AskedEmbedder | None
) -> Labeling | None:
    """Return the labeling that has worded the shown examples by the same method."""
    assert sae.current_run_id is not None
    finished = (
        Labeling.sae_id == sae.id,
        Labeling.run_id == sae.current_run_id,
        Labeling.finished_at.is_not(None),
        speaks_of_all(),
    )
    newest = select(Labeling).where(*finished).order_by(Labeling.id.desc()).limit(1)
    if llm is not None:
        by_llm = newest.where(
            Labeling.source == "llm",
            Labeling.method == llm.model,
            Labeling.parameters["endpoint"].astext == llm.endpoint,
            Labeling.parameters["prompt"].astext == WORDING,
        )
        if embedder is None:
            return session.scalar(by_llm)
        base = aliased(Labeling)
        return session.scalar(
            by_llm.join(base, base.id == Labeling.base_id).where(found_by(embedder, base))
        )
    if embedder is None or embedder.is_terms:
        sha256 = sha256_of(KEYWORDS, {})
        return find_labeling(session, sae_id=sae.id, run_id=sae.current_run_id, sha256=sha256)
    if embedder.is_folder:
        return None  # only who reads its weights knows whether they are the same
    return session.scalar(newest.where(Labeling.method == KEYWORDS, found_by(embedder)))


def told_costs(session: Session, job_id: int) -> list[str]:
    """Return the titles of a job's asking steps that say what they are expected to take."""
    return list(
        session.scalars(
            select(Step.title)
            .where(Step.job_id == job_id, Step.kind == WORD_SAE, Step.title.contains(": about"))
            .order_by(Step.stage, Step.id)
        )
    )
