"""Requests to one instance: the token, time limits, tries, refusals, pages."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from types import TracebackType
from typing import Any, Final, Self, TypeVar, cast
from urllib.parse import quote

import httpx2

from scopebook.client.errors import ChangedSinceError, ProblemError, UnreachableError
from scopebook.client.types.review import AnnotationRead
from scopebook.errors import InvalidInputError

Answer = TypeVar("Answer")

#: How often a read is tried in all, and seconds before the second try; doubled before the third.
TRIES: Final = 3
PAUSE_S: Final = 0.2
#: The most items that the API puts on a page.
LARGEST_PAGE: Final = 200
#: How often a write that contradicts nobody is sent for a newer version of its feature.
_VERSIONS: Final = 5


class Transport:
    """One instance of Scopebook over HTTP; several threads may share it.

    What is not given is left out of a request: None never stands for null, except in bodies.
    """

    def __init__(
        self,
        url: str = "http://localhost:8000",
        token: str | None = None,
        *,
        timeout_s: float = 30.0,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        """Connect when first asked.

        `timeout_s` bounds each wait for the instance, not a call as a whole. `transport` takes the
        place of the network, as in tests.
        """
        if not url.startswith(("http://", "https://")):
            raise InvalidInputError(
                f"{url!r} is no address of an instance; expected e.g. http://localhost:8000."
            )
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._url = url.rstrip("/")
        # Redirects are not followed, as they could carry the token elsewhere.
        self._http = httpx2.Client(
            base_url=f"{self._url}/api", headers=headers, timeout=timeout_s, transport=transport
        )

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _get(self, path: str, params: Mapping[str, object] | None = None) -> Any:
        """Return the JSON of a read, which is tried again where the connection fails."""
        return self._read(path, params).json()

    def _read(self, path: str, params: Mapping[str, object] | None = None) -> httpx2.Response:
        for later in range(1, TRIES):
            try:
                return self._exchange("GET", path, params=params)
            except UnreachableError:
                time.sleep(PAUSE_S * later)
        return self._exchange("GET", path, params=params)

    def _lines(self, path: str, params: Mapping[str, object]) -> Iterator[Any]:
        """Yield the JSON of each line of a stream as it comes; it is begun once."""
        try:
            with self._http.stream("GET", path, params=_given(params)) as answer:
                if not answer.is_success:
                    answer.read()
                    raise _refusal(answer, self._url)
                for line in answer.iter_lines():
                    yield json.loads(line)
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from error

    def _send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        version: int | None = None,
        params: Mapping[str, object] | None = None,
        timeout_s: float | None = None,
    ) -> Any:
        """Return the JSON of a write, or None where it has none; it is sent once."""
        headers = {} if version is None else {"If-Match": f'"{version}"'}
        answer = self._exchange(
            method, path, params=params, body=body, headers=headers, timeout_s=timeout_s
        )
        return answer.json() if answer.content else None

    def _items(
        self,
        path: str,
        params: Mapping[str, object],
        limit: int | None,
        *,
        largest: int | None = None,
    ) -> Iterator[Any]:
        """Yield the items of a list, page by page as they are asked for; `limit`: at most."""
        most = largest or LARGEST_PAGE
        size = most if limit is None else max(1, min(limit, most))
        return islice(self._all_items(path, {**params, "limit": size}), limit)

    def _all_items(self, path: str, params: Mapping[str, object]) -> Iterator[Any]:
        page = self._get(path, params)
        yield from page["items"]
        while page["next"] is not None:
            page = self._get(path, {**params, "cursor": page["next"]})
            yield from page["items"]

    def _annotate(
        self,
        method: str,
        path: str,
        feature: str,
        body: object,
        version: int | None,
        *,
        adds: bool = False,
    ) -> AnnotationRead:
        """Write to a feature: for `version`, or for the one that it has now.

        What contradicts nobody, like a comment or a tag (`adds`), is sent again for a newer one.
        """
        of = f"/features/{named(feature)}"
        for tried in range(1, _VERSIONS + 1):
            base = version if version is not None else self._get(f"{of}/annotation")["version"]
            try:
                answer = self._send(method, f"{of}{path}", body, version=base)
            except ChangedSinceError:
                if not adds or version is not None or tried == _VERSIONS:
                    raise
            else:
                return cast(AnnotationRead, answer)
        raise AssertionError("unreachable: the last try returns or raises")

    def _exchange(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, object] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> httpx2.Response:
        try:
            answer = self._http.request(
                method,
                path,
                params=_given(params or {}),
                json=body,
                headers=headers,
                timeout=httpx2.USE_CLIENT_DEFAULT if timeout_s is None else timeout_s,
            )
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise self._unreachable(error) from error
        if answer.is_success:
            return answer
        raise _refusal(answer, self._url)

    def _unreachable(self, error: Exception) -> UnreachableError:
        return UnreachableError(
            f"The instance at {self._url} does not answer ({type(error).__name__}); look whether "
            "it is up, and whether its address is right."
        )


def named(feature: str) -> str:
    """Return a feature's id, `{model}/{layer}-{set}/{index}`, as a part of a path."""
    return quote(feature, safe="/")


def _given(params: Mapping[str, object]) -> dict[str, Any]:
    return {name: _written(value) for name, value in params.items() if value is not None}


def _written(value: object) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return [_written(one) for one in value] if isinstance(value, list | tuple) else value


def _refusal(answer: httpx2.Response, url: str) -> ProblemError:
    try:
        problem = answer.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict) or "detail" not in problem:
        # A proxy, or another program at this address.
        problem = {
            "title": answer.reason_phrase,
            "detail": f"{url} answered {answer.status_code} and not as Scopebook does; look "
            "whether the address is right.",
        }
    problem["status"] = answer.status_code
    after = answer.headers.get("Retry-After", "")
    kind: Callable[..., ProblemError] = ChangedSinceError if "current" in problem else ProblemError
    return kind(problem, retry_after_s=int(after) if after.isdecimal() else None)
