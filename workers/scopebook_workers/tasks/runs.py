"""Plan a run: which contexts each shard reads, and which tags are counted."""

from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from scopebook.db.sessions import sessions, unit_of_work
from scopebook.db.tables import Context, Corpus, Document, Run, Shard, Tokenisation
from scopebook.errors import InvalidInputError
from scopebook.jobs import COLLECT_SHARD, PLAN_RUN
from scopebook.runs import RunParameters, read_parameters
from scopebook.settings import settings
from scopebook.steps import Claim, NewStep
from scopebook_workers.claims import Finish, Progress, step_task
from scopebook_workers.sae.blocks import cut_shards, within

#: Tags beyond so many, the rarest, are not counted: a tag of each document would say nothing.
MOST_TAGS = 1000


@step_task(PLAN_RUN)
def plan_run(claim: Claim, progress: Progress) -> Finish:
    """Cut the run's contexts into shards, and add a step for each to the job."""
    run_id = claim.parameters["run_id"]
    with unit_of_work(sessions()) as session:
        run = session.get_one(Run, run_id)
        parameters = read_parameters(run)
        contexts = _contexts(session, run.tokenisation_id)
        tags = _tags(session, run.tokenisation_id)
        corpus = _corpus_name(session, run.tokenisation_id)
    shards = _cut(contexts, parameters, corpus)

    def write(session: Session) -> list[NewStep]:
        run = session.get_one(Run, run_id)
        run.parameters = run.parameters | {"tags": tags}
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


def _contexts(session: Session, tokenisation_id: int) -> list[tuple[int, int]]:
    rows = session.execute(
        select(Context.id, Context.n_tokens)
        .where(Context.tokenisation_id == tokenisation_id)
        .order_by(Context.id)
    )
    return [(row.id, row.n_tokens) for row in rows]


def _tags(session: Session, tokenisation_id: int) -> list[str]:
    rows = session.execute(
        select(Document.tag)
        .join(Tokenisation, Tokenisation.corpus_id == Document.corpus_id)
        .where(Tokenisation.id == tokenisation_id, Document.tag.is_not(None))
        .group_by(Document.tag)
        .order_by(func.count().desc(), Document.tag)
        .limit(MOST_TAGS)
    )
    return sorted(tag for (tag,) in rows if tag is not None)


def _corpus_name(session: Session, tokenisation_id: int) -> str:
    return session.scalars(
        select(Corpus.name)
        .join(Tokenisation, Tokenisation.corpus_id == Corpus.id)
        .where(Tokenisation.id == tokenisation_id)
    ).one()


def _cut(
    contexts: list[tuple[int, int]], parameters: RunParameters, corpus: str
) -> list[tuple[int, int, int]]:
    """Return the first and last context of each shard, and how many tokens it holds."""
    lengths = [length for _, length in contexts]
    lengths = lengths[: within(lengths, parameters.max_tokens)]
    if not lengths:
        limit = f" within the first {parameters.max_tokens} tokens" if contexts else ""
        raise InvalidInputError(
            f"The corpus {corpus!r} holds no whole context{limit}; add text or raise the limit."
        )
    shards = cut_shards(
        lengths, block_tokens=parameters.block_tokens, shard_tokens=settings().shard_tokens
    )
    return [
        (
            contexts[shard.start][0],
            contexts[shard.stop - 1][0],
            sum(lengths[shard.start : shard.stop]),
        )
        for shard in shards
    ]


def _step(claim: Claim, shard: Any, shards: int, tokens: int) -> NewStep:
    return NewStep(
        kind=COLLECT_SHARD,
        stage=claim.stage + 1,
        title=f"Collect shard {shard.ordinal + 1} of {shards}",
        parameters={"shard_id": shard.id},
        total=tokens,
        unit="tokens",
    )
