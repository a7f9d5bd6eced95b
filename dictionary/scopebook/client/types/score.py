"""What the API answers of scores; written by `make openapi`."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict


class JudgeRequest(TypedDict):
    """Which language model judges the labels, and what that may take."""

    endpoint: str
    model: str
    parallel: NotRequired[int | None]
    budget_tokens: NotRequired[int | None]
    budget_usd: NotRequired[float | None]
    price_in: NotRequired[float | None]
    price_cached: NotRequired[float | None]
    price_out: NotRequired[float | None]


class ScoreRequest(TypedDict):
    """Which labels are to be scored, and how."""

    release: str
    layers: NotRequired[list[int] | None]
    judge: NotRequired[JudgeRequest | None]
    scorers: NotRequired[
        list[Literal["embedding", "detection", "fuzzing", "union", "intruder"]] | None
    ]
    sample: NotRequired[int | None]
    source: NotRequired[Literal["keywords", "llm"] | None]
    same_judge: NotRequired[bool]
