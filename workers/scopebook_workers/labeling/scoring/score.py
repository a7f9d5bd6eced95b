"""A measured quality of a label, with all counts it was made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from scopebook.errors import InvalidInputError
from scopebook_workers.labeling.scoring.cases import Case, held_out_sha256
from scopebook_workers.labeling.scoring.metrics import Confusion


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What asking took."""

    requests: int = 0
    failed_requests: int = 0
    tokens_in: int = 0
    tokens_cached: int = 0
    tokens_out: int = 0
    #: The models that answered, as their servers name them; more than one tells of a change.
    models: tuple[str, ...] = ()

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            requests=self.requests + other.requests,
            failed_requests=self.failed_requests + other.failed_requests,
            tokens_in=self.tokens_in + other.tokens_in,
            tokens_cached=self.tokens_cached + other.tokens_cached,
            tokens_out=self.tokens_out + other.tokens_out,
            models=tuple(sorted({*self.models, *other.models})),
        )


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a scorer found of one label; a failed answer counts as a wrong one."""

    scorer: str
    scorer_version: str
    n_pos: int
    n_neg_random: int
    n_neg_hard: int
    #: Cases without a readable answer; they are in `fp` and `fn`.
    n_failed: int
    tp: int
    fp: int
    tn: int
    fn: int
    #: Balanced accuracy, unless the scorer says otherwise.
    value: float
    ci_low: float
    ci_high: float
    f1: float
    f1_low: float
    f1_high: float
    held_out_sha256: str
    #: What the scorer gives a label of another feature; the run fills it in.
    null_value: float | None = None
    model_requested: str | None = None
    model_reported: str | None = None
    usage: Usage = field(default_factory=Usage)
    #: Further figures of this scorer, by name.
    details: Mapping[str, float] = field(default_factory=dict)

    def with_null(self, null_value: float) -> "Score":
        """Return the score beside its null."""
        return replace(self, null_value=null_value)


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """What a judge says of each case: 1 it fits, 0 it does not, -1 no readable answer."""

    said: NDArray[np.int8]
    usage: Usage = field(default_factory=Usage)
    model_requested: str | None = None

    @property
    def n_failed(self) -> int:
        """Return how many have no answer."""
        return int((self.said < 0).sum())

    def as_answers(self, cases: Sequence[Case]) -> list[bool]:
        """Return yes or no for each case; a failed one is turned into the wrong answer."""
        return [
            bool(said) if said >= 0 else not case.fires
            for said, case in zip(self.said.tolist(), cases, strict=True)
        ]


def require_both_kinds(key: str, cases: Sequence[Case]) -> None:
    """Refuse cases that hold no positive or no negative: nothing can be told from them."""
    n_pos = sum(case.fires for case in cases)
    if n_pos == 0 or n_pos == len(cases):
        kind = "negative" if n_pos else "positive"
        raise InvalidInputError(
            f"The label {key} cannot be scored: its held-out set has no {kind} among "
            f"{len(cases)} windows; collect more text, or leave it unscored."
        )


def score_of(
    predictions: Predictions,
    cases: Sequence[Case],
    *,
    scorer: str,
    version: str,
    details: Mapping[str, float] | None = None,
) -> Score:
    """Return the balanced accuracy and F1 of the answers."""
    truth = [case.fires for case in cases]
    confusion = Confusion.of(truth, predictions.as_answers(cases))
    low, high = confusion.balanced_interval()
    f1_low, f1_high = confusion.f1_interval()
    return Score(
        scorer=scorer,
        scorer_version=version,
        n_pos=sum(truth),
        n_neg_random=sum(not case.fires and not case.hard for case in cases),
        n_neg_hard=sum(not case.fires and case.hard for case in cases),
        n_failed=predictions.n_failed,
        tp=confusion.tp,
        fp=confusion.fp,
        tn=confusion.tn,
        fn=confusion.fn,
        value=confusion.balanced_accuracy,
        ci_low=low,
        ci_high=high,
        f1=confusion.f1,
        f1_low=f1_low,
        f1_high=f1_high,
        held_out_sha256=held_out_sha256(cases),
        model_requested=predictions.model_requested,
        model_reported=", ".join(predictions.usage.models) or None,
        usage=predictions.usage,
        details=dict(details or {}),
    )
