"""What asking costs is told before and never exceeds what was allowed."""

import asyncio
from itertools import count

import pytest
from benchmarks.labels.stubs.asking import ask_all, label_requests, say_number
from benchmarks.labels.stubs.faults import Counts, StubServer
from benchmarks.labels.stubs.plan import Faults
from tests.workers.llm.asking import QUICK, ask, failed, failing, request, say

from scopebook.errors import InvalidInputError
from scopebook_workers.llm.budget import Budget, BudgetSpentError, Prices, Usage, estimate
from scopebook_workers.llm.server import ServerChat

PRICES = Prices(read=1.0, cached=0.1, written=2.0)


def ask_within(budget: Budget, requests: int = 200) -> Counts:
    """Ask until the budget is spent; return what the server counted."""

    async def run(url: str) -> None:
        async with ServerChat(url, model="stub", retries=QUICK, budget=budget) as chat:
            with pytest.raises(BudgetSpentError, match="goes on where this ended"):
                await ask_all(chat, label_requests(requests))

    with StubServer(say_number, delay_s=0.01) as server:
        asyncio.run(run(server.url))
        return server.counts()


def test_tokens_never_exceed_the_budget_and_nearly_use_it_up() -> None:
    budget = Budget(tokens=200_000)

    counts = ask_within(budget)

    assert 180_000 < counts.tokens_in + counts.tokens_out <= 200_000
    assert budget.spent.total == counts.tokens_in + counts.tokens_out
    assert budget.calls == counts.answered


def test_dollars_never_exceed_the_budget() -> None:
    budget = Budget(usd=0.05, prices=PRICES)

    counts = ask_within(budget)

    fresh = counts.tokens_in - counts.tokens_cached
    dollars = (fresh + 0.1 * counts.tokens_cached + 2 * counts.tokens_out) / 1e6
    assert 0.04 < dollars <= 0.05
    assert budget.spent_usd == pytest.approx(dollars)


def test_a_budget_that_holds_no_call_says_what_one_may_take() -> None:
    with StubServer(say) as server:
        [end] = ask(server.url, request(max_tokens=500), budget=Budget(tokens=400))
        asked = server.counts().requests

    assert asked == 0
    assert str(end).startswith("The budget of 400 tokens is smaller than the ")
    assert "larger --budget-tokens" in str(end)


def test_what_an_earlier_run_took_counts() -> None:
    budget = Budget(tokens=10_000, spent=Usage(tokens_in=9_900))
    with StubServer(say) as server:
        [end] = ask(server.url, request(), budget=budget)

    assert isinstance(end, BudgetSpentError)


def test_answers_that_are_none_are_paid_for_and_refusals_to_answer_are_not() -> None:
    paid, free = Budget(tokens=100_000), Budget(tokens=100_000)
    with StubServer(say, faults=failing("length")) as server:
        [end] = ask(server.url, request(), budget=paid)
        counts = server.counts()
    with StubServer(say, faults=failing("429", times=None, retry_after=None)) as server:
        ask(server.url, request(), budget=free)

    assert failed(end).error_class == "length"
    assert paid.spent.total == counts.tokens_in + counts.tokens_out
    assert free.spent.total == 0


def test_a_request_without_an_answer_in_time_counts_as_read() -> None:
    budget = Budget(tokens=100_000)
    with StubServer(say, faults=failing("hang", times=None)) as server:
        ask(server.url, request(), budget=budget, timeout_s=0.02)

    assert budget.spent.tokens_in > 0


def test_nothing_stays_reserved_after_a_request_was_cancelled() -> None:
    budget = Budget(tokens=3_000)

    async def run(url: str) -> None:
        async with ServerChat(url, model="stub", budget=budget) as chat:
            hanging = asyncio.create_task(chat.ask(request("hang", max_tokens=2_500)))
            await asyncio.sleep(0.1)
            hanging.cancel()
            waiting = await asyncio.wait_for(chat.ask(request("next", max_tokens=2_500)), 2)
            assert waiting.text.startswith("next")

    with StubServer(say, faults=Faults(shares={"hang": 1.0})) as server:
        # Only the first request hangs: the second content is another one.
        server_plan = Faults(shares={"hang": 1.0}, times=0)
        assert server_plan.of(b"x", 1) is None
        del server
    hang_first = count()

    def slow_once(messages: object, schema: object) -> str:
        return f"next {next(hang_first)}"

    with StubServer(slow_once, delay_s=0.3) as server:
        asyncio.run(run(server.url))


@pytest.mark.parametrize(
    "limits", [{"tokens": 0}, {"usd": -1.0, "prices": PRICES}, {"usd": 1.0}, {"usd": float("nan")}]
)
def test_a_budget_that_allows_nothing_or_cannot_be_reckoned_is_refused(
    limits: dict[str, float],
) -> None:
    with pytest.raises(InvalidInputError, match="give"):
        Budget(**limits)  # type: ignore[arg-type]


def test_prices_below_zero_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="0 or more"):
        Prices(read=-0.1, written=1)


def test_an_estimate_is_within_15_percent_of_what_the_server_counts() -> None:
    requests = label_requests(60)
    told = estimate(requests, out_per_call=8, prices=PRICES)

    async def run(url: str) -> None:
        async with ServerChat(url, model="stub") as chat:
            await chat.ask(requests[0])
            await ask_all(chat, requests[1:])

    with StubServer(say_number) as server:
        asyncio.run(run(server.url))
        counts = server.counts()

    assert told.calls == counts.requests == 60
    for name in ("tokens_in", "tokens_cached", "tokens_out"):
        assert getattr(told, name) == pytest.approx(getattr(counts, name), rel=0.15), name
    assert told.usd == pytest.approx(
        PRICES.usd(
            Usage(
                tokens_in=counts.tokens_in,
                tokens_cached=counts.tokens_cached,
                tokens_out=counts.tokens_out,
            )
        ),
        rel=0.15,
    )


def test_a_sample_tells_as_much_as_all_requests() -> None:
    requests = label_requests(100)

    whole = estimate(requests)
    scaled = estimate(requests[:10], calls=100)

    assert scaled.calls == 100
    for name in ("tokens_in", "tokens_cached", "tokens_out"):
        assert getattr(scaled, name) == pytest.approx(getattr(whole, name), rel=0.01)


def test_no_requests_cost_nothing() -> None:
    none = estimate([], prices=PRICES)

    assert (none.calls, none.tokens_in, none.usd) == (0, 0, 0)
    with pytest.raises(InvalidInputError, match="sample"):
        estimate([], calls=5)
