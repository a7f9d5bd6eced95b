"""What the API answers of inspects; written by `make openapi`."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict


class FeatureBrief(TypedDict):
    """A feature in a few words."""

    id: str
    layer: int
    index: int
    label: str | None
    source: Literal["keywords", "llm", "person", "import"] | None
    status: Literal["ok", "suspect"] | None
    flags: list[str]
    density: float | None
    max_activation: float | None


class FiringRead(TypedDict):
    """A feature that fires in the text."""

    feature: int
    max: float
    peak: int
    mean: float
    count: int
    surprise: float | None
    tokens: list[int]
    activations: list[float]


class GoingOnRequest(TypedDict):
    """How the model goes on with the text."""

    tokens: int
    temperature: NotRequired[float]
    seed: NotRequired[int]


class InspectRequest(TypedDict):
    """A text to be run through a model and its SAEs."""

    text: NotRequired[str | None]
    messages: NotRequired[list[TurnRequest]]
    thinking: NotRequired[bool | None]
    model: str
    layers: NotRequired[list[int] | None]
    go_on: NotRequired[GoingOnRequest | None]


class InspectionRead(TypedDict):
    """What fires in a text."""

    id: int
    release: str
    text: str
    pieces: list[str]
    tokens: list[TokenRead]
    features: list[FeatureBrief]
    firings: list[FiringRead]
    strongest: list[list[list[Any]]]
    firing: int
    hidden: int


class PromptRequest(TypedDict):
    """A text as it is, or a chat that the model's own template turns into one."""

    text: NotRequired[str | None]
    messages: NotRequired[list[TurnRequest]]
    thinking: NotRequired[bool | None]


class TokenRead(TypedDict):
    """A token of the text."""

    token_id: int
    piece: int
    start: int
    end: int
    special: bool
    written: bool
    sinks: list[int]


class TurnRequest(TypedDict):
    """What somebody says in a chat."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
