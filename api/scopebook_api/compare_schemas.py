"""The JSON of comparisons: two sides, and the features that differ."""

from typing import Literal

from pydantic import Field

from scopebook.comparing import Comparison, Difference, SideView
from scopebook.inference_requests import MOST_TEXTS, Place
from scopebook_api.inspect_schemas import (
    FeatureBrief,
    LayersAsked,
    ModelAsked,
    PromptRequest,
    TokenRead,
    brief,
)
from scopebook_api.schemas import Schema


class CompareRequest(Schema):
    """Two texts, or two sets of texts, to be compared."""

    model: ModelAsked
    layers: LayersAsked = None
    a: list[PromptRequest] = Field(min_length=1, max_length=MOST_TEXTS)
    b: list[PromptRequest] = Field(min_length=1, max_length=MOST_TEXTS)

    def place(self) -> Place:
        """Return the release and layers that are asked for."""
        return Place(model=self.model, layers=self.layers)


class SideRead(Schema):
    """A side: how much of it was compared, and one of its texts."""

    texts: int
    compared: int = Field(description="Tokens that were compared.")
    text: str
    pieces: list[str]
    tokens: list[TokenRead]
    left_out: list[bool] = Field(description="For each token whether it was left out as shared.")


class SideOfFeatureRead(Schema):
    """A feature on one side."""

    rate: float = Field(description="Share of the compared tokens that fire it.")
    mean: float = Field(description="Mean activation over the compared tokens.")
    max: float
    texts: int = Field(description="Texts in which it fires.")
    tokens: list[int] = Field(description="Where it fires in the text that is shown.")
    activations: list[float]


class DifferenceRead(Schema):
    """A feature and how it differs."""

    feature: int = Field(description="Its place in `features`.")
    more_in: Literal["a", "b"]
    a: SideOfFeatureRead
    b: SideOfFeatureRead
    effect: float = Field(
        description="Above 0: more in b. Of two texts, the difference of the means in standard "
        "deviations of a token's activation (Cohen's d); of sets, the rank-biserial correlation "
        "of the texts' means, -1 to 1."
    )
    p: float | None = Field(description="Two-sided; null for two texts, which allow no test.")
    q: float | None = Field(
        description="The false discovery rate among all features (Benjamini-Hochberg)."
    )


class ComparisonRead(Schema):
    """Two sides and the features that differ, in the order that was asked for."""

    id: int = Field(description="To look at the same texts another way, for an hour.")
    release: str
    a: SideRead
    b: SideRead
    test: Literal["permutation", "mann-whitney"] | None
    features: list[FeatureBrief]
    differences: list[DifferenceRead]
    firing: int = Field(description="How many features fire.")
    hidden: int = Field(description="How many of them are not compared.")


def comparison_read(inference_id: int, release: str, seen: Comparison) -> ComparisonRead:
    """Return what is sent of a comparison."""
    place = {feature_id: number for number, feature_id in enumerate(seen.features)}
    return ComparisonRead(
        id=inference_id,
        release=release,
        a=_side(seen.a),
        b=_side(seen.b),
        test=seen.test,
        features=[brief(view) for view in seen.features.values()],
        differences=[_difference(one, place[one.feature_id]) for one in seen.differences],
        firing=seen.firing,
        hidden=seen.hidden,
    )


def _side(side: SideView) -> SideRead:
    return SideRead.model_validate(side)


def _difference(one: Difference, place: int) -> DifferenceRead:
    return DifferenceRead(
        feature=place,
        more_in=one.more_in,
        a=SideOfFeatureRead.model_validate(one.a),
        b=SideOfFeatureRead.model_validate(one.b),
        effect=one.effect,
        p=one.p,
        q=one.q,
    )
