"""What asking may cost: prices, an estimate before, and a budget that is held while asking."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from scopebook import meters
from scopebook.errors import ConflictError, InvalidInputError
from scopebook_workers.llm.chat import ChatRequest
from scopebook_workers.llm.tokens import (
    Counter,
    estimate_message,
    estimate_messages,
    estimate_request,
    estimate_tokens,
    most_tokens,
)

_MILLION: Final = 1_000_000
#: Hosts keep the beginning that requests share from this many tokens on.
CACHED_FROM: Final = 1_024
#: How far a server's count may lie above our guess before the first counts have come back.
_FIRST_MARGIN: Final = 1.3
_MARGIN: Final = 1.05
#: Some hosts read the schema of an answer as text, others hold to it without reading it.
_SCHEMA_READ: Final = 0.5


class BudgetSpentError(ConflictError):
    """The next call could exceed the budget, so it is not made."""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Tokens; those read from a host's cache are among those read."""

    tokens_in: int = 0
    tokens_cached: int = 0
    tokens_out: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            tokens_in=self.tokens_in + other.tokens_in,
            tokens_cached=self.tokens_cached + other.tokens_cached,
            tokens_out=self.tokens_out + other.tokens_out,
        )

    @property
    def total(self) -> int:
        """Tokens read and written, cached or not."""
        return self.tokens_in + self.tokens_out


@dataclass(frozen=True, kw_only=True)
class Prices:
    """US dollars for a million tokens: read, read from the cache, written."""

    read: float
    written: float
    cached: float | None = None

    def __post_init__(self) -> None:
        for name, price in (("in", self.read), ("cached", self.cached), ("out", self.written)):
            if price is not None and not 0 <= price < float("inf"):
                raise InvalidInputError(
                    f"the price {price} of tokens ({name}) is none; give US dollars for a million "
                    "tokens, 0 or more."
                )

    def usd(self, usage: Usage) -> float:
        """Return what the tokens cost."""
        cached = self.read if self.cached is None else self.cached
        fresh = usage.tokens_in - usage.tokens_cached
        sum_of = fresh * self.read + usage.tokens_cached * cached + usage.tokens_out * self.written
        return sum_of / _MILLION


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a number of calls is likely to take."""

    calls: int
    tokens_in: int
    tokens_cached: int
    tokens_out: int
    usd: float | None = None

    def scaled(self, *, read: float, written: float, prices: Prices | None = None) -> "Estimate":
        """Return the estimate for a server that counts so many times what was guessed."""
        usage = Usage(
            tokens_in=round(self.tokens_in * read),
            tokens_cached=round(self.tokens_cached * read),
            tokens_out=round(self.tokens_out * written),
        )
        return replace(self, **vars(usage), usd=prices.usd(usage) if prices else None)

    def __str__(self) -> str:
        cost = "" if self.usd is None else f", about ${self.usd:,.2f}"
        return (
            f"about {self.calls:,} calls, {self.tokens_in:,} tokens in "
            f"({self.tokens_cached:,} of them may be cached), {self.tokens_out:,} out{cost}"
        )


def estimate(
    requests: Iterable[ChatRequest],
    *,
    out_per_call: int = 120,
    calls: int | None = None,
    prices: Prices | None = None,
    count: Counter = estimate_tokens,
) -> Estimate:
    """Return what the requests take, or, where `calls` is given, so many requests like these.

    Cached counts the first message where an earlier request began with the same one and it is
    long enough for hosts to keep. `count` is the model's own tokenizer, where it is at hand. Raises
    InvalidInputError when requests are to be scaled up and there is none.
    """
    shared = saved = sampled = 0
    asked = 0.0
    seen: set[str] = set()
    for request in requests:
        sampled += 1
        bare = estimate_messages(request.messages, count)
        asked += bare + _SCHEMA_READ * (estimate_request(request, count) - bare)
        first = estimate_message(request.messages[0], count)
        again = request.messages[0].content in seen
        seen.add(request.messages[0].content)
        shared += first if first >= CACHED_FROM else 0
        saved += first if again and first >= CACHED_FROM else 0
    wanted = sampled if calls is None else calls
    if wanted and not sampled:
        raise InvalidInputError("an estimate needs at least one request to go by; give a sample.")
    if wanted > sampled:
        # All but the first of each beginning are cached, however many follow.
        saved = round(shared / sampled * wanted) - (shared - saved)
    usage = Usage(
        tokens_in=round(asked / max(sampled, 1) * wanted),
        tokens_cached=saved if wanted >= sampled else round(saved / sampled * wanted),
        tokens_out=out_per_call * wanted,
    )
    return Estimate(
        calls=wanted,
        tokens_in=usage.tokens_in,
        tokens_cached=usage.tokens_cached,
        tokens_out=usage.tokens_out,
        usd=prices.usd(usage) if prices else None,
    )


class Budget:
    """Tokens or dollars that asking may take: reserved before a call, settled after it.

    What a call can take at most is set aside until its count is known, so calls at the same time
    do not exceed the budget together. A call for which nothing is left waits for those under way,
    and is refused when there are none.
    """

    def __init__(
        self,
        *,
        tokens: int | None = None,
        usd: float | None = None,
        prices: Prices | None = None,
        spent: Usage | None = None,
    ) -> None:
        """`spent` is what earlier calls for the same budget took.

        Raises InvalidInputError for a limit that is not above 0, or dollars without prices.
        """
        for name, limit in (("--budget-tokens", tokens), ("--budget-usd", usd)):
            if limit is not None and not limit > 0:
                raise InvalidInputError(f"{name} {limit} allows nothing; give a number above 0.")
        if usd is not None and prices is None:
            raise InvalidInputError(
                "--budget-usd needs what tokens cost; give --price-in and --price-out in US "
                "dollars for a million tokens."
            )
        self._tokens, self._usd, self.prices = tokens, usd, prices
        self.spent = spent or Usage()
        self.calls = 0
        self._reserved: list[Usage] = []
        self._ratio = 0.0
        self._settled = asyncio.Condition()

    async def reserve(self, request: ChatRequest) -> Usage:
        """Set aside what the request can take; give it back to `settle`.

        Raises BudgetSpentError when it could exceed the budget.
        """
        if not self._limited:
            return Usage()
        async with self._settled:
            while not self._fits(most := self._most(request)):
                if not self._reserved:
                    raise BudgetSpentError(self._sentence(most))
                await self._settled.wait()
            self._reserved.append(most)
        return most

    async def settle(self, reserved: Usage, request: ChatRequest, used: Usage | None) -> None:
        """Count what a call took; None where nothing was read."""
        if used is not None:
            self.spent += used
            self.calls += 1
        self._count(used)
        if not self._limited:
            return
        async with self._settled:
            self._reserved.remove(reserved)
            if used is not None:
                self._ratio = max(self._ratio, used.tokens_in / estimate_request(request))
            self._settled.notify_all()

    def _count(self, used: Usage | None) -> None:
        meters.count("llm_requests", outcome="answered" if used else "unanswered")
        if used is None:
            return
        fresh = used.tokens_in - used.tokens_cached
        for kind, tokens in (
            ("in", fresh),
            ("cached", used.tokens_cached),
            ("out", used.tokens_out),
        ):
            meters.count("llm_tokens", tokens, kind=kind)
        if self.prices:
            meters.count("llm_usd", self.prices.usd(used))

    @property
    def _limited(self) -> bool:
        return self._tokens is not None or self._usd is not None

    @property
    def spent_usd(self) -> float | None:
        """Dollars spent, where prices are known."""
        return self.prices.usd(self.spent) if self.prices else None

    def _most(self, request: ChatRequest) -> Usage:
        margin = max(self._ratio * _MARGIN, _FIRST_MARGIN)
        guess = round(estimate_request(request) * margin)
        if request.schema is None:
            guess = min(guess, most_tokens(request.messages))
        return Usage(tokens_in=guess, tokens_out=request.max_tokens)

    def _fits(self, more: Usage) -> bool:
        total = sum(self._reserved, self.spent + more)
        if self._tokens is not None and total.total > self._tokens:
            return False
        return self._usd is None or self.prices is None or self.prices.usd(total) <= self._usd

    def _sentence(self, more: Usage) -> str:
        spent, next_usd = self.spent_usd or 0.0, self.prices.usd(more) if self.prices else 0.0
        if self._tokens is not None and self.spent.total + more.total > self._tokens:
            what = f"{self._tokens:,} tokens is spent: {self.spent.total:,} are used"
            needs, option = f"{more.total:,}", "--budget-tokens"
        else:
            what = f"${self._usd:,.2f} is spent: ${spent:,.4f} is used"
            needs, option = f"${next_usd:,.4f}", "--budget-usd"
        if not self.spent.total:
            limit = (
                f"{self._tokens:,} tokens" if option == "--budget-tokens" else f"${self._usd:,.2f}"
            )
            return (
                f"The budget of {limit} is smaller than the {needs} that the first call may take; "
                f"give a larger {option}."
            )
        return (
            f"The budget of {what} by {self.calls:,} calls, and the next may take {needs}; give a "
            f"larger {option} and start again, which goes on where this ended."
        )
