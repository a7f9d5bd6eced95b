"""What the API answers of steers; written by `make openapi`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict

if TYPE_CHECKING:
    from scopebook.client.types.inspect import GoingOnRequest, PromptRequest, TurnRequest


class AppliedRead(TypedDict):
    """An intervention in absolute numbers, at a strength of 1."""

    feature: str
    op: Literal["add", "set", "min_set", "ablate", "scale", "project"]
    value: float
    share_of_norm: float | None


class InterventionRequest(TypedDict):
    """What is to be done to a feature."""

    feature: str
    op: NotRequired[Literal["add", "set", "min_set", "ablate", "scale", "project"]]
    value: NotRequired[float | None]
    unit: NotRequired[Literal["raw", "max_act", "resid_norm"]]
    strength: NotRequired[float]


class PositionsRequest(TypedDict):
    """Which tokens are steered; the last of the prompt decides what is written first."""

    prompt: NotRequired[Literal["all", "last", "none"]]
    written: NotRequired[bool]
    special: NotRequired[bool]


class SteerAskRequest(TypedDict):
    """A text that the model goes on with unsteered and steered."""

    text: NotRequired[str | None]
    messages: NotRequired[list[TurnRequest]]
    thinking: NotRequired[bool | None]
    interventions: list[InterventionRequest]
    go_on: NotRequired[GoingOnRequest]
    positions: NotRequired[PositionsRequest]
    strengths: NotRequired[list[float]]
    asked_for: NotRequired[PromptRequest | None]


class SteeredVariantRead(TypedDict):
    """What the model wrote one way."""

    kind: Literal["unsteered", "steered", "asked"]
    strength: float | None
    text: str
    begun: int
    tokens: list[WrittenTokenRead]
    means: list[float]
    distinct: float
    divergence: float | None


class SteeringRead(TypedDict):
    """What the model wrote unsteered and steered, and what steering moved."""

    id: int
    variants: list[SteeredVariantRead]
    interventions: list[AppliedRead]
    norms: dict[str, float]
    neutral_tokens: int
    caution: str | None


class WrittenTokenRead(TypedDict):
    """A token that the model has written."""

    text: str
    probability: float
    alternatives: list[list[Any]]
