"""Run texts through a model now, and look at what fires in them."""

from collections.abc import Sequence
from typing import Any, Final, Literal, cast

from scopebook.client.transport import Transport
from scopebook.client.types.compare import ComparisonRead
from scopebook.client.types.inspect import (
    GoingOnRequest,
    InspectionRead,
    PromptRequest,
    TurnRequest,
)
from scopebook.client.types.steer import InterventionRequest, PositionsRequest, SteeringRead

Order = Literal["activation", "total", "surprise", "rarity"]
Measure = Literal["effect", "rate", "mean", "max"]
Shared = Literal["prefix", "tokens"]
Side = Literal["a", "b"]

#: An instance lets nobody wait longer, unless it is set to.
WAIT_S: Final = 150.0


class Live(Transport):
    """What a model does with a text, while one waits; anybody may ask."""

    def inspect(
        self,
        model: str,
        text: str | None = None,
        *,
        messages: Sequence[TurnRequest] | None = None,
        thinking: bool | None = None,
        layers: Sequence[int] | None = None,
        go_on: GoingOnRequest | None = None,
        sort: Order | None = None,
        everything: bool | None = None,
        limit: int | None = None,
        per_token: int | None = None,
    ) -> InspectionRead:
        """Return which features fire in a text, or in a chat, and where.

        `model` is a release, or a model with one release. `go_on` lets the model go on with it.
        """
        body: dict[str, Any] = {
            "model": model,
            "text": text,
            "messages": list(messages or ()),
            "thinking": thinking,
            "layers": None if layers is None else list(layers),
            "go_on": go_on,
        }
        params = {"sort": sort, "everything": everything, "limit": limit, "per_token": per_token}
        answer = self._send("POST", "/inspect", body, params=params, timeout_s=WAIT_S)
        return cast(InspectionRead, answer)

    def inspection(
        self,
        inspection_id: int,
        *,
        layers: Sequence[int] | None = None,
        sort: Order | None = None,
        everything: bool | None = None,
        limit: int | None = None,
        per_token: int | None = None,
        features: Sequence[str] | None = None,
    ) -> InspectionRead:
        """Look at a text that was run within the hour another way: nothing is run again."""
        params = {
            "layer": None if layers is None else list(layers),
            "sort": sort,
            "everything": everything,
            "limit": limit,
            "per_token": per_token,
            "feature": None if features is None else list(features),
        }
        return cast(InspectionRead, self._get(f"/inspect/{inspection_id}", params))

    def cancel_inspection(self, inspection_id: int) -> None:
        """End a request that runs; one that is over stays what it is."""
        self._send("DELETE", f"/inspect/{inspection_id}")

    def compare(
        self,
        model: str,
        a: Sequence[PromptRequest | str],
        b: Sequence[PromptRequest | str],
        *,
        layers: Sequence[int] | None = None,
        sort: Measure | None = None,
        everything: bool | None = None,
        leave_out: Sequence[Shared] = ("prefix",),
        more_in: Side | None = None,
        limit: int | None = None,
    ) -> ComparisonRead:
        """Return in which features two sets of texts differ, or two texts.

        `leave_out` names what both sides share and is not compared.
        """
        body = {
            "model": model,
            "layers": None if layers is None else list(layers),
            "a": [_prompt(text) for text in a],
            "b": [_prompt(text) for text in b],
        }
        params = {
            "sort": sort,
            "everything": everything,
            "leave_out": list(leave_out),
            "more_in": more_in,
            "limit": limit,
        }
        answer = self._send("POST", "/compare", body, params=params, timeout_s=WAIT_S)
        return cast(ComparisonRead, answer)

    def comparison(
        self,
        comparison_id: int,
        *,
        layers: Sequence[int] | None = None,
        sort: Measure | None = None,
        everything: bool | None = None,
        leave_out: Sequence[Shared] = ("prefix",),
        more_in: Side | None = None,
        limit: int | None = None,
        text_a: int | None = None,
        text_b: int | None = None,
    ) -> ComparisonRead:
        """Look at texts that were compared within the hour another way: nothing is run again."""
        params = {
            "layer": None if layers is None else list(layers),
            "sort": sort,
            "everything": everything,
            "leave_out": list(leave_out),
            "more_in": more_in,
            "limit": limit,
            "text_a": text_a,
            "text_b": text_b,
        }
        return cast(ComparisonRead, self._get(f"/compare/{comparison_id}", params))

    def cancel_comparison(self, comparison_id: int) -> None:
        """End a comparison that runs; one that is over stays what it is."""
        self._send("DELETE", f"/compare/{comparison_id}")

    def steer(
        self,
        text: str | None,
        interventions: Sequence[InterventionRequest],
        *,
        messages: Sequence[TurnRequest] | None = None,
        thinking: bool | None = None,
        go_on: GoingOnRequest | None = None,
        positions: PositionsRequest | None = None,
        strengths: Sequence[float] = (1.0,),
        asked_for: PromptRequest | None = None,
    ) -> SteeringRead:
        """Let a model go on with a text, or a chat, unsteered and steered, side by side."""
        body: dict[str, Any] = {
            "text": text,
            "messages": list(messages or ()),
            "thinking": thinking,
            "interventions": list(interventions),
            "strengths": list(strengths),
            "asked_for": asked_for,
        }
        given = {"go_on": go_on, "positions": positions}
        body |= {name: value for name, value in given.items() if value is not None}
        return cast(SteeringRead, self._send("POST", "/steer", body, timeout_s=WAIT_S))

    def steering(self, steering_id: int) -> SteeringRead:
        """Return what was written for a request within the hour: nothing is run again."""
        return cast(SteeringRead, self._get(f"/steer/{steering_id}"))

    def cancel_steering(self, steering_id: int) -> None:
        """End a request that runs; one that is over stays what it is."""
        self._send("DELETE", f"/steer/{steering_id}")


def _prompt(given: PromptRequest | str) -> PromptRequest:
    return {"text": given} if isinstance(given, str) else given
