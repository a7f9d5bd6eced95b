"""The JSON of texts that are run live: what is asked, how far it is, and what fires where."""

from typing import Annotated, Any, Literal

from pydantic import Field

from scopebook.inference_requests import (
    MOST_WRITTEN,
    GoingOn,
    Place,
    Prompt,
    Turn,
    TurnRole,
)
from scopebook.inspecting import Inspection
from scopebook_api.schemas import LabelSource, LabelStatus, Schema

InferenceState = Literal["queued", "loading", "running", "done", "failed", "cancelled"]


class TurnRequest(Schema):
    """What somebody says in a chat."""

    role: TurnRole
    content: str


class PromptRequest(Schema):
    """A text as it is, or a chat that the model's own template turns into one."""

    text: str | None = Field(None, description="Run as it is.", examples=["The river Rhine"])
    messages: list[TurnRequest] = Field(
        default_factory=list, description="Instead of `text`: the turns of a chat."
    )
    thinking: bool | None = Field(
        None, description="Whether the model may think first, where its template knows of it."
    )

    def prompt(self) -> Prompt:
        """Return it as the dictionary takes it."""
        turns = [Turn(role=turn.role, content=turn.content) for turn in self.messages]
        return Prompt(text=self.text, messages=turns, thinking=self.thinking)


class GoingOnRequest(Schema):
    """How the model goes on with the text."""

    tokens: int = Field(ge=1, le=MOST_WRITTEN)
    temperature: float = Field(0.0, ge=0, le=10, description="0: always the likeliest token.")
    seed: int = Field(0, ge=0, lt=2**63)


ModelAsked = Annotated[
    str,
    Field(
        description="A release, or a model that has one release here.",
        examples=["Scopebook-Demo-4M-Base"],
    ),
]
LayersAsked = Annotated[
    list[int] | None, Field(description="Null: all that have an SAE with weights here.")
]


class InspectRequest(PromptRequest):
    """A text to be run through a model and its SAEs."""

    model: ModelAsked
    layers: LayersAsked = None
    go_on: GoingOnRequest | None = Field(
        None, description="Let the model go on with the text, and look at that too."
    )

    def place(self) -> Place:
        """Return the release and layers that are asked for."""
        return Place(model=self.model, layers=self.layers)

    def going_on(self) -> GoingOn | None:
        """Return how the model is to go on."""
        return None if self.go_on is None else GoingOn(**self.go_on.model_dump())


class InferenceRead(Schema):
    """How far a request is."""

    id: int
    state: InferenceState
    ahead: int = Field(description="How many requests come before it in the queue.")
    written: list[tuple[str, float]] = Field(
        description="What the model has written by now: text and probability of each token."
    )


class FeatureBrief(Schema):
    """A feature in a few words."""

    id: str = Field(
        description="`{model}/{layer}-{set}/{index}`.",
        examples=["Scopebook-Demo-4M-Base/2-res-w1k-l0_8/917"],
    )
    layer: int
    index: int
    label: str | None
    source: LabelSource | None = Field(description="Where the label's wording comes from.")
    status: LabelStatus | None
    flags: list[str]
    density: float | None = Field(description="Share of the corpus's tokens that fire it.")
    max_activation: float | None = Field(description="Its largest activation on the corpus.")


class TokenRead(Schema):
    """A token of the text."""

    token_id: int
    piece: int = Field(
        description="Its piece of the text; tokens that share a character share a piece."
    )
    start: int = Field(description="Its first character in the text, widened to whole glyphs.")
    end: int = Field(description="The one after its last.")
    special: bool = Field(description="Whether it stands for no text.")
    written: bool = Field(description="Whether the model has written it.")
    sinks: list[int] = Field(description="Layers in which it is an activation sink.")


class FiringRead(Schema):
    """A feature that fires in the text."""

    feature: int = Field(description="Its place in `features`.")
    max: float = Field(description="Its largest activation.")
    peak: int = Field(description="The token of that.")
    mean: float = Field(description="Over the tokens that fire it.")
    count: int = Field(description="Tokens that fire it.")
    surprise: float | None = Field(
        description="`max` in units of what 99 % of its activations on the corpus stay below."
    )
    tokens: list[int]
    activations: list[float] = Field(description="One for each of `tokens`.")


class InspectionRead(Schema):
    """What fires in a text.

    The first token and activation sinks are left out, and features that are dense, tell a position
    or are registers, unless `everything` was asked for.
    """

    id: int = Field(description="To look at the same text another way, for an hour.")
    release: str
    text: str
    pieces: list[str] = Field(description="The text in pieces; a token names its own.")
    tokens: list[TokenRead]
    features: list[FeatureBrief]
    firings: list[FiringRead] = Field(description="In the order that was asked for.")
    strongest: list[list[tuple[int, float]]] = Field(
        description="For each token its strongest features: place in `features`, activation."
    )
    firing: int = Field(description="How many features fire.")
    hidden: int = Field(description="How many of them are not shown.")


def inspection_read(inference_id: int, release: str, seen: Inspection) -> InspectionRead:
    """Return what is sent of an inspection."""
    place = {feature_id: number for number, feature_id in enumerate(seen.features)}
    return InspectionRead(
        id=inference_id,
        release=release,
        text=seen.text,
        pieces=seen.pieces,
        tokens=[TokenRead.model_validate(token) for token in seen.tokens],
        features=[brief(view) for view in seen.features.values()],
        firings=[
            FiringRead(
                feature=place[firing.feature_id],
                max=firing.max,
                peak=firing.peak,
                mean=firing.mean,
                count=firing.count,
                surprise=firing.surprise,
                tokens=firing.tokens,
                activations=firing.activations,
            )
            for firing in seen.firings
        ],
        strongest=[
            [(place[feature_id], activation) for feature_id, activation in of_token]
            for of_token in seen.per_token
        ],
        firing=seen.firing,
        hidden=seen.hidden,
    )


def brief(view: Any) -> FeatureBrief:
    """Return a feature of a list in a few words."""
    return FeatureBrief(
        id=view.id,
        layer=view.layer,
        index=view.index,
        label=view.label.text if view.label else None,
        source=view.label.source if view.label else None,
        status=view.label.status if view.label else None,
        flags=view.flags,
        density=view.density,
        max_activation=view.max_activation,
    )
