"""Windows as vectors by an OpenAI-style server: in batches, again where that can help."""

import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import Final

import numpy as np

from scopebook.embeddings_server import EmbeddingsServer, NoVectorsError
from scopebook.errors import UnavailableError
from scopebook_workers.labeling.encoding import checked, text_keys, text_of
from scopebook_workers.labeling.reading import Window
from scopebook_workers.labeling.window_vectors import Vectors
from scopebook_workers.llm.retries import Retries, retry_after

#: Texts of one request, and requests at once: a server that others use as well stays usable.
BATCH: Final = 64
_PARALLEL: Final = 4
_PROBE: Final = "a window"
#: Seconds between two calls of `tick` while a server is waited for.
_TICK_S: Final = 0.5


class _GivenUpError(Exception):
    """Another request has failed for good, so this one is not sent again."""


class ServerEncoder:
    """A model behind `{url}/embeddings`; the first request asks how many numbers it gives."""

    def __init__(
        self,
        server: EmbeddingsServer,
        *,
        model: str | None,
        tick: Callable[[], None] = lambda: None,
        retries: Retries | None = None,
    ) -> None:
        """`tick` is called while the server is waited for; what it raises ends the waiting."""
        self._server = server
        self._tick = tick
        self._retries = retries or Retries()
        self._dice = random.Random()
        self._given_up = threading.Event()
        self._dimension: int | None = None
        [vector] = self._all([_PROBE])
        self._dimension = len(vector)
        named = model or "its model"
        self.id: Final = f"{named} at {server.address}, {self._dimension} numbers"

    def keys(self, windows: Sequence[Window]) -> list[bytes]:
        """Return the hashes of the windows' texts."""
        return text_keys([text_of(window) for window in windows])

    def encode(self, windows: Sequence[Window]) -> Vectors:
        """Return a unit vector for each window, rounded to half precision.

        Raises UnavailableError when the server gives none, or some of another dimension.
        """
        if not windows:
            return np.empty((0, self._dimension or 0), np.float32)
        vectors = np.asarray(self._all([text_of(window) for window in windows]), np.float32)
        return checked(vectors, self.id)

    def _all(self, texts: Sequence[str]) -> list[list[float]]:
        """Return the texts' vectors; some batches are under way at once."""
        self._given_up.clear()
        pool = ThreadPoolExecutor(_PARALLEL, thread_name_prefix="embeddings")
        asked = [
            pool.submit(self._batch, texts[start : start + BATCH])
            for start in range(0, len(texts), BATCH)
        ]
        try:
            self._wait(asked)
        except BaseException:
            self._given_up.set()
            raise
        finally:
            # Whoever cancels does not wait for a server that is silent; its requests end by time.
            pool.shutdown(wait=False, cancel_futures=True)
        return [vector for batch in asked for vector in batch.result()]

    def _wait(self, asked: Sequence[Future[list[list[float]]]]) -> None:
        """Wait for all batches, or raise what the first that fails has raised."""
        waiting = set(asked)
        while waiting:
            done, waiting = wait(waiting, timeout=_TICK_S, return_when=FIRST_EXCEPTION)
            for batch in done:
                batch.result()
            self._tick()

    def _batch(self, texts: Sequence[str]) -> list[list[float]]:
        attempt = 1
        while True:
            try:
                vectors = self._server.embed(texts)
            except NoVectorsError as error:
                if attempt >= self._retries.attempts:
                    raise
                if self._given_up.wait(self._pause(attempt, error)):
                    raise _GivenUpError from error
                attempt += 1
            else:
                self._check(vectors)
                return vectors

    def _pause(self, attempt: int, error: NoVectorsError) -> float:
        """Return the seconds to wait: what the server asks for, else more each time."""
        asked = retry_after(error.retry_after)
        if asked is None:
            return self._retries.wait(attempt, self._dice)
        if asked > self._retries.patience_s:
            raise UnavailableError(
                f"The embeddings server {self._server.address} asks to come back in {asked:,.0f} "
                "seconds; start again then, which goes on where this ended."
            ) from error
        return asked

    def _check(self, vectors: Sequence[Sequence[float]]) -> None:
        lengths = {len(vector) for vector in vectors} | {self._dimension or len(vectors[0])}
        if len(lengths) > 1:
            raise UnavailableError(
                f"The embeddings server {self._server.address} answered with vectors of "
                f"{' and '.join(map(str, sorted(lengths)))} numbers; it must run one model all the "
                "time."
            )
