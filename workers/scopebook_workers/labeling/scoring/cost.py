"""What scoring will take, before the first request."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from scopebook_workers.labeling.prompts import SHOWN_TOKENS
from scopebook_workers.labeling.scoring.asking import TOGETHER
from scopebook_workers.labeling.scoring.cases import HARD, POSITIVES, RANDOM
from scopebook_workers.labeling.scoring.intruder import DRAWS, OWN
from scopebook_workers.labeling.scoring.null import LABELS
from scopebook_workers.labeling.scoring.prompts import DETECTION, FUZZING, INTRUDER
from scopebook_workers.llm.chat import ChatRequest
from scopebook_workers.llm.tokens import estimate_tokens

#: Labels scored by fuzzing in one run.
FUZZED: Final = 500
#: Around a conversation and each of its turns, by the usual chat templates.
_TEMPLATE_TOKENS: Final = 12
#: Around the description and each passage: two lines with a random word of 12 digits.
_FENCE_TOKENS: Final = 28
#: A window is 48 tokens of the model that fired; the judge's tokenizer cuts otherwise.
_JUDGE_TOKENS: Final = 1.15
_LABEL_TOKENS: Final = 45
_ANSWER_BASE, _ANSWER_EACH = 7, 2


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Requests and tokens; `tokens_cached` of `tokens_in` are of prefixes that were sent before."""

    requests: int = 0
    tokens_in: int = 0
    tokens_cached: int = 0
    tokens_out: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            requests=self.requests + other.requests,
            tokens_in=self.tokens_in + other.tokens_in,
            tokens_cached=self.tokens_cached + other.tokens_cached,
            tokens_out=self.tokens_out + other.tokens_out,
        )

    def times(self, factor: float) -> "Cost":
        """Return the cost of so many times as much."""
        return Cost(
            requests=round(self.requests * factor),
            tokens_in=round(self.tokens_in * factor),
            tokens_cached=round(self.tokens_cached * factor),
            tokens_out=round(self.tokens_out * factor),
        )


def cost_of(
    requests: Sequence[ChatRequest], *, count: Callable[[str], int] = estimate_tokens
) -> Cost:
    """Return what these requests take; `count` tells a text's tokens."""
    prefixes = {request.messages[0].content: 0 for request in requests}
    prefixes = {text: count(text) for text in prefixes}
    total = Cost()
    for request in requests:
        prefix = prefixes[request.messages[0].content]
        own = sum(count(message.content) for message in request.messages[1:])
        total += Cost(
            requests=1,
            tokens_in=prefix + own + _TEMPLATE_TOKENS,
            tokens_cached=prefix,
            tokens_out=_answer_tokens(request),
        )
    return total


def _answer_tokens(request: ChatRequest) -> int:
    [asked] = (request.schema or {"properties": {"": {}}})["properties"].values()
    return _ANSWER_BASE + _ANSWER_EACH * int(asked.get("minItems", 0))


def estimate_scoring(
    n_labels: int,
    *,
    fuzzed: int = FUZZED,
    intruded: int = 0,
    null: int = LABELS,
    sample: Sequence[Sequence[ChatRequest]] = (),
    count: Callable[[str], int] = estimate_tokens,
) -> Cost:
    """Return about what scoring `n_labels` takes: detection of all, fuzzing and intruder of some.

    `sample` holds the detection requests of some labels: their lengths stand for all; without
    them the lengths are assumed. `null` labels are asked once more, for each of the two scorers.
    """
    by_detection, by_fuzzing = n_labels + min(null, n_labels), min(fuzzed, n_labels)
    by_fuzzing += min(null, by_fuzzing)
    each = costs_of_one(sample, count=count)
    return (
        each["detection"].times(by_detection)
        + each["fuzzing"].times(by_fuzzing)
        + each["intruder"].times(min(intruded, n_labels))
    )


def costs_of_one(
    sample: Sequence[Sequence[ChatRequest]] = (), *, count: Callable[[str], int] = estimate_tokens
) -> dict[str, Cost]:
    """Return what one label takes by detection, fuzzing and intruder; `sample` as above."""
    if sample:
        every = cost_of([request for requests in sample for request in requests], count=count)
        detection = every.times(1 / len(sample))
    else:
        detection = _assumed(count(DETECTION), (POSITIVES + RANDOM + HARD) // TOGETHER, TOGETHER)
    return {
        "detection": detection,
        "fuzzing": _assumed(count(FUZZING), POSITIVES // TOGETHER, TOGETHER),
        "intruder": _assumed(count(INTRUDER), DRAWS, OWN + 1),
    }


def _assumed(prefix: int, requests: int, windows: int) -> Cost:
    shown = windows * (SHOWN_TOKENS * _JUDGE_TOKENS + _FENCE_TOKENS)
    own = round(shown + _LABEL_TOKENS + _FENCE_TOKENS + _TEMPLATE_TOKENS)
    return Cost(
        requests=requests,
        tokens_in=requests * (prefix + own),
        tokens_cached=requests * prefix,
        tokens_out=requests * (_ANSWER_BASE + _ANSWER_EACH * windows),
    )
