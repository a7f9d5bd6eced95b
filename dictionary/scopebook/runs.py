"""Ask for collections: which SAEs, over which corpus, with which parameters."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from sqlalchemy import Row, func, select
from sqlalchemy.orm import Session

from scopebook.corpora import find_corpus
from scopebook.db.jobs import Job
from scopebook.db.tables import Corpus, Document, Model, Release, Run, Sae, Tokenisation
from scopebook.errors import InvalidInputError
from scopebook.jobs import (
    MERGE_SAE,
    PLAN_RUN,
    TIDY_RUN,
    TOKENISE_CORPUS,
)
from scopebook.labeling_requests import labeling_steps
from scopebook.releases import find_release, find_saes
from scopebook.settings import settings
from scopebook.steps import NewStep, add_steps, create_job

COLLECT_JOB: Final = "collect"


@dataclass(frozen=True, kw_only=True)
class RunParameters:
    """Everything that decides what a collection finds; kept with the run."""

    #: Stop before the context that would exceed so many tokens.
    max_tokens: int | None = None
    #: Examples per feature: strongest contexts, and a sample of all that fire it.
    best: int = 20
    sample: int = 60
    #: Firings per feature that tell its top tokens.
    draws: int = 100
    #: Tokens shown on either side of the peak.
    left: int = 128
    right: int = 64
    #: Tokens whose residual is longer than this times their context's median are masked.
    sink_factor: float = 10.0
    #: Contexts are batched within blocks of so many tokens, counted from the run's first context.
    #: A shard is some whole blocks: how it is cut cannot change a batch, nor its rounding.
    block_tokens: int = 16_384
    batch_tokens: int = 4_096
    #: The tags that are counted, and the sinks masked in each layer once it is merged.
    tags: list[str] = field(default_factory=list)
    sinks: dict[str, int] = field(default_factory=dict)


#: What is found out on the way and not asked for.
_FOUND: Final = ("tags", "sinks")


def read_parameters(run: Run) -> RunParameters:
    """Return the parameters that a run was made with."""
    return RunParameters(**run.parameters)


def asked_for(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a run's parameters that decides what it finds."""
    return {name: value for name, value in parameters.items() if name not in _FOUND}


def request_collection(
    session: Session,
    release_name: str,
    corpus_name: str,
    layers: Sequence[int] | None = None,
    *,
    max_tokens: int | None = None,
    label: bool = True,
    anew: bool = False,
) -> Job:
    """Ask for the evidence of a release's features over a corpus; all its layers if none named.

    A corpus that has grown since the same was collected is collected where it is new; `anew` reads
    all of it again. Whether anything is new at all is asked by `collect_once`.
    """
    if max_tokens is not None and not 1 <= max_tokens < 2**63:
        raise InvalidInputError(
            f"max_tokens is {max_tokens}; give 1 or more, below 2**63, or leave it out."
        )
    release = find_release(session, release_name)
    corpus = find_corpus(session, corpus_name)
    saes = _saes(session, release, layers)
    asked = {
        "release": release.name,
        "corpus": corpus.name,
        "layers": [sae.layer for sae in saes],
        "max_tokens": max_tokens,
        "label": label,
    }
    title = f"Collect {release.name} over {corpus.name}"
    job = create_job(session, COLLECT_JOB, title, [], parameters=asked)
    steps = collection_steps(
        session,
        job_id=job.id,
        release=release,
        corpus_name=corpus.name,
        layers=layers,
        max_tokens=max_tokens,
        label=label,
        anew=anew,
    )
    add_steps(session, job.id, steps)
    return job


def collect_once(
    session: Session,
    release_name: str,
    corpus_name: str,
    layers: Sequence[int] | None = None,
    *,
    max_tokens: int | None = None,
    label: bool = True,
    anew: bool = False,
) -> tuple[int, bool]:
    """Return the id of the job that collects, or has collected, what is asked for.

    And whether it is a new one: the same is not collected twice unless `anew` asks for it.
    """
    if not anew:
        same = find_collected(
            session, release_name, corpus_name, layers, max_tokens=max_tokens, label=label
        )
        if same is not None:
            return same.job_id, False
    job = request_collection(
        session,
        release_name,
        corpus_name,
        layers,
        max_tokens=max_tokens,
        label=label,
        anew=anew,
    )
    return job.id, True


def find_collected(
    session: Session,
    release_name: str,
    corpus_name: str,
    layers: Sequence[int] | None = None,
    *,
    max_tokens: int | None = None,
    label: bool = True,
) -> Run | None:
    """Return the run that has collected, or is collecting, exactly what is asked for.

    None if there is no such run, or if the corpus has documents that are new to it. Two who ask at
    the same time wait for each other until the end of the transaction.
    """
    release, corpus = find_release(session, release_name), find_corpus(session, corpus_name)
    wanted = {sae.layer for sae in _saes(session, release, layers)}
    session.execute(select(func.pg_advisory_xact_lock(_ASKING, release.id)))
    rows: Sequence[Row[Run, dict[str, Any]]] = session.execute(
        select(Run, Job.parameters)
        .join(Job, Job.id == Run.job_id)
        .join(Tokenisation, Tokenisation.id == Run.tokenisation_id)
        .where(
            Run.release_id == release.id,
            Tokenisation.corpus_id == corpus.id,
            Tokenisation.context_tokens == settings().context_tokens,
            Run.last_document_id == _last_document(corpus),
            Job.state.in_(("queued", "running", "done")),
        )
        .order_by(Run.id.desc())
    ).all()
    same = asked_for(asdict(RunParameters(max_tokens=max_tokens)))
    for run, asked in rows:
        labelled = asked.get("label", True)
        if wanted <= set(run.layers) and asked_for(run.parameters) == same and labelled >= label:
            return run
    return None


#: The database lock of those who ask for collections; the number is ours alone.
_ASKING: Final = 7_263_013


def _last_document(corpus: Corpus) -> Any:
    return (
        select(func.coalesce(func.max(Document.id), 0))
        .where(Document.corpus_id == corpus.id)
        .scalar_subquery()
    )


def collection_steps(
    session: Session,
    *,
    job_id: int,
    release: Release,
    corpus_name: str,
    layers: Sequence[int] | None = None,
    first_stage: int = 0,
    max_tokens: int | None = None,
    label: bool = True,
    anew: bool = False,
) -> list[NewStep]:
    """Create a run within a job and return its steps, for stages from `first_stage` on.

    Stage by stage: tokenise, plan, shards (the plan adds them), merge, label and tidy, embed.
    """
    saes = _saes(session, release, layers)
    check_weights(release, saes)
    corpus = find_corpus(session, corpus_name)
    tokenisation = tokenisation_of(session, release, corpus)
    run = Run(
        job_id=job_id,
        release_id=release.id,
        tokenisation_id=tokenisation.id,
        layers=[sae.layer for sae in saes],
        parameters=asdict(RunParameters(max_tokens=max_tokens)),
        last_document_id=_last_document(corpus),
    )
    session.add(run)
    session.flush()
    collecting = [
        _step(TOKENISE_CORPUS, first_stage, f"Tokenise {corpus.name}", tokenisation=tokenisation),
        NewStep(
            kind=PLAN_RUN,
            stage=first_stage + 1,
            title="Cut the corpus into shards",
            parameters={"run_id": run.id, "anew": anew},
        ),
        *(
            _step(MERGE_SAE, first_stage + 3, f"Merge layer {sae.layer}", run=run, sae=sae)
            for sae in saes
        ),
        _step(TIDY_RUN, first_stage + 4, "Remove what was merged", run=run),
    ]
    if not label:
        return collecting
    return collecting + labeling_steps(saes, run_id=run.id, first_stage=first_stage + 4)


def check_weights(release: Release, saes: Sequence[Sae]) -> None:
    """Refuse layers whose weights are not here."""
    missing = ",".join(str(sae.layer) for sae in saes if not sae.artifact)
    if missing:
        raise InvalidInputError(
            f"Layer {missing} of {release.name} came in with a dump, which holds no weights; fetch "
            f"them with `scopebook add {release.source} --layers {missing}`."
        )


def _step(kind: str, stage: int, title: str, **rows: Any) -> NewStep:
    parameters = {f"{name}_id": row.id for name, row in rows.items()}
    return NewStep(kind=kind, stage=stage, title=title, parameters=parameters)


def _saes(session: Session, release: Release, layers: Sequence[int] | None) -> list[Sae]:
    saes = find_saes(session, release=release.name, layers=layers)
    if not saes:
        raise InvalidInputError(
            f"No layer of {release.name} was asked for; name some, or leave them out for all."
        )
    return saes


def tokenisation_of(
    session: Session, release: Release, corpus: Corpus, *, context_tokens: int | None = None
) -> Tokenisation:
    """Return the corpus's cut for this release's model, created if it is the first use.

    In contexts of so many tokens as the settings say, if nothing else is asked for.
    """
    tokenizer_id = session.get_one(Model, release.model_id).tokenizer_id
    wanted = {
        "corpus_id": corpus.id,
        "tokenizer_id": tokenizer_id,
        "context_tokens": context_tokens or settings().context_tokens,
    }
    found = session.scalar(select(Tokenisation).filter_by(**wanted))
    if found is None:
        found = Tokenisation(**wanted)
        session.add(found)
        session.flush()
    return found
