"""Steering as Neuronpedia asks for it and tells it, done as ours is."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import Request
from sqlalchemy.orm import Session

from scopebook.errors import InvalidInputError
from scopebook.inference_requests import GoingOn, Prompt, Turn, TurnRole
from scopebook.inferences import InferenceView
from scopebook.neuronpedia_names import NeuronpediaNames
from scopebook.steering import Intervention, Positions, SteerRequest
from scopebook_api import neuronpedia_steer_schemas as theirs
from scopebook_api.neuronpedia_route import page_url

#: Likeliest tokens that are told of each.
_LIKELIEST: Final = 5
#: The least that a float32 holds: the logarithm of 0 is no JSON.
_LEAST: Final = 1.4e-45
#: A token that ends a turn or a text, as Qwen writes it.
_MARK: Final = re.compile(r"<\|[^|]*\|>\Z")
_ROLES: Final[dict[str, TurnRole]] = {"model": "assistant", "developer": "system"}
#: What browsers and proxies still take as an address.
_LONGEST_URL: Final = 4_000

Asked = theirs.NeuronpediaSteerRequest | theirs.NeuronpediaSteerChatRequest
Told = theirs.NeuronpediaSteered | theirs.NeuronpediaSteeredChat


def request_of(session: Session, wanted: Asked) -> SteerRequest:
    """Return what is asked for as the dictionary takes it.

    A strength of theirs is an activation: so many times the decoder row is added.

    Raises InvalidInputError for what cannot be done, NotFoundError for what is not here.
    """
    asked_for = None
    if isinstance(wanted, theirs.NeuronpediaSteerRequest):
        prompt = Prompt(text=wanted.prompt)
    else:
        prompt = _chat(wanted.steered_chat_messages)
        if wanted.default_chat_messages != wanted.steered_chat_messages:
            asked_for = _chat(wanted.default_chat_messages)
    return SteerRequest(
        interventions=_interventions(session, wanted),
        prompt=prompt,
        going_on=GoingOn(tokens=wanted.n_tokens, temperature=wanted.temperature, seed=wanted.seed),
        positions=Positions(special=wanted.steer_special_tokens),
        asked_for=asked_for,
    )


def _chat(messages: Sequence[theirs.ChatMessage]) -> Prompt:
    return Prompt(messages=[Turn(role=_role(one.role), content=one.content) for one in messages])


def _role(role: Any) -> TurnRole:
    known: TurnRole = _ROLES.get(role, role)
    return known


def _interventions(session: Session, wanted: Asked) -> list[Intervention]:
    names = NeuronpediaNames(session)
    models = {sae.model for sae in names.of_model(wanted.model_id)}
    amounts: dict[str, float] = {}
    layers: list[int] = []
    for number, one in enumerate(wanted.features, start=1):
        feature = names.feature(one.model_id, one.source, one.index)
        if feature.model not in models:
            raise InvalidInputError(
                f"Feature {number} is one of {one.model_id}, and {wanted.model_id} is to be "
                "steered; give features of the model that modelId names."
            )
        amount = one.strength * wanted.strength_multiplier
        # What is added twice is added together.
        amounts[str(feature)] = amounts.get(str(feature), 0.0) + amount
        layers.append(feature.layer)
    if wanted.steer_method == "SIMPLE_ADDITIVE":
        return [
            Intervention(feature=feature, op="add", value=amount, unit="raw")
            for feature, amount in amounts.items()
        ]
    if len(set(layers)) < len(layers):
        raise InvalidInputError(
            "ORTHOGONAL_DECOMP names several features of one layer, and here their directions "
            "are scaled together, not one after another; give one feature of each layer, or "
            "SIMPLE_ADDITIVE."
        )
    return [
        Intervention(feature=feature, op="project", value=amount)
        for feature, amount in amounts.items()
    ]


@dataclass(frozen=True)
class Telling:
    """Tells what was written for a request, in Neuronpedia's shape."""

    wanted: Asked
    id: int
    share_url: str | None

    def answer(self, variants: Sequence[dict[str, Any]]) -> Told:
        """Return the whole answer, from the variants as they are kept."""
        texts = [variant["text"][variant["begun"] :] for variant in variants]
        return self._told(texts, [_log_probs(variant["tokens"]) for variant in variants])

    def so_far(self, state: InferenceView) -> Told:
        """Return what is written by now, without likelihoods."""
        texts = ["".join(text for text, _ in row) for row in state.written]
        return self._told(texts, [None] * len(texts))

    def _told(
        self, texts: Sequence[str], likely: Sequence[list[theirs.TokenLogProb] | None]
    ) -> Told:
        about: dict[str, Any] = {
            "id": str(self.id),
            "share_url": self.share_url,
            "notes": self._notes(),
        }
        # Unsteered comes first, unless it goes on with a chat of its own, which is last.
        default, steered = (2 if len(texts) > 2 else 0), 1
        if isinstance(self.wanted, theirs.NeuronpediaSteerRequest):
            return theirs.NeuronpediaSteered(
                **about,
                DEFAULT=texts[default],
                STEERED=texts[steered],
                default_log_probs=likely[default],
                steered_log_probs=likely[steered],
            )
        chats = self.wanted.default_chat_messages, self.wanted.steered_chat_messages
        return theirs.NeuronpediaSteeredChat(
            **about,
            DEFAULT=_spoken(chats[0], texts[default], likely[default]),
            STEERED=_spoken(chats[1], texts[steered], likely[steered]),
            settings=theirs.SteerSettings(**self.wanted.model_dump()),
        )

    def _notes(self) -> list[str]:
        if not self.wanted.freq_penalty:
            return []
        return [
            f"freq_penalty {self.wanted.freq_penalty:g} is not applied: tokens are drawn by "
            "temperature alone."
        ]


def _spoken(
    messages: Sequence[theirs.ChatMessage],
    text: str,
    likely: list[theirs.TokenLogProb] | None,
) -> theirs.SteeredChat:
    said = theirs.ChatMessage(role="assistant", content=_MARK.sub("", text))
    chat = [*messages, said]
    return theirs.SteeredChat(raw=text, chatTemplate=chat, chat_template=chat, logprobs=likely)


def _log_probs(tokens: Sequence[dict[str, Any]]) -> list[theirs.TokenLogProb]:
    return [
        theirs.TokenLogProb(
            token=token["text"],
            logprob=_log(token["probability"]),
            top_logprobs=[
                theirs.LikelyToken(token=text, logprob=_log(probability))
                for text, probability in token["alternatives"][:_LIKELIEST]
            ],
        )
        for token in tokens
    ]


def _log(probability: float) -> float:
    return round(math.log(max(probability, _LEAST)), 4)


def share_url(request: Request, wanted: Asked, asked: SteerRequest) -> str | None:
    """Return the page that asks the same; None where an address cannot say it."""
    if isinstance(wanted, theirs.NeuronpediaSteerChatRequest):
        return None
    if not wanted.steer_special_tokens or wanted.seed < 0:
        return None  # of which the page knows nothing
    params = {
        "text": wanted.prompt,
        "features": ",".join(
            f"{one.feature}~{one.op}~{one.value!r}~raw" for one in asked.interventions
        ),
        "tokens": wanted.n_tokens,
        "temperature": wanted.temperature,
        "seed": wanted.seed,
    }
    url = page_url(request, f"steer?{urlencode(params)}")
    return url if len(url) <= _LONGEST_URL else None
