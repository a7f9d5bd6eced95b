"""Ask an OpenAI-compatible server: many at once, again where that can help, never past a budget."""

import asyncio
import random
import time
from dataclasses import replace
from types import TracebackType
from typing import Final, Self

from pydantic import SecretStr

from scopebook.errors import InvalidInputError, UnavailableError
from scopebook_workers.llm.adaptive import Limiter, Slot
from scopebook_workers.llm.addresses import read_address, read_key
from scopebook_workers.llm.budget import Budget, Usage
from scopebook_workers.llm.chat import ChatAnswer, ChatFailedError, ChatRequest
from scopebook_workers.llm.protocol import Dialect, parse_or_none, read_answer, read_usage
from scopebook_workers.llm.replies import failure_of, stop_of
from scopebook_workers.llm.retries import Retries, retry_after
from scopebook_workers.llm.tokens import estimate_request, estimate_tokens
from scopebook_workers.llm.transport import NoConnectionError, Reply, Transport

#: What may pass: the same request may have an answer a little later.
_PASSING: Final = ("timeout", "rate", "server", "connection")
#: Requests in a row without any answer, after which the server counts as gone.
_GONE_AFTER: Final = 32


class ServerChat:
    """A model behind `{endpoint}/chat/completions`; use it as an async context manager."""

    def __init__(
        self,
        endpoint: str,
        *,
        model: str,
        api_key: SecretStr | None = None,
        parallel: int = 64,
        timeout_s: float = 120.0,
        budget: Budget | None = None,
        retries: Retries | None = None,
    ) -> None:
        """`timeout_s` is for one attempt, from sending to the last byte.

        Raises InvalidInputError for an address or key that cannot be one.
        """
        self._endpoint = read_address(endpoint)
        if not model.strip():
            raise InvalidInputError(
                f"no model is named for {self._endpoint}; give the name under which it is served."
            )
        self._model = model
        key = read_key(api_key, self._endpoint)
        self._transport = Transport(
            f"{self._endpoint}/chat/completions", key=key, timeout_s=timeout_s
        )
        self._limiter = Limiter(parallel=parallel)
        self._budget = budget or Budget()
        self._retries = retries or Retries()
        self._dialect = Dialect()
        self._dice = random.Random()
        self._ever_replied = False
        self._in_vain = 0

    @property
    def model(self) -> str:
        """The model's name, as it is asked for."""
        return self._model

    @property
    def endpoint(self) -> str:
        """The base URL; it holds no key or password."""
        return self._endpoint

    @property
    def dialect(self) -> Dialect:
        """How the server turned out to like being asked."""
        return self._dialect

    async def __aenter__(self) -> Self:
        """Nothing is sent before the first request."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Close the connections."""
        await self._transport.close()

    async def ask(self, request: ChatRequest) -> ChatAnswer:
        """Return the answer.

        Raises ChatFailedError for this request, and UnavailableError, InvalidInputError or
        BudgetSpentError where none could be answered.
        """
        attempt = 1
        while True:
            try:
                answer = await self._attempt(request)
            except ChatFailedError as error:
                error.attempts = attempt
                if error.error_class not in _PASSING or attempt >= self._retries.attempts:
                    raise self._last(error) from error.__cause__
                self._stop_if_lasting(error)
                await asyncio.sleep(self._retries.wait(attempt, self._dice))
                attempt += 1
            else:
                self._in_vain = 0
                return replace(answer, attempts=attempt)

    async def _attempt(self, request: ChatRequest) -> ChatAnswer:
        """Send once, within the limits of server and budget."""
        async with self._limiter.slot() as slot:
            reserved = await self._budget.reserve(request)
            used: Usage | None = None
            try:
                reply, took_ms = await self._exchange(request, slot)
                if reply.status != 200:
                    raise self._refusal(reply, slot)
                slot.answered()
                used = read_usage(parse_or_none(reply.body), request)
                answer = read_answer(reply.body, request)
                used = used_by(answer)
                return replace(answer, latency_ms=took_ms)
            except ChatFailedError as error:
                used = used_in_vain(error, request, used)
                raise
            finally:
                await self._budget.settle(reserved, request, used)

    async def _exchange(self, request: ChatRequest, slot: Slot) -> tuple[Reply, int]:
        """Return the reply and its milliseconds; what is refused of our dialect is left out."""
        while True:
            spoken = self._dialect
            began = time.monotonic()
            try:
                reply = await self._transport.post(spoken.body(request, self._model))
            except ChatFailedError as error:
                if error.error_class == "timeout":
                    slot.overloaded()
                raise
            self._ever_replied = True
            other = self._other_dialect(spoken, reply, request)
            if other is None:
                return reply, round((time.monotonic() - began) * 1000)
            # Another request may have learned something in the meantime: that is kept.
            if self._dialect == spoken:
                self._dialect = other

    def _other_dialect(self, spoken: Dialect, reply: Reply, request: ChatRequest) -> Dialect | None:
        if reply.status not in (400, 422) or failure_of(reply).error_class != "protocol":
            return None
        structured = request.schema is not None and spoken.structure != "none"
        return spoken.after_refusal(reply.status, reply.text, structured=structured)

    def _refusal(self, reply: Reply, slot: Slot) -> ChatFailedError:
        stop = stop_of(reply, self._endpoint, self._model)
        if stop is not None:
            raise stop
        if reply.status in (429, 503):
            slot.overloaded()
        seconds = retry_after(reply.headers.get("retry-after"))
        if seconds is not None and reply.status in (429, 500, 502, 503, 504):
            if seconds > self._retries.patience_s:
                raise UnavailableError(
                    f"{self._endpoint} answered {reply.status} and asks to come back in "
                    f"{seconds:,.0f} seconds; start again then, which goes on where this ended."
                )
            self._limiter.pause(seconds)
        return failure_of(reply)

    def _stop_if_lasting(self, error: ChatFailedError) -> None:
        if isinstance(error, NoConnectionError) and error.lasting:
            raise UnavailableError(
                f"{self._endpoint}: {error}; correct the address or the machine's certificates."
            ) from error

    def _last(self, error: ChatFailedError) -> Exception:
        """Return the error of a request that is over; of the server, when it is gone."""
        self._stop_if_lasting(error)
        if error.error_class not in (*_PASSING, "protocol"):
            self._in_vain = 0
            return error
        self._in_vain += 1
        if isinstance(error, NoConnectionError) and not self._ever_replied:
            return UnavailableError(
                f"{self._endpoint}: {error}; start the language model's server, or correct the "
                "address."
            )
        if self._in_vain >= _GONE_AFTER:
            return UnavailableError(
                f"{self._endpoint} has given {self._in_vain} requests in a row no answer (the "
                f"last: {error}); look whether it runs and is a language model's, then start "
                "again, which goes on where this ended."
            )
        return error


def used_by(answer: ChatAnswer) -> Usage:
    """Return the tokens of an answer."""
    return Usage(
        tokens_in=answer.tokens_in,
        tokens_cached=answer.tokens_cached,
        tokens_out=answer.tokens_out,
    )


def used_in_vain(error: ChatFailedError, request: ChatRequest, said: Usage | None) -> Usage | None:
    """Return what an attempt without an answer may be charged for, or None for nothing.

    `said` is what the server reported, if it answered at all.
    """
    if said is not None:
        written = said.tokens_out or estimate_tokens(error.raw)
        return replace(said, tokens_out=written)
    if error.error_class == "timeout" or (
        error.error_class == "connection" and not isinstance(error, NoConnectionError)
    ):
        return Usage(tokens_in=estimate_request(request))
    return None
