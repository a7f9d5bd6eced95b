"""Embed texts by an OpenAI-style server: POST {url}/embeddings."""

import math
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
from pydantic import SecretStr

from scopebook.errors import UnavailableError

_TIMEOUT_S: Final = 60.0
_SHOWN: Final = 200


class EmbeddingsServer:
    """A client; vectors come back with unit length, in the order of the texts."""

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        api_key: SecretStr | None = None,
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        self._url = f"{url.rstrip('/')}/embeddings"
        self._model = model
        headers = {"Authorization": f"Bearer {api_key.get_secret_value()}"} if api_key else {}
        self._client = httpx2.Client(timeout=timeout_s, headers=headers)

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
            response = self._client.post(self._url, json=body)
        except httpx2.TimeoutException as error:
            raise UnavailableError(
                f"The embeddings server {self.address} did not answer in time; "
                "look whether it is overloaded, then try again."
            ) from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise UnavailableError(
                f"The embeddings server {self.address} cannot be reached "
                f"({type(error).__name__}); start it, or correct SCOPEBOOK_EMBEDDINGS_URL."
            ) from error
        if response.status_code != 200:
            said = " ".join(response.text[:_SHOWN].split())
            raise UnavailableError(
                f"The embeddings server {self.address} answered {response.status_code} instead of "
                f"vectors ({said or 'no text'}); correct its address, model or key."
            )
        try:
            return response.json()
        except ValueError as error:
            raise self._strange("no JSON") from error

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
