"""One request is lost at no fault that passes, and ends by its class at one that does not."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from random import Random

import pytest
from benchmarks.labels.stubs.faults import StubServer
from benchmarks.labels.stubs.plan import Faults
from pydantic import SecretStr
from tests.workers.llm.asking import QUICK, answered, ask, failed, failing, request, say

from scopebook.errors import UnavailableError
from scopebook_workers.llm.chat import ChatAnswer
from scopebook_workers.llm.retries import Retries, retry_after
from scopebook_workers.llm.server import ServerChat

KEY = "sk-a-secret/that+nobody-may-see"


def test_an_answer_comes_with_its_provenance_and_tokens() -> None:
    with StubServer(say, delay_s=0.02) as server:
        [end] = ask(server.url, request())
        counts = server.counts()

    answer = answered(end)
    assert answer.text == "hello with schema"
    assert (answer.model, answer.system_fingerprint) == ("stub", "fp_stub")
    assert (answer.finish_reason, answer.attempts) == ("stop", 1)
    assert (answer.tokens_in, answer.tokens_out) == (counts.tokens_in, counts.tokens_out)
    assert answer.latency_ms >= 20


def test_a_shared_beginning_is_counted_as_cached_the_second_time() -> None:
    long = request().messages[0].__class__(role="system", content="rules " * 2_000)

    async def one_after_the_other(url: str) -> list[ChatAnswer]:
        async with ServerChat(url, model="stub", retries=QUICK) as chat:
            wanted = [request(n, messages=(long, request(n).messages[1])) for n in ("a", "b")]
            return [await chat.ask(one) for one in wanted]

    with StubServer(say) as server:
        first, second = asyncio.run(one_after_the_other(server.url))
        counts = server.counts()

    assert (first.tokens_cached, counts.prefixes) == (0, 1)
    assert second.tokens_cached == counts.shortest_prefix >= 1_024


def test_another_model_than_the_one_asked_for_is_reported() -> None:
    with StubServer(say, faults=failing("wrong_model")) as server:
        [end] = ask(server.url, request())

    assert answered(end).model == "another-model"


@pytest.mark.parametrize("fault", ["429", "500", "502", "503", "529", "reset", "truncated"])
def test_what_passes_is_asked_again(fault: str) -> None:
    with StubServer(say, faults=failing(fault, times=2, retry_after=None)) as server:
        [end] = ask(server.url, request())

    assert answered(end).attempts == 3


def test_a_server_that_hangs_once_is_asked_again() -> None:
    with StubServer(say, faults=failing("hang")) as server:
        [end] = ask(server.url, request(), timeout_s=0.2)

    assert answered(end).attempts == 2


@pytest.mark.parametrize("fault", ["hang", "trickle"])
def test_a_server_that_never_ends_its_answer_is_left_after_the_total_time(fault: str) -> None:
    began = time.monotonic()
    with StubServer(say, faults=failing(fault, times=None)) as server:
        [end] = ask(server.url, request(), timeout_s=0.1)

    assert (failed(end).error_class, failed(end).attempts) == ("timeout", 5)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("fault", "error_class", "attempts"),
    [
        ("429", "rate", 5),
        ("500", "server", 5),
        ("reset", "connection", 5),
        ("truncated", "connection", 5),
        ("html", "protocol", 1),
        ("cut", "protocol", 1),
        ("huge", "protocol", 1),
        ("refusal", "refused", 1),
        ("content_filter", "refused", 1),
        ("empty", "empty", 1),
        ("length", "length", 1),
        ("400", "protocol", 1),
        ("413", "length", 1),
    ],
)
def test_what_does_not_pass_ends_one_request_by_its_class(
    fault: str, error_class: str, attempts: int
) -> None:
    faults = failing(fault, times=None, retry_after=None)
    with StubServer(say, faults=faults) as server:
        [end] = ask(server.url, request())

    assert (failed(end).error_class, failed(end).attempts) == (error_class, attempts)


def test_what_was_said_instead_of_an_answer_is_kept() -> None:
    with StubServer(say, faults=failing("html")) as server:
        [end] = ask(server.url, request())

    assert "Bad gateway" in failed(end).raw


def test_tokens_are_estimated_where_the_server_counts_none() -> None:
    with StubServer(say, faults=Faults(usage=False)) as server:
        [end] = ask(server.url, request("many words " * 50))
        counts = server.counts()

    answer = answered(end)
    assert answer.tokens_in == pytest.approx(counts.tokens_in, rel=0.35)
    assert answer.tokens_out == pytest.approx(counts.tokens_out, rel=0.15)


@pytest.mark.parametrize(
    "unknown",
    [
        ("json_schema",),
        ("json_schema", "json_object"),
        ("max_tokens",),
        ("temperature",),
        ("seed",),
        ("chat_template_kwargs",),
        ("chat_template_kwargs", "max_tokens", "temperature", "seed", "json_schema"),
    ],
)
def test_what_a_server_does_not_know_is_noticed_once(unknown: tuple[str, ...]) -> None:
    async def ask_twice(url: str) -> list[ChatAnswer]:
        async with ServerChat(url, model="stub", retries=QUICK) as chat:
            return [await chat.ask(request(content)) for content in ("one", "two")]

    with StubServer(say, faults=Faults(unknown_names=unknown)) as server:
        answers = asyncio.run(ask_twice(server.url))

    assert [answer.attempts for answer in answers] == [1, 1]
    how = "without" if "json_schema" in unknown else "with"
    assert [answer.text for answer in answers] == [f"one {how} schema", f"two {how} schema"]


def test_a_refusal_that_names_nothing_costs_the_schema() -> None:
    faults = Faults(unknown_names=("response_format",), unknown_status=422, names_unknown=False)
    with StubServer(say, faults=faults) as server:
        ends = ask(server.url, *(request(str(number)) for number in range(20)))

    assert {answered(end).text.split(" ", 1)[1] for end in ends} == {"without schema"}


@pytest.mark.parametrize("as_date", [False, True])
def test_nobody_asks_before_the_time_that_the_server_names(as_date: bool) -> None:
    wait = 0.3
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    faults = failing("429", retry_after=date if as_date else str(wait))
    began = time.monotonic()
    with StubServer(say, faults=faults) as server:
        ends = ask(server.url, request("a"), request("b"))

    assert [answered(end).attempts for end in ends] == [2, 2]
    # A date has whole seconds.
    assert time.monotonic() - began >= (0.9 if as_date else wait)


def test_a_retry_after_is_read_as_seconds_or_date() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)

    assert retry_after("7", now) == 7
    assert retry_after("Thu, 01 Jan 2026 00:01:00 GMT", now) == 60
    assert retry_after("Wed, 31 Dec 2025 00:00:00 GMT", now) == 0
    assert [retry_after(odd, now) for odd in (None, "", "soon", "-1", "nan", "inf")] == [None] * 6


def test_waits_double_at_most_and_are_drawn_from_the_whole_range() -> None:
    retries, dice = Retries(base_s=1, longest_s=5), Random(0)

    drawn = {n: [retries.wait(n, dice) for _ in range(300)] for n in (1, 2, 3, 4)}

    for n, bound in ((1, 1), (2, 2), (3, 4), (4, 5)):
        assert 0 <= min(drawn[n]) < 0.1 * bound
        assert 0.9 * bound < max(drawn[n]) <= bound


def test_a_server_that_asks_for_an_hour_ends_the_run() -> None:
    with StubServer(say, faults=failing("429", retry_after="3600")) as server:
        [end] = ask(server.url, request())

    assert isinstance(end, UnavailableError)
    assert "3,600 seconds" in str(end)


def test_the_key_goes_to_the_server_and_nowhere_else() -> None:
    with StubServer(say, faults=failing("500", times=None)) as server:
        [end] = ask(server.url, request(), api_key=SecretStr(KEY))

    assert "Bearer" in failed(end).raw
    assert KEY not in f"{end} {failed(end).raw} {end.__cause__!r}"


def test_parallel_bounds_what_runs_at_once() -> None:
    with StubServer(say, delay_s=0.02) as server:
        ask(server.url, *(request(str(number)) for number in range(40)), parallel=5)
        counts = server.counts()

    assert (counts.most_at_once, counts.answered, counts.answered_twice) == (5, 40, 0)
