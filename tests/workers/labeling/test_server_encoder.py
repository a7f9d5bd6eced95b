"""Windows as vectors by a real local server, and all that may be wrong with one."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from pydantic import SecretStr
from tests.embeddings_server import Embeddings, serve_embeddings
from tests.workers.labeling.planted import ENGLISH, fire, make_passages

from scopebook.embeddings_server import EmbeddingsServer, NoVectorsError
from scopebook.errors import UnavailableError
from scopebook_workers.labeling.encoding import text_of
from scopebook_workers.labeling.reading import Reader, Window
from scopebook_workers.labeling.server_encoder import BATCH, ServerEncoder
from scopebook_workers.llm.retries import Retries

QUICK = Retries(attempts=3, base_s=0.01)


@pytest.fixture
def server() -> Iterator[Embeddings]:
    with serve_embeddings() as state:
        yield state


def windows(n: int) -> list[Window]:
    reader = Reader()
    return [reader.window(firing) for firing in fire(make_passages(ENGLISH, n)).firings]


def encoder(server: Embeddings, key: str | None = None) -> ServerEncoder:
    client = EmbeddingsServer(
        server.url,
        model="m",
        api_key=SecretStr(key) if key else None,
        settings="SCOPEBOOK_WINDOW_EMBEDDER",
    )
    return ServerEncoder(client, model="m", retries=QUICK)


def test_windows_are_sent_in_batches_and_come_back_in_their_order(server: Embeddings) -> None:
    found = windows(2 * BATCH + 5)

    vectors = encoder(server).encode(found)

    assert sorted(len(request["input"]) for request in server.asked) == [1, 5, BATCH, BATCH]
    expected = np.asarray([server.vector(text_of(window)) for window in found])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors, expected, atol=1e-3)
    assert np.array_equal(vectors, vectors.astype(np.float16))


def test_the_id_says_which_model_where_and_how_many_numbers(server: Embeddings) -> None:
    assert encoder(server).id == f"m at {server.url}/embeddings, 8 numbers"


def test_no_windows_are_no_request(server: Embeddings) -> None:
    made = encoder(server)

    assert made.encode([]).shape == (0, 8)
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [429, 500, 503, 408])
def test_what_may_pass_is_asked_again(server: Embeddings, status: int) -> None:
    made = encoder(server)
    server.statuses, server.headers = [status, status], {"Retry-After": "0.01"}

    assert len(made.encode(windows(3))) == 3
    assert len(server.asked) == 4


def test_a_server_that_stays_out_of_order_is_given_up(server: Embeddings) -> None:
    made = encoder(server)
    server.status = 500

    with pytest.raises(UnavailableError, match="answered 500 instead of vectors"):
        made.encode(windows(3))

    assert len(server.asked) == 1 + QUICK.attempts


def test_a_server_that_wants_to_be_left_alone_for_long_is(server: Embeddings) -> None:
    made = encoder(server)
    server.status, server.headers = 429, {"Retry-After": "3600"}

    with pytest.raises(UnavailableError, match="come back in 3,600 seconds"):
        made.encode(windows(3))

    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "does not accept the key.*SCOPEBOOK_WINDOW_EMBEDDER_API_KEY"),
        (403, "does not accept the key.*SCOPEBOOK_WINDOW_EMBEDDER_API_KEY"),
        (404, "has no model m, or no /embeddings below its address"),
        (400, "answered 400 instead of vectors"),
        (302, "answered 302 instead of vectors"),
    ],
)
def test_what_will_not_pass_is_said_at_once(server: Embeddings, status: int, said: str) -> None:
    server.status = status
    server.body = b'{"error": "bad key s3cret"}'
    server.headers = {"Location": "http://127.0.0.1:9/v1/embeddings"}

    with pytest.raises(UnavailableError, match=said) as refused:
        encoder(server, key="s3cret")

    assert server.keys == ["Bearer s3cret"]
    assert "s3cret" not in str(refused.value)


def test_a_server_that_is_not_there_is_named() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/v1"

    with pytest.raises(UnavailableError, match="cannot be reached"):
        encoder(Embeddings(url=address))


class Changing(Embeddings):
    """Gives vectors of another length after the first request."""

    def vector(self, text: str) -> list[float]:
        return [1.0] * (8 if len(self.asked) == 1 else 6)


def test_a_server_that_changes_its_model_is_refused() -> None:
    with serve_embeddings(Changing()) as server:
        made = encoder(server)

        with pytest.raises(UnavailableError, match="vectors of 6 and 8 numbers"):
            made.encode(windows(3))


def test_truth_values_are_no_numbers(server: Embeddings) -> None:
    made = encoder(server)
    server.vector = lambda text: [True] * 8  # type: ignore[method-assign]

    with pytest.raises(UnavailableError, match="no list of numbers"):
        made.encode(windows(3))


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_vectors_without_a_direction_are_refused(server: Embeddings, value: float) -> None:
    made = encoder(server)
    server.vector = lambda text: [value] * 8  # type: ignore[method-assign]

    with pytest.raises(UnavailableError, match="a vector without a direction"):
        made.encode(windows(3))


class _DroppedError(Exception):
    pass


def test_waiting_for_a_server_ends_when_the_work_is_dropped(server: Embeddings) -> None:
    dropped = threading.Event()

    def tick() -> None:
        if dropped.is_set():
            raise _DroppedError

    client = EmbeddingsServer(server.url, model="m")
    made = ServerEncoder(client, model="m", tick=tick)
    server.status, server.headers = 503, {"Retry-After": "200"}
    dropped.set()

    with pytest.raises(_DroppedError):
        made.encode(windows(2 * BATCH))

    assert len(server.asked) <= 3


@contextmanager
def dripping() -> Iterator[str]:
    """Serve an answer that comes byte by byte and never ends, until the block does."""
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            with suppress(BrokenPipeError, ConnectionResetError):
                while not ended.wait(0.05):
                    self.wfile.write(b" ")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


def test_an_answer_that_only_drips_is_none() -> None:
    with dripping() as url, pytest.raises(NoVectorsError, match="did not answer in time"):
        EmbeddingsServer(url, model="m", timeout_s=0.3).embed(["a window"])


def test_nobody_who_drops_the_work_waits_for_a_silent_server() -> None:
    def tick() -> None:
        raise _DroppedError

    with dripping() as url:
        client = EmbeddingsServer(url, model="m", timeout_s=30)
        with pytest.raises(_DroppedError):
            ServerEncoder(client, model="m", tick=tick)
        waiting = [t.name for t in threading.enumerate() if t.name.startswith("embeddings")]
    # The request is still under way in a thread of its own: nobody has waited for it.
    assert waiting
