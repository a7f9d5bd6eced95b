"""What the API answers of compares; written by `make openapi`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NotRequired, TypedDict

if TYPE_CHECKING:
    from scopebook.client.types.inspect import FeatureBrief, PromptRequest, TokenRead


class CompareRequest(TypedDict):
    """Two texts, or two sets of texts, to be compared."""

    model: str
    layers: NotRequired[list[int] | None]
    a: list[PromptRequest]
    b: list[PromptRequest]


class ComparisonRead(TypedDict):
    """Two sides and the features that differ, in the order that was asked for."""

    id: int
    release: str
    a: SideRead
    b: SideRead
    test: Literal["permutation", "mann-whitney"] | None
    features: list[FeatureBrief]
    differences: list[DifferenceRead]
    firing: int
    hidden: int


class DifferenceRead(TypedDict):
    """A feature and how it differs."""

    feature: int
    more_in: Literal["a", "b"]
    a: SideOfFeatureRead
    b: SideOfFeatureRead
    effect: float
    p: float | None
    q: float | None


class SideOfFeatureRead(TypedDict):
    """A feature on one side."""

    rate: float
    mean: float
    max: float
    texts: int
    tokens: list[int]
    activations: list[float]


class SideRead(TypedDict):
    """A side: how much of it was compared, and one of its texts."""

    texts: int
    compared: int
    text: str
    pieces: list[str]
    tokens: list[TokenRead]
    left_out: list[bool]
