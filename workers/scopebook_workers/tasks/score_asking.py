"""Score one label by the scorers that are left, and make rows of the scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scopebook.errors import InvalidInputError
from scopebook.label_scores import EMBEDDING, LabelToScore
from scopebook_workers.labeling.scoring.cases import Case, JudgedLabel, seed_of
from scopebook_workers.labeling.scoring.detection import score_detection
from scopebook_workers.labeling.scoring.embedding import score_embedding
from scopebook_workers.labeling.scoring.fuzzing import fuzzing_cases, score_fuzzing
from scopebook_workers.labeling.scoring.intruder import draws_of, score_intruder
from scopebook_workers.labeling.scoring.score import Score
from scopebook_workers.labeling.scoring.union import score_union
from scopebook_workers.llm.chat import Chat
from scopebook_workers.tasks.score_cases import Prepared, judged
from scopebook_workers.tasks.score_plan import Plan

#: So many labels are drawn at once, of which those of other features that differ are taken.
_DRAWN = 50


@dataclass(frozen=True, kw_only=True)
class Null:
    """What a scorer gives labels of other features, and how many labels said so."""

    value: float
    labels: int


def cases_of(item: Prepared, scorer: str) -> Sequence[Case]:
    """Return the cases of a scorer; none where not both kinds are there."""
    if not item.has_both_kinds:
        return ()
    if scorer != "fuzzing":
        return item.cases
    cases = fuzzing_cases(item.positives, key=item.key)
    return cases if len({case.fires for case in cases}) == 2 else ()


async def ask_by_cases(
    chat: Chat, scorer: str, key: str, label: JudgedLabel, cases: Sequence[Case]
) -> Score:
    """Return the score by detection or by fuzzing."""
    score = score_fuzzing if scorer == "fuzzing" else score_detection
    return await score(chat, key, label, cases)


async def score_label(
    chat: Chat | None, item: Prepared, scorer: str, plan: Plan, *, embedder: str
) -> Score | None:
    """Return a label's score; None where its windows do not allow one."""
    if scorer == "intruder":
        return await _by_intruder(_required(chat), item)
    cases = cases_of(item, scorer)
    if not cases:
        return None
    if scorer == EMBEDDING:
        return score_embedding(_name(item), item.vector, item.windows, cases, embedder=embedder)
    if scorer == "union":
        return await _by_union(_required(chat), item, cases, plan)
    return await ask_by_cases(_required(chat), scorer, _name(item), judged(item.label), cases)


def _required(chat: Chat | None) -> Chat:
    if chat is None:
        raise InvalidInputError("Without a judge only vectors can be compared; name one.")
    return chat


def _name(item: Prepared) -> str:
    return f"label/{item.label.id}"


async def _by_intruder(chat: Chat, item: Prepared) -> Score | None:
    try:
        draws = draws_of(item.own, item.strangers, key=item.key)
    except InvalidInputError:  # too few examples that differ
        return None
    return await score_intruder(chat, _name(item), draws)


async def _by_union(chat: Chat, item: Prepared, cases: Sequence[Case], plan: Plan) -> Score | None:
    senses = plan.senses[item.label.feature_id]
    shuffled = _shuffled(item, senses, plan.single)
    if len(shuffled) < len(senses):
        return None
    return await score_union(
        chat,
        _name(item),
        single=judged(item.label),
        senses=[judged(label) for label in senses],
        shuffled=shuffled,
        cases=cases,
    )


def _shuffled(
    item: Prepared, senses: Sequence[LabelToScore], pool: Sequence[LabelToScore]
) -> list[JudgedLabel]:
    """Return as many labels of other features as there are senses, none like another."""
    rng = np.random.default_rng(seed_of("union", item.key))
    drawn = rng.choice(len(pool), min(_DRAWN, len(pool)), replace=False).tolist()
    found: dict[str, JudgedLabel] = {}
    own = {judged(label).wording() for label in senses}
    for label in (pool[place] for place in drawn):
        said = judged(label)
        if label.feature_id != item.label.feature_id and said.wording() not in own:
            found.setdefault(said.wording(), said)
    return list(found.values())[: len(senses)]


def row_of(
    item: Prepared, score: Score, *, job_id: int, run_id: int, null: Null | None
) -> dict[str, Any]:
    """Return a score as columns of `LabelScore`."""
    return {
        "label_id": item.label.id,
        "job_id": job_id,
        "scorer": score.scorer,
        "scorer_version": score.scorer_version,
        "judge": score.model_reported or score.model_requested or "",
        "n_pos": score.n_pos,
        "n_neg_random": score.n_neg_random,
        "n_neg_hard": score.n_neg_hard,
        "n_failed": score.n_failed,
        "tp": score.tp,
        "fp": score.fp,
        "tn": score.tn,
        "fn": score.fn,
        "value": score.value,
        "ci_low": score.ci_low,
        "ci_high": score.ci_high,
        "null_value": null.value if null else score.null_value,
        "f1": score.f1,
        "held_out_sha256": bytes.fromhex(score.held_out_sha256),
        "tokens_in": score.usage.tokens_in,
        "tokens_out": score.usage.tokens_out,
        "details": {
            **score.details,
            "asked": score.model_requested,
            "run": run_id,
            "f1_low": score.f1_low,
            "f1_high": score.f1_high,
            "requests": score.usage.requests,
            "failed_requests": score.usage.failed_requests,
            "tokens_cached": score.usage.tokens_cached,
            "null_labels": null.labels if null else 0,
            "shortage": item.shortage,
        },
    }
