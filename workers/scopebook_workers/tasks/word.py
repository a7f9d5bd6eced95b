"""Let a language model word the features of an SAE, and check what it has said."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, Final

from scopebook.db.label_tables import Labeling
from scopebook.db.sessions import sessions, unit_of_work
from scopebook.jobs import WORD_SAE
from scopebook.labeling_requests import EMBEDDER, LanguageModel
from scopebook.labelings import NAMED
from scopebook.llm_labelings import (
    FeatureOutcome,
    SenseWording,
    continue_labeling,
    counted_by_guessed,
    features_to_ask,
    note_parameters,
    publish_outcomes,
    spent_by,
)
from scopebook.steps import Claim, retitle_step
from scopebook.window_embedders import ASKED, AskedEmbedder
from scopebook_workers.claims import Finish, Progress, step_task
from scopebook_workers.labeling.llm_labels import Wording, word
from scopebook_workers.labeling.material import Material
from scopebook_workers.labeling.prompts import (
    PROMPT_VERSION,
    SYSTEM,
    likely_answer_tokens,
    request_for,
)
from scopebook_workers.llm.budget import Budget, Estimate, estimate
from scopebook_workers.llm.chat import Chat
from scopebook_workers.llm.counting import Counting
from scopebook_workers.llm.together import together
from scopebook_workers.outages import patiently, read_patiently
from scopebook_workers.prefetch import ahead
from scopebook_workers.tasks.language_models import (
    budget_of,
    counting_for,
    open_model,
    prices_of,
)
from scopebook_workers.tasks.materials import MaterialReader

#: Features whose answers are written together; a worker that is killed loses no more.
BATCH: Final = 128
#: Features from whose requests the cost of all is estimated.
_SAMPLE: Final = 64


def said(
    endpoint: str,
    model: str,
    named: list[int] | None = None,
    embedder: AskedEmbedder | None = None,
) -> dict[str, Any]:
    """Return what decides the wordings, and of which features if of some; no keys are in it.

    Whose senses are worded decides as well, if it was asked for.
    """
    return {
        **({NAMED: named} if named else {}),
        **({ASKED: asdict(embedder)} if embedder else {}),
        "endpoint": endpoint,
        "model": model,
        "prompt": PROMPT_VERSION,
        "temperature": 0.0,
        "seed": 0,
    }


@step_task(WORD_SAE)
def word_sae(claim: Claim, progress: Progress) -> Finish:
    """Ask about every eligible feature that was not asked about yet, batch by batch.

    Every batch stands in a transaction of its own, so that a lost worker's successor goes on.
    """
    llm = LanguageModel(**claim.parameters["llm"])
    asked = claim.parameters.get(EMBEDDER)
    embedder = AskedEmbedder(**asked) if asked else None
    with unit_of_work(sessions()) as session:
        progress.hold(session)
        labeling_id = continue_labeling(
            session,
            job_id=claim.job_id,
            sae_id=claim.parameters["sae_id"],
            run_id=claim.parameters["run_id"],
            model=llm.model,
            rules=SYSTEM,
            parameters=said(llm.endpoint, llm.model, claim.parameters.get(NAMED), embedder),
            embedder=embedder,
        )
    with sessions()() as session:
        labeling = session.get_one(Labeling, labeling_id)
        reader = MaterialReader(session.get_one(Labeling, labeling.base_id))
        wanted = features_to_ask(session, labeling_id, limit=llm.limit)
        spent = spent_by(session, claim.job_id)
    budget = budget_of(llm, spent)
    counting = counting_for(llm)
    guess = _guessed(reader, wanted, llm, counting)
    bill = partial(_tell_cost, claim, progress, labeling_id, guess, counting)
    bill()
    work = _Work(claim, progress, labeling_id, bill, calls=guess.calls)
    asyncio.run(work.all(ahead(_batches(reader, wanted)), llm, budget))
    return lambda session: None


def _guessed(
    reader: MaterialReader, wanted: Sequence[int], llm: LanguageModel, counting: Counting
) -> Estimate:
    """Return what asking is likely to take, by the requests of some features."""
    every = max(1, len(wanted) // _SAMPLE)
    with sessions()() as session:
        sample = reader.read(session, wanted[::every][:_SAMPLE])
    answers = [likely_answer_tokens(material) for material in sample.values()]
    return estimate(
        [request_for(str(key), material) for key, material in sample.items()],
        out_per_call=round(sum(answers) / max(1, len(answers))),
        calls=len(wanted),
        prices=prices_of(llm),
        count=counting.count,
    )


def _tell_cost(
    claim: Claim, progress: Progress, labeling_id: int, guess: Estimate, counting: Counting
) -> None:
    """Say what asking about all will take: with the labeling, and in the step's title.

    Said before the first call, and again after the first answers: what the model has counted so
    far sets the guess right.
    """
    llm = LanguageModel(**claim.parameters["llm"])
    with unit_of_work(sessions()) as session:
        progress.hold(session)
        known = counted_by_guessed(session, labeling_id, counted_by=counting.by)
        cost = guess
        if known is not None:
            cost = guess.scaled(read=known.read, written=known.written, prices=prices_of(llm))
        note_parameters(
            session,
            labeling_id,
            {"estimate": vars(cost), "guess": vars(guess), "counted_by": counting.by},
        )
        retitle_step(session, claim, f"{claim.title.split(': about ')[0]}: {cost}")


def _batches(reader: MaterialReader, wanted: Sequence[int]) -> Iterator[dict[int, Material]]:
    for start in range(0, len(wanted), BATCH):
        yield read_patiently(partial(reader.read, feature_ids=wanted[start : start + BATCH]))


class _Work:
    """Asks about batches of features and writes what comes of it."""

    def __init__(
        self,
        claim: Claim,
        progress: Progress,
        labeling_id: int,
        bill: Callable[[], None],
        *,
        calls: int,
    ) -> None:
        """`bill` says what asking takes, anew after the first batch."""
        self._claim, self._progress = claim, progress
        self._labeling_id, self._bill = labeling_id, bill
        self._calls, self._done = calls, 0

    async def all(
        self, batches: Iterator[dict[int, Material]], llm: LanguageModel, budget: Budget
    ) -> None:
        """Ask about all batches, one after the other."""
        async with open_model(llm, budget) as chat:
            for number, materials in enumerate(batches):
                await self._batch(chat, materials)
                if number == 0 and self._done < self._calls:
                    patiently(self._bill, "the cost")

    async def _batch(self, chat: Chat, materials: dict[int, Material]) -> None:
        """Ask about a batch; what was answered before an error ends it is kept."""
        worded: dict[int, Wording] = {}

        async def one(feature_id: int, material: Material) -> None:
            worded[feature_id] = await word(chat, str(feature_id), material)
            self._done += 1
            # The place where a cancelled step stops.
            self._progress(self._done, self._calls, "features")

        try:
            await together(one(*pair) for pair in materials.items())
        finally:
            outcomes = [outcome_of(key, wording) for key, wording in sorted(worded.items())]
            # Answers are paid for: a database that comes back within a lease loses none.
            patiently(partial(self._publish, outcomes), "a batch of answers")

    def _publish(self, outcomes: Sequence[FeatureOutcome]) -> None:
        with unit_of_work(sessions()) as session:
            self._progress.hold(session)
            publish_outcomes(session, self._labeling_id, outcomes)


def outcome_of(feature_id: int, wording: Wording) -> FeatureOutcome:
    """Return what the dictionary keeps of a wording."""
    return FeatureOutcome(
        feature_id=feature_id,
        status=wording.status,
        reason=wording.reason,
        wordings=[
            SenseWording(
                senses=sense.clusters,
                text=sense.label,
                description=sense.description or None,
                kind=sense.kind,
                confidence=sense.confidence,
            )
            for sense in wording.senses
        ],
        origin={
            "shown": list(wording.shown),
            "contrasts": [list(pair) for pair in wording.contrasts],
            "prompt_sha256": wording.prompt_sha256,
            "model_reported": wording.model_reported,
            "system_fingerprint": wording.system_fingerprint,
            "finish_reason": wording.finish_reason,
            "attempts": wording.attempts,
            "latency_ms": wording.latency_ms,
            "tokens_in": wording.tokens_in,
            "tokens_cached": wording.tokens_cached,
            "tokens_out": wording.tokens_out,
            "error_class": wording.error_class,
            "raw_response": wording.raw.replace("\x00", ""),
        },
    )
