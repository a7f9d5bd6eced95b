"""Score the labels of an SAE on examples that nobody who worded them has seen."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeVar

import numpy as np
from sqlalchemy.orm import Session

from scopebook.db.sessions import sessions, unit_of_work
from scopebook.db.tables import Sae
from scopebook.embedders import embedder_name
from scopebook.jobs import COMPARE_SAE, SCORE_SAE
from scopebook.judges import require_other_judge
from scopebook.label_scores import (
    JUDGED,
    MIN_POSITIVES,
    Asked,
    LabelToScore,
    known_null,
    labelers_of,
    labels_to_score,
    note_step,
    publish_scores,
    spent_on_scores,
    stored_scores,
)
from scopebook.labeling_requests import LanguageModel
from scopebook.settings import settings
from scopebook.steps import Claim, retitle_step
from scopebook_workers.claims import Finish, Progress, step_task
from scopebook_workers.labeling.scoring.detection import detection_requests
from scopebook_workers.labeling.scoring.null import LABELS, null_warning, permuted
from scopebook_workers.labeling.scoring.score import Score
from scopebook_workers.llm.budget import Budget, Estimate, Usage
from scopebook_workers.llm.chat import Chat
from scopebook_workers.llm.together import together
from scopebook_workers.prefetch import ahead
from scopebook_workers.tasks.embed import embed_function
from scopebook_workers.tasks.language_models import (
    budget_of,
    counting_for,
    open_model,
    prices_of,
)
from scopebook_workers.tasks.score_asking import (
    Null,
    ask_by_cases,
    cases_of,
    row_of,
    score_label,
)
from scopebook_workers.tasks.score_cases import CaseReader, Prepared, judged
from scopebook_workers.tasks.score_plan import Plan, asked_of, plan

#: Labels whose scores are written together; a worker that is killed loses no more.
BATCH: Final = 32
#: Labels from whose requests the cost of all is estimated.
_SAMPLE: Final = 16
#: A null may be made by so much less than was drawn, where some labels have no cases.
_ENOUGH: Final = 0.8

#: A label, and the scorers that are left for it.
Work = tuple[LabelToScore, list[str]]
Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True, eq=False)
class _Read:
    """What a step is about."""

    sae_id: int
    run_id: int
    judge: LanguageModel | None
    embedder: str
    plan: Plan
    asked: dict[str, Asked]
    #: Models that worded labels among these.
    labelers: set[str]
    allow_same_judge: bool
    labels: Sequence[LabelToScore]


@step_task(SCORE_SAE)
@step_task(COMPARE_SAE)
def score_sae(claim: Claim, progress: Progress) -> Finish:
    """Make every score that is not stored, batch by batch.

    Every batch stands in a transaction of its own, so that a lost worker's successor goes on.
    """
    with sessions()() as session:
        read = _read(session, claim)
        spent = spent_on_scores(session, claim.job_id)
    scoring = _Scoring(claim, progress, read)
    if read.plan.work():
        cases = CaseReader(
            sae_id=read.sae_id, run_id=read.run_id, labels=read.labels, embed=embed_function()
        )
        budget = budget_of(read.judge, spent) if read.judge else Budget()
        asyncio.run(scoring.all(cases, budget))
    return scoring.finish


def _read(session: Session, claim: Claim) -> _Read:
    said: dict[str, Any] = claim.parameters
    sae, run_id = session.get_one(Sae, said["sae_id"]), said["run_id"]
    judge = LanguageModel(**said["judge"]) if said["judge"] else None
    embedder = embedder_name(settings())
    asked = asked_of(said["scorers"], judge=judge.model if judge else None, embedder=embedder)
    labels = labels_to_score(session, sae, run_id, said["source"])
    made = plan(
        labels,
        scorers=said["scorers"],
        sample=said["sample"],
        judges_keywords=said["source"] == "keywords",
        stored=stored_scores(session, sae.id, asked),
    )
    return _Read(
        sae_id=sae.id,
        run_id=run_id,
        judge=judge,
        embedder=embedder,
        plan=made,
        asked={one.scorer: one for one in asked},
        labelers=labelers_of(session, sae, run_id, said["source"]),
        allow_same_judge=said["allow_same_judge"],
        labels=labels,
    )


def _lots(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]


class _Scoring:
    """Scores labels and writes what comes of it."""

    def __init__(self, claim: Claim, progress: Progress, read: _Read) -> None:
        self._claim, self._progress, self._read = claim, progress, read
        self._work = read.plan.work()
        self._nulls: dict[str, Null] = {}
        #: Values of permuted labels that this step or one before has asked, by scorer and pair.
        self._permuted: dict[str, dict[str, float]] = claim.parameters.get("null", {})
        self._warnings: list[str] = []
        self._title = claim.title.split(": ")[0]
        self._done = self._scores = self._impossible = 0

    async def all(self, cases: CaseReader, budget: Budget) -> None:
        """Ask for the nulls, then for the scores of all labels."""
        judge = self._read.judge
        asks = judge is not None and any(self._read.plan.left(scorer) for scorer in JUDGED)
        if judge is None or not asks:
            context: Any = nullcontext()
        else:
            self._find_nulls()
            self._tell_cost(cases, judge)
            context = open_model(judge, budget, judges=True)
        async with context as chat:
            if chat is not None:
                for scorer in self._lacking_nulls():
                    await self._measure_null(chat, cases, scorer, budget)
            for batch in ahead(self._batches(cases)):
                await self._batch(chat, batch, budget)

    def _find_nulls(self) -> None:
        """Take the nulls that earlier scores of the run stand beside."""
        with sessions()() as session:
            for scorer, asked in self._read.asked.items():
                if pool := self._read.plan.null_pool(scorer):
                    least = max(2, round(_ENOUGH * min(LABELS, len(pool))))
                    known = known_null(
                        session, self._read.sae_id, self._read.run_id, asked, least=least
                    )
                    if known is not None:
                        self._nulls[scorer] = Null(value=known[0], labels=known[1])

    def _lacking_nulls(self) -> list[str]:
        plan = self._read.plan
        return [name for name in plan.chosen if plan.null_pool(name) and name not in self._nulls]

    def _tell_cost(self, cases: CaseReader, judge: LanguageModel) -> None:
        """Say before the first call, in the step's title, what all will take."""
        labels = [label for label, _ in self._work[:_SAMPLE]]
        sample = [item for item in cases.prepare(labels) if item.has_both_kinds]
        requests = [detection_requests(item.key, judged(item.label), item.cases) for item in sample]
        cost = self._read.plan.cost(
            requests, self._lacking_nulls(), counting_for(judge, judges=True).count
        )
        prices = prices_of(judge)
        used = Usage(
            tokens_in=cost.tokens_in, tokens_cached=cost.tokens_cached, tokens_out=cost.tokens_out
        )
        estimate = Estimate(
            calls=cost.requests, usd=prices.usd(used) if prices else None, **asdict(used)
        )
        with unit_of_work(sessions()) as session:
            self._progress.hold(session)
            retitle_step(session, self._claim, f"{self._title}: {estimate}")

    async def _measure_null(
        self, chat: Chat, cases: CaseReader, scorer: str, budget: Budget
    ) -> None:
        """Score labels on the cases of other features; a successor asks about none again."""
        pool = self._read.plan.null_pool(scorer)
        pairs = permuted([judged(label) for label in pool], key=scorer)
        known = self._permuted.get(scorer, {})
        wanted = {f"{pool[i].id}/{pool[j].id}": (pool[i], pool[j]) for i, j in pairs}
        left = [(key, *pair) for key, pair in wanted.items() if key not in known]
        for lot in _lots(left):
            prepared = cases.prepare([own for _, own, _ in lot])
            await self._ask_null(chat, scorer, list(zip(lot, prepared, strict=True)), budget)
        values = [self._permuted[scorer][key] for key in wanted if key in self._known(scorer)]
        if values:
            self._nulls[scorer] = Null(value=float(np.mean(values)), labels=len(values))
            warning = null_warning(self._nulls[scorer].value, len(values))
            self._warnings += [f"{scorer}: {warning}"] if warning else []

    def _known(self, scorer: str) -> dict[str, float]:
        return self._permuted.setdefault(scorer, {})

    async def _ask_null(
        self, chat: Chat, scorer: str, lot: Sequence[tuple[Any, Prepared]], budget: Budget
    ) -> None:
        scores: dict[str, Score] = {}

        async def one(pair: tuple[str, LabelToScore, LabelToScore], item: Prepared) -> None:
            key, _, other = pair
            if windows := cases_of(item, scorer):
                name = f"null/{key}"
                scores[key] = await ask_by_cases(chat, scorer, name, judged(other), windows)
            self._progress(self._done, len(self._work), "labels")

        try:
            await together(one(*pair) for pair in lot)
        finally:
            self._check_judge(scores.values())
            self._known(scorer).update({key: score.value for key, score in scores.items()})
            self._write([], budget)

    def _batches(self, cases: CaseReader) -> Iterator[list[tuple[Prepared, list[str]]]]:
        for lot in _lots(self._work):
            prepared = cases.prepare([label for label, _ in lot])
            yield [(item, scorers) for item, (_, scorers) in zip(prepared, lot, strict=True)]

    async def _batch(
        self, chat: Chat | None, batch: Sequence[tuple[Prepared, list[str]]], budget: Budget
    ) -> None:
        """Score a batch; what was answered before an error ends it is kept."""
        found: list[tuple[Prepared, Score]] = []

        async def one(item: Prepared, scorer: str) -> None:
            score = await score_label(
                chat, item, scorer, self._read.plan, embedder=self._read.embedder
            )
            if score is None:
                self._impossible += 1
            else:
                found.append((item, score))
            # The place where a cancelled step stops.
            self._progress(self._done, len(self._work), "labels")

        try:
            await together(one(item, scorer) for item, scorers in batch for scorer in scorers)
            self._done += len(batch)
        finally:
            self._check_judge(score for _, score in found)
            self._write([self._row(item, score) for item, score in found], budget)
        self._progress(self._done, len(self._work), "labels")

    def _check_judge(self, scores: Any) -> None:
        """Refuse what a server has answered by the model that worded the labels."""
        names = {name for score in scores for name in score.usage.models}
        for name in sorted(names):
            require_other_judge(self._read.labelers, name, allow_same=self._read.allow_same_judge)

    def _row(self, item: Prepared, score: Score) -> dict[str, Any]:
        return row_of(
            item,
            score,
            job_id=self._claim.job_id,
            run_id=self._read.run_id,
            null=self._nulls.get(score.scorer),
        )

    def _write(self, rows: Sequence[dict[str, Any]], budget: Budget) -> None:
        with unit_of_work(sessions()) as session:
            self._progress.hold(session)
            publish_scores(session, rows)
            if self._read.judge is not None:
                noted = {"null": self._permuted, "spent": asdict(budget.spent)}
                note_step(session, self._claim.step_id, noted)
        self._scores += len(rows)

    def finish(self, session: Session) -> None:
        """Say in the step's title what came of it."""
        parts = [f"{self._scores:,} new scores, {len(self._work):,} labels tried"]
        if self._read.plan.n_unseen:
            few = f"fewer than {MIN_POSITIVES} unseen examples"
            parts.append(f"{self._read.plan.n_unseen:,} had {few}")
        if self._impossible:
            parts.append(f"{self._impossible:,} scores lack windows to be made of")
        retitle_step(session, self._claim, f"{self._title}: {'; '.join([*parts, *self._warnings])}")
