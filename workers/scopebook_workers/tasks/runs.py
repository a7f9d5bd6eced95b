"""Plan a run: which contexts each shard reads, and which tags are counted."""

from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

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
from scopebook.jobs import COLLECT_SHARD, PLAN_RUN
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


@step_task(PLAN_RUN)
def plan_run(claim: Claim, progress: Progress) -> Finish:
    """Cut the run's contexts into shards, and add a step for each to the job.

    Where an earlier run has collected the same over a smaller corpus, what it read is left out.
    """
    run_id = claim.parameters["run_id"]
    with unit_of_work(sessions()) as session:
        run = session.get_one(Run, run_id)
        parameters = read_parameters(run)
        base = None if claim.parameters.get("anew") else _base(session, run)
        base_run_id = base.run_id if base else None
        contexts = _contexts(
            session, run.tokenisation_id, after=base.last_context_id if base else 0
        )
        tags = _tags(session, run.tokenisation_id, base)
        corpus = _corpus_name(session, run.tokenisation_id)
        features = session.scalars(
            select(func.sum(Sae.d_sae)).where(
                Sae.release_id == run.release_id, Sae.layer.in_(run.layers)
            )
        ).one()
    shard_tokens = settings().shard_tokens or max(
        LEAST_SHARD_TOKENS, TOKENS_PER_FEATURE * (features or 0)
    )
    shards = _cut(contexts, parameters, shard_tokens)
    if not shards and base_run_id is None:
        raise InvalidInputError(_no_context(corpus, parameters, bool(contexts)))

    def write(session: Session) -> list[NewStep]:
        run = session.get_one(Run, run_id)
        run.parameters = run.parameters | {"tags": tags}
        run.base_run_id = base_run_id
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


def _base(session: Session, run: Run) -> RunState | None:
    """Return the state of one layer of the newest earlier run that this one can go on from.

    All layers of a run end with the same block.
    """
    if run.parameters["max_tokens"] is not None:
        return None
    earlier = session.scalars(
        select(Run)
        .where(
            Run.id < run.id,
            Run.release_id == run.release_id,
            Run.tokenisation_id == run.tokenisation_id,
            Run.finished_at.is_not(None),
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


def _contexts(session: Session, tokenisation_id: int, *, after: int) -> list[tuple[int, int]]:
    rows = session.execute(
        select(Context.id, Context.n_tokens)
        .where(Context.tokenisation_id == tokenisation_id, Context.id > after)
        .order_by(Context.id)
    )
    return [(row.id, row.n_tokens) for row in rows]


def _tags(session: Session, tokenisation_id: int, base: RunState | None) -> list[str]:
    """Return the tags to count: those of the run before keep their places."""
    known = read_parameters(session.get_one(Run, base.run_id)).tags if base else []
    rows = session.execute(
        select(Document.tag)
        .join(Tokenisation, Tokenisation.corpus_id == Document.corpus_id)
        .where(Tokenisation.id == tokenisation_id, Document.tag.is_not(None))
        .group_by(Document.tag)
        .order_by(func.count().desc(), Document.tag)
        .limit(MOST_TAGS)
    )
    new = sorted({tag for (tag,) in rows if tag is not None} - set(known))
    return [*known, *new][:MOST_TAGS]


def _corpus_name(session: Session, tokenisation_id: int) -> str:
    return session.scalars(
        select(Corpus.name)
        .join(Tokenisation, Tokenisation.corpus_id == Corpus.id)
        .where(Tokenisation.id == tokenisation_id)
    ).one()


def _cut(
    contexts: list[tuple[int, int]], parameters: RunParameters, shard_tokens: int
) -> list[tuple[int, int, int]]:
    """Return the first and last context of each shard, and how many tokens it holds."""
    lengths = [length for _, length in contexts]
    lengths = lengths[: within(lengths, parameters.max_tokens)]
    shards = cut_shards(lengths, block_tokens=parameters.block_tokens, shard_tokens=shard_tokens)
    return [
        (
            contexts[shard.start][0],
            contexts[shard.stop - 1][0],
            sum(lengths[shard.start : shard.stop]),
        )
        for shard in shards
    ]


def _no_context(corpus: str, parameters: RunParameters, limited: bool) -> str:
    limit = f" within the first {parameters.max_tokens} tokens" if limited else ""
    return f"The corpus {corpus!r} holds no whole context{limit}; add text or raise the limit."


def _step(claim: Claim, shard: Any, shards: int, tokens: int) -> NewStep:
    return NewStep(
        kind=COLLECT_SHARD,
        stage=claim.stage + 1,
        title=f"Collect shard {shard.ordinal + 1} of {shards}",
        parameters={"shard_id": shard.id},
        total=tokens,
        unit="tokens",
    )
