"""The JSON of steering in Neuronpedia's shapes."""

from typing import Annotated, Literal

from pydantic import Field

from scopebook.inference_requests import MOST_WRITTEN
from scopebook.steering import MOST_FEATURES
from scopebook_api.neuronpedia_schemas import FeatureNamed, Nothing, Shape

_Name = Annotated[str, Field(max_length=1_000)]
_Text = Annotated[str, Field(max_length=1_000_000)]
_Number = Annotated[float, Field(allow_inf_nan=False)]
SteerMethod = Literal["SIMPLE_ADDITIVE", "ORTHOGONAL_DECOMP"]


class SteeredFeature(FeatureNamed):
    """A feature, and how much of its direction is added."""

    strength: _Number = Field(description="Times `strength_multiplier`: times its decoder row.")


class _Steering(Shape):
    """What both kinds of requests say."""

    model_id: _Name
    features: list[SteeredFeature] = Field(min_length=1, max_length=MOST_FEATURES)
    temperature: float = Field(ge=0, le=10, description="0: always the likeliest token.")
    n_tokens: int = Field(ge=1, le=MOST_WRITTEN, alias="n_tokens")
    freq_penalty: _Number | None = Field(
        None, alias="freq_penalty", description="Not applied, as there; `notes` says so."
    )
    seed: int = Field(ge=-(2**62), lt=2**63)
    strength_multiplier: _Number = Field(alias="strength_multiplier")
    steer_special_tokens: bool = Field(
        True, alias="steer_special_tokens", description="Also tokens that stand for no text."
    )
    stream: bool = Field(
        False, description="Answer with server-sent events, each the whole answer as it is by then."
    )
    steer_method: SteerMethod = Field(
        "SIMPLE_ADDITIVE",
        alias="steer_method",
        description="`ORTHOGONAL_DECOMP`: so much of the residual's part along the direction stays "
        "as the strength says; one feature of a layer.",
    )


class NeuronpediaSteerRequest(_Steering):
    """A text that a model goes on with unsteered and steered."""

    prompt: _Text


class ChatMessage(Shape):
    """What somebody says in a chat; `model` is `assistant`, `developer` is `system`."""

    role: Literal["user", "assistant", "system", "model", "developer"]
    content: str


class NeuronpediaSteerChatRequest(_Steering):
    """Chats that a model goes on with, one unsteered and one steered."""

    default_chat_messages: list[ChatMessage] = Field(min_length=1, max_length=1_000)
    steered_chat_messages: list[ChatMessage] = Field(min_length=1, max_length=1_000)
    axes: list[_Name] = Field(
        default_factory=list, max_length=0, description="Scopebook has no readouts."
    )
    is_assistant_axis: Literal[False] = Field(False, description="Scopebook has no readouts.")


class LikelyToken(Shape):
    """A token that might have come."""

    token: str
    logprob: float


class TokenLogProb(LikelyToken):
    """A token that was written, and the likeliest there."""

    top_logprobs: list[LikelyToken]


class _Steered(Shape):
    """What both kinds of answers say."""

    id: str = Field(description="A request's number, kept for an hour: `GET /api/steer/{id}`.")
    share_url: str | None
    limit: Nothing = None
    notes: list[str] = Field(description="What of the request is not done as it says.")


class NeuronpediaSteered(_Steered):
    """What the model wrote after the prompt; likelihoods are in the last event of a stream."""

    steered: str = Field(alias="STEERED")
    default: str = Field(alias="DEFAULT", description="Unsteered.")
    steered_log_probs: list[TokenLogProb] | None
    default_log_probs: list[TokenLogProb] | None


class SteeredChat(Shape):
    """A chat with what the model said last."""

    raw: str = Field(description="What was written, with the mark at its end.")
    chat: list[ChatMessage] = Field(alias="chatTemplate")
    documented: list[ChatMessage] = Field(
        alias="chat_template", description="The same, by the name that its API's page gives."
    )
    logprobs: list[TokenLogProb] | None


class SteerSettings(Shape):
    """How it was written."""

    temperature: float
    n_tokens: int = Field(alias="n_tokens")
    freq_penalty: float | None = Field(alias="freq_penalty")
    seed: int
    strength_multiplier: float = Field(alias="strength_multiplier")
    steer_special_tokens: bool = Field(alias="steer_special_tokens")
    steer_method: SteerMethod = Field(alias="steer_method")


class NeuronpediaSteeredChat(_Steered):
    """What the model said unsteered and steered."""

    steered: SteeredChat = Field(alias="STEERED")
    default: SteeredChat = Field(alias="DEFAULT", description="Unsteered.")
    settings: SteerSettings
