"""What no request can pass ends all asking, with one sentence and without the key."""

import socket

import pytest
from benchmarks.labels.stubs.faults import StubServer
from pydantic import SecretStr
from tests.workers.llm.asking import ask, failed, failing, request, say

from scopebook.errors import InvalidInputError, ScopebookError, UnavailableError
from scopebook_workers.llm.server import ServerChat

KEY = "sk-a-secret/that+nobody-may-see"


@pytest.mark.parametrize(
    ("fault", "kind", "advice"),
    [
        ("401", InvalidInputError, "SCOPEBOOK_LLM_API_KEY"),
        ("403", InvalidInputError, "SCOPEBOOK_LLM_API_KEY"),
        ("404", InvalidInputError, "/models"),
        ("402", UnavailableError, "fill it up"),
    ],
)
@pytest.mark.parametrize("key", [KEY, "short"])
def test_a_wrong_key_or_name_stops_at_once_and_names_what_to_do(
    fault: str, kind: type[ScopebookError], advice: str, key: str
) -> None:
    with StubServer(say, faults=failing(fault)) as server:
        [end] = ask(server.url, request(), api_key=SecretStr(key))
        asked = server.counts().requests

    assert isinstance(end, kind)
    assert asked == 1
    assert f"{server.url} answered {fault}" in str(end)
    assert advice in str(end)
    assert key not in f"{end} {end.__cause__} {end.__context__}"


def test_an_account_without_money_stops_though_it_says_429() -> None:
    with StubServer(say, faults=failing("429", code="insufficient_quota")) as server:
        [end] = ask(server.url, request())

    assert isinstance(end, UnavailableError)
    assert "nothing left to pay" in str(end)


def test_a_redirect_is_not_followed_and_takes_no_key_along() -> None:
    with StubServer(say) as other:
        with StubServer(say, faults=failing("307", location=f"{other.url}/?k={KEY}")) as server:
            [end] = ask(server.url, request(), api_key=SecretStr(KEY))
        asked = other.counts().requests

    assert isinstance(end, InvalidInputError)
    assert "redirects to 127.0.0.1" in str(end)
    assert KEY not in str(end)
    assert asked == 0


def test_a_server_that_is_not_there_stops_with_its_address() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"

    [end] = ask(url, request())

    assert isinstance(end, UnavailableError)
    assert url in str(end)
    assert "start the language model's server" in str(end)


def test_a_server_that_is_gone_stops_the_run_instead_of_failing_each_request() -> None:
    with StubServer(say, faults=failing("502", times=None)) as server:
        ends = ask(server.url, *(request(str(number)) for number in range(60)))

    stops = [end for end in ends if isinstance(end, UnavailableError)]
    assert len(ends) - len(stops) == 31
    assert "requests in a row" in str(stops[0])


def test_refusals_of_the_model_do_not_count_as_a_server_that_is_gone() -> None:
    with StubServer(say, faults=failing("refusal", times=None)) as server:
        ends = ask(server.url, *(request(str(number)) for number in range(60)))

    assert {failed(end).error_class for end in ends} == {"refused"}


@pytest.mark.parametrize(
    ("endpoint", "complaint"),
    [
        ("http://localhost:8080", "no /v1"),
        ("ftp://localhost/v1", "no http:// or https://"),
        ("http:///v1", "no http:// or https://"),
        ("http://localhost:99999/v1", "cannot be read"),
        ("http://user:hunter22@localhost/v1", "user or password"),
        ("http://localhost/v1?key=hunter22", "after ? or #"),
    ],
)
def test_what_is_no_address_is_refused_without_its_secrets(endpoint: str, complaint: str) -> None:
    with pytest.raises(InvalidInputError, match="give the base URL") as refused:
        ServerChat(endpoint, model="m")

    assert complaint in str(refused.value)
    assert "hunter22" not in str(refused.value)


def test_the_whole_address_of_completions_will_do() -> None:
    chat = ServerChat("https://host/openai/v1/chat/completions/", model="m")

    assert chat.endpoint == "https://host/openai/v1"


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "ключ"])
def test_a_key_that_fits_in_no_header_is_refused_unseen(key: str) -> None:
    with pytest.raises(InvalidInputError, match="API key") as refused:
        ServerChat("http://localhost/v1", model="m", api_key=SecretStr(key))

    assert key not in str(refused.value)


def test_a_server_without_a_model_name_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="no model is named"):
        ServerChat("http://localhost/v1", model=" ")
