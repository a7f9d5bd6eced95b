"""Embed texts by an OpenAI-style server: POST {url}/embeddings."""

import math
import time
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
from pydantic import SecretStr

from scopebook.errors import UnavailableError

_TIMEOUT_S: Final = 60.0
_SHOWN: Final = 200


class NoVectorsError(UnavailableError):
    """No vectors this time, but the same request may get some a little later."""

    def __init__(self, message: str, *, retry_after: str | None = None) -> None:
        super().__init__(message)
        #: What the server's header of that name says.
        self.retry_after = retry_after


class EmbeddingsServer:
    """A client; vectors come back with unit length, in the order of the texts.

    Several threads may use it. `settings` begins the names of the settings that errors name.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        api_key: SecretStr | None = None,
        timeout_s: float = _TIMEOUT_S,
        settings: str = "SCOPEBOOK_EMBEDDINGS",
    ) -> None:
        self._url = f"{url.rstrip('/')}/embeddings"
        self._model = model
        self._settings = settings
        self._key = api_key.get_secret_value().strip() if api_key else ""
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        # Redirects are not followed, as they could carry the key elsewhere.
        self._client = httpx2.Client(timeout=timeout_s, headers=headers)
        self._timeout_s = timeout_s

    @property
    def address(self) -> str:
        """The server's address without a password that may stand in it."""
        parts = urlsplit(self._url)
        return f"{parts.scheme}://{parts.netloc.rsplit('@', 1)[-1]}{parts.path}"

    def embed(self, texts: Sequence[str], *, dimension: int | None = None) -> list[list[float]]:
        """Return a unit vector for each text; `dimension` is what the labels' vectors have."""
        body: dict[str, Any] = {"input": list(texts), "encoding_format": "float"}
        if self._model is not None:
            body["model"] = self._model
        vectors = [self._unit(vector) for vector in self._vectors(self._post(body), len(texts))]
        for vector in vectors:
            if dimension is not None and len(vector) != dimension:
                raise UnavailableError(
                    f"The embeddings server {self.address} answered with {len(vector)} numbers, "
                    f"but the labels' vectors have {dimension}: it runs another model; start the "
                    "model the labels were embedded with, or embed them again."
                )
        return vectors

    def _post(self, body: dict[str, Any]) -> Any:
        try:
            response = self._exchange(body)
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise NoVectorsError(
                f"The embeddings server {self.address} did not answer in time; "
                "look whether it is overloaded, then try again."
            ) from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise NoVectorsError(
                f"The embeddings server {self.address} cannot be reached "
                f"({type(error).__name__}); start it, or correct its address "
                f"({self._settings}_URL)."
            ) from error
        if response.status_code != 200:
            raise self._refused(response)
        try:
            return response.json()
        except ValueError as error:
            raise self._strange("no JSON") from error

    def _exchange(self, body: dict[str, Any]) -> httpx2.Response:
        """Return the whole answer; raise TimeoutError for one that drips for too long."""
        until = time.monotonic() + self._timeout_s
        with self._client.stream("POST", self._url, json=body) as response:
            parts = []
            for part in response.iter_bytes():
                parts.append(part)
                if time.monotonic() > until:
                    raise TimeoutError
            headers = {"retry-after": response.headers.get("retry-after", "")}
            return httpx2.Response(response.status_code, headers=headers, content=b"".join(parts))

    def _refused(self, response: httpx2.Response) -> UnavailableError:
        status = response.status_code
        text = response.text
        if self._key:
            text = text.replace(self._key, "[key]")  # servers like to quote it
        said = " ".join(text[:_SHOWN].split()) or "no text"
        answered = f"The embeddings server {self.address} answered {status}"
        if status in (401, 403):
            return UnavailableError(
                f"{answered}: it does not accept the key, or its rights for "
                f"{self._model or 'its model'}; set {self._settings}_API_KEY to a valid key."
            )
        if status in (404, 405, 410):
            return UnavailableError(
                f"{answered}: it has no model {self._model or '(none is named)'}, or no "
                "/embeddings below its address; give the base URL (.../v1) and the model's name "
                f"there ({said})."
            )
        if status in (408, 429) or status >= 500:
            return NoVectorsError(
                f"{answered} instead of vectors ({said}); look whether it is overloaded or out of "
                "order, then try again.",
                retry_after=response.headers["retry-after"] or None,
            )
        return UnavailableError(
            f"{answered} instead of vectors ({said}); correct its address, model or key."
        )

    def _vectors(self, answer: Any, count: int) -> list[list[Any]]:
        """Return the vectors in the order of the texts; `index` says which text each is of."""
        try:
            items = sorted(answer["data"], key=lambda item: int(item["index"]))
            vectors = [item["embedding"] for item in items]
        except (KeyError, TypeError, ValueError) as error:
            raise self._strange("no list `data` with `index` and `embedding`") from error
        if len(vectors) != count:
            raise self._strange(f"{len(vectors)} vectors for {count} texts")
        return vectors

    def _unit(self, vector: Any) -> list[float]:
        try:
            if any(isinstance(number, bool) for number in vector):
                raise TypeError
            numbers = [float(number) for number in vector]
        except (TypeError, ValueError) as error:
            raise self._strange("a vector that is no list of numbers") from error
        length = math.sqrt(sum(number * number for number in numbers))
        if not math.isfinite(length) or length == 0:
            raise self._strange("a vector without a direction")
        return [number / length for number in numbers]

    def _strange(self, what: str) -> UnavailableError:
        return UnavailableError(
            f"The embeddings server {self.address} answered with {what}; "
            "it must speak the OpenAI protocol for embeddings."
        )
