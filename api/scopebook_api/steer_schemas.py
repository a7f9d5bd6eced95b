"""The JSON of steering: what is to be done to which features, and what the model wrote then."""

from typing import Annotated, Literal

from pydantic import Field

from scopebook.inference_requests import GoingOn
from scopebook.steering import (
    MOST_FEATURES,
    MOST_STRENGTHS,
    Intervention,
    Op,
    Positions,
    PromptPosition,
    SteerRequest,
    Unit,
)
from scopebook_api.inspect_schemas import GoingOnRequest, PromptRequest
from scopebook_api.schemas import Schema

Number = Annotated[float, Field(allow_inf_nan=False)]


class InterventionRequest(Schema):
    """What is to be done to a feature."""

    feature: str = Field(
        description="`{model}/{layer}-{set}/{index}`.",
        examples=["Scopebook-Demo-4M-Base/2-res-w1k-l0_8/917"],
    )
    op: Op = Field(
        "add",
        description="`add`: its direction, `value` times. `set`: it fires with `value`. `min_set`: "
        "with at least that. `ablate`: it does not fire. `scale`: with `value` times itself. "
        "`project`: so much of the residual's part along its direction stays.",
    )
    value: Number | None = Field(None, description="None for `ablate`.")
    unit: Unit = Field(
        "max_act",
        description="Of `add`, `set`, `min_set`: `raw`, an activation; `max_act`, times its "
        "largest on the corpus; `resid_norm`, times the residual's mean norm.",
    )

    strength: Number = Field(
        1.0, description="What its change is multiplied by: that of its group, where it has one."
    )

    def intervention(self) -> Intervention:
        """Return it as the dictionary takes it."""
        return Intervention(**self.model_dump())


class PositionsRequest(Schema):
    """Which tokens are steered; the last of the prompt decides what is written first."""

    prompt: PromptPosition = "all"
    written: bool = True
    special: bool = Field(True, description="Also tokens that stand for no text.")


class SteerAskRequest(PromptRequest):
    """A text that the model goes on with unsteered and steered."""

    interventions: list[InterventionRequest] = Field(min_length=1, max_length=MOST_FEATURES)
    go_on: GoingOnRequest = GoingOnRequest(tokens=40)
    positions: PositionsRequest = PositionsRequest()
    strengths: list[Number] = Field(
        default=[1.0],
        min_length=1,
        max_length=MOST_STRENGTHS,
        description="What all changes are multiplied by, a variant for each: 0 does nothing.",
    )
    asked_for: PromptRequest | None = Field(
        None, description="A prompt that asks for the same in words, written unsteered beside."
    )

    def wanted(self) -> SteerRequest:
        """Return it as the dictionary takes it."""
        return SteerRequest(
            interventions=[one.intervention() for one in self.interventions],
            prompt=self.prompt(),
            going_on=GoingOn(**self.go_on.model_dump()),
            positions=Positions(**self.positions.model_dump()),
            strengths=self.strengths,
            asked_for=None if self.asked_for is None else self.asked_for.prompt(),
        )


class WrittenTokenRead(Schema):
    """A token that the model has written."""

    text: str
    probability: float
    alternatives: list[tuple[str, float]] = Field(
        description="The likeliest tokens there with their probabilities."
    )


class SteeredVariantRead(Schema):
    """What the model wrote one way."""

    kind: Literal["unsteered", "steered", "asked"]
    strength: float | None = Field(description="What the interventions were multiplied by.")
    text: str = Field(description="The prompt with what is written.")
    begun: int = Field(description="The character at which the model began.")
    tokens: list[WrittenTokenRead]
    means: list[float] = Field(
        description="Of each intervention's feature: its mean activation over what is written, "
        "read by the unsteered model."
    )
    distinct: float = Field(description="Share of the written tokens that are different ones.")
    divergence: float | None = Field(
        description="How far steering moves the model on texts of the corpus, with every token "
        "steered: mean KL of the next token, in nats. Null: nothing was collected, or the variant "
        "is unsteered."
    )


class AppliedRead(Schema):
    """An intervention in absolute numbers, at a strength of 1."""

    feature: str
    op: Op
    value: float = Field(description="An activation, or the factor of `scale` and `project`.")
    share_of_norm: float | None = Field(
        description="Of `add`: the length of what is added over the residual's mean norm there."
    )


class SteeringRead(Schema):
    """What the model wrote unsteered and steered, and what steering moved."""

    id: int
    variants: list[SteeredVariantRead]
    interventions: list[AppliedRead]
    norms: dict[str, float] = Field(
        description="Of each layer: the mean norm of the residual on texts of the corpus."
    )
    neutral_tokens: int = Field(description="Tokens that norms and divergence are measured on.")
    caution: str | None = Field(description="The release's own words on how it may be used.")


class SteerProgressRead(Schema):
    """How far a request is."""

    id: int
    state: Literal["queued", "loading", "running", "done", "failed", "cancelled"]
    ahead: int
    written: list[list[tuple[str, float]]] = Field(
        description="Of each variant: text and probability of each token by now."
    )
