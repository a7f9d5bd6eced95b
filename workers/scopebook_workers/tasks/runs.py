"""Plan a run: which contexts each shard reads, and which tags are counted."""

from array import array
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, exists, func, select
from sqlalchemy.orm import Session

from scopebook.db.jobs import Step
from scopebook.db.sessions import sessions, unit_of_work
from scopebook.db.tables import (
    Context,
    Corpus,
    Document,
    Run,
    RunState,
    Sae,
    Shard,
    Tokenisation,
)
from scopebook.errors import InvalidInputError
from scopebook.jobs import COLLECT_SHARD, MERGE_SAE, PLAN_RUN, TIDY_RUN
from scopebook.runs import RunParameters, asked_for, read_parameters
from scopebook.settings import settings
from scopebook.steps import Claim, NewStep
from scopebook_workers.claims import Finish, Progress, step_task
from scopebook_workers.sae.blocks import cut_shards, within

#: Tags beyond so many, the rarest, are not counted: a tag of each document would say nothing, and
#: each takes 4 bytes for every feature.
MOST_TAGS = 128
#: A shard's result takes as much room as its features, whatever it has read: below so many tokens
#: for each of them, writing it would take longer than reading them.
TOKENS_PER_FEATURE = 4
LEAST_SHARD_TOKENS = 100_000
_READ_AT_ONCE = 10_000


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """What a run's rows say is to be read."""

    parameters: RunParameters
    #: The run that this one goes on from.
    base_run_id: int | None
    #: Row ids and lengths of the contexts that are read, in 12 bytes each: there may be millions.
    context_ids: "array[int]"
    lengths: "array[int]"
    tags: list[str]
    corpus: str
    #: Of all layers together.
    features: int


@step_task(PLAN_RUN)
def plan_run(claim: Claim, progress: Progress) -> Finish:
    """Cut the run's contexts into shards, and add a step for each to the job.

    Where an earlier run has collected the same over a smaller corpus, what it read is left out.
    """
    run_id = claim.parameters["run_id"]
    with unit_of_work(sessions()) as session:
        plan = _read_plan(session, run_id, anew=claim.parameters.get("anew", False))
    shard_tokens = settings().shard_tokens or max(
        LEAST_SHARD_TOKENS, TOKENS_PER_FEATURE * plan.features
    )
    shards = _cut(plan, shard_tokens)
    if not shards and plan.base_run_id is None:
        raise InvalidInputError(_no_context(plan))

    def write(session: Session) -> list[NewStep]:
        run = session.get_one(Run, run_id)
        run.parameters = run.parameters | {"tags": plan.tags}
        run.base_run_id = plan.base_run_id
        session.execute(delete(Shard).where(Shard.run_id == run_id))
        rows = [
            Shard(run_id=run_id, ordinal=ordinal, first_context_id=first, last_context_id=last)
            for ordinal, (first, last, _) in enumerate(shards)
        ]
        session.add_all(rows)
        session.flush()
        return [
            _step(claim, shard, len(rows), tokens)
            for shard, (_, _, tokens) in zip(rows, shards, strict=True)
        ]

    return write


def _read_plan(session: Session, run_id: int, *, anew: bool) -> RunPlan:
    run = session.get_one(Run, run_id)
    common = _common_tags(session, run)
    base = None if anew else _base(session, run)
    known = read_parameters(session.get_one(Run, base.run_id)).tags if base else []
    tags = [*known, *sorted(set(common) - set(known))]
    if len(tags) > MOST_TAGS:
        # The run before counted tags that are no longer among the most common ones.
        base, tags = None, sorted(common)
    features = select(func.sum(Sae.d_sae)).where(
        Sae.release_id == run.release_id, Sae.layer.in_(run.layers)
    )
    context_ids, lengths = _contexts(session, run, after=base.last_context_id if base else 0)
    return RunPlan(
        parameters=read_parameters(run),
        base_run_id=base.run_id if base else None,
        context_ids=context_ids,
        lengths=lengths,
        tags=tags,
        corpus=_corpus_name(session, run.tokenisation_id),
        features=session.scalars(features).one() or 0,
    )


def _base(session: Session, run: Run) -> RunState | None:
    """Return the state of one layer of the newest earlier run that this one can go on from.

    Only of a run with nothing left to do: its files are tidied away when this one has merged. All
    layers of a run end with the same block.
    """
    at_work = exists().where(
        Step.job_id == Run.job_id,
        Step.kind.in_((PLAN_RUN, COLLECT_SHARD, MERGE_SAE, TIDY_RUN)),
        Step.state != "done",
    )
    if run.parameters["max_tokens"] is not None:
        return None
    earlier = session.scalars(
        select(Run)
        .where(
            Run.id < run.id,
            Run.release_id == run.release_id,
            Run.tokenisation_id == run.tokenisation_id,
            Run.finished_at.is_not(None),
            ~at_work,
        )
        .order_by(Run.id.desc())
    )
    for candidate in earlier:
        if asked_for(candidate.parameters) != asked_for(run.parameters):
            continue
        states = session.scalars(
            select(RunState)
            .join(Sae, Sae.id == RunState.sae_id)
            .where(RunState.run_id == candidate.id, Sae.layer.in_(run.layers))
        ).all()
        if len(states) == len(run.layers):
            return states[0]
    return None


def _contexts(session: Session, run: Run, *, after: int) -> "tuple[array[int], array[int]]":
    rows = session.execute(
        select(Context.id, Context.n_tokens)
        .where(
            Context.tokenisation_id == run.tokenisation_id,
            Context.id > after,
            *_asked_documents(Context.document_id, run),
        )
        .order_by(Context.id)
        .execution_options(yield_per=_READ_AT_ONCE)
    )
    context_ids, lengths = array("q"), array("i")
    for row in rows:
        context_ids.append(row.id)
        lengths.append(row.n_tokens)
    return context_ids, lengths


def _asked_documents(document_id: Any, run: Run) -> list[Any]:
    """Leave out what the corpus has grown by since the run was asked for."""
    return [] if run.last_document_id is None else [document_id <= run.last_document_id]


def _common_tags(session: Session, run: Run) -> list[str]:
    """Return the corpus's most common tags."""
    rows = session.execute(
        select(Document.tag)
        .join(Tokenisation, Tokenisation.corpus_id == Document.corpus_id)
        .where(
            Tokenisation.id == run.tokenisation_id,
            Document.tag.is_not(None),
            *_asked_documents(Document.id, run),
        )
        .group_by(Document.tag)
        .order_by(func.count().desc(), Document.tag)
        .limit(MOST_TAGS)
    )
    return [tag for (tag,) in rows if tag is not None]


def _corpus_name(session: Session, tokenisation_id: int) -> str:
    return session.scalars(
        select(Corpus.name)
        .join(Tokenisation, Tokenisation.corpus_id == Corpus.id)
        .where(Tokenisation.id == tokenisation_id)
    ).one()


def _cut(plan: RunPlan, shard_tokens: int) -> list[tuple[int, int, int]]:
    """Return the first and last context of each shard, and how many tokens it holds."""
    lengths = plan.lengths[: within(plan.lengths, plan.parameters.max_tokens)]
    shards = cut_shards(
        lengths, block_tokens=plan.parameters.block_tokens, shard_tokens=shard_tokens
    )
    return [
        (
            plan.context_ids[shard.start],
            plan.context_ids[shard.stop - 1],
            sum(lengths[shard.start : shard.stop]),
        )
        for shard in shards
    ]


def _no_context(plan: RunPlan) -> str:
    limit = f" within the first {plan.parameters.max_tokens} tokens" if plan.lengths else ""
    return f"The corpus {plan.corpus!r} holds no whole context{limit}; add text or raise the limit."


def _step(claim: Claim, shard: Any, shards: int, tokens: int) -> NewStep:
    return NewStep(
        kind=COLLECT_SHARD,
        stage=claim.stage + 1,
        title=f"Collect shard {shard.ordinal + 1} of {shards}",
        parameters={"shard_id": shard.id},
        total=tokens,
        unit="tokens",
    )
