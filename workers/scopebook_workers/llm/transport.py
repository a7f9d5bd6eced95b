"""One POST of JSON: within a total time, up to a size, to no other host, without the key shown."""

import asyncio
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx2

from scopebook_workers.llm.chat import ChatFailedError

#: A completion is some kilobytes; whatever is larger is none.
LARGEST: Final = 4_000_000
#: Bytes of a refusal that are read.
SHOWN: Final = 1_000
#: A shorter key is a placeholder that may well stand in an answer by chance.
_SECRET_FROM: Final = 8
_HIDDEN: Final = b"[key]"
#: A pool looks at all of its connections for each request, so there are several small ones.
_POOLS: Final = 8


class NoConnectionError(ChatFailedError):
    """Nobody listens at the address, or it is not the host it claims to be."""

    def __init__(self, why: str, *, lasting: bool = False) -> None:
        super().__init__("connection", why)
        #: Asking again cannot help.
        self.lasting = lasting


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a server said, with the key struck out."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body's beginning in one line."""
        return " ".join(self.body[:SHOWN].decode(errors="replace").split())


class Transport:
    """Pools of connections to one address."""

    def __init__(self, url: str, *, key: str | None, timeout_s: float) -> None:
        self._url, self._timeout_s = url, timeout_s
        self._key = key.encode() if key else None
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        secure = httpx2.create_ssl_context()
        self._clients = [
            # The limiter decides how many run at once; redirects could carry the key elsewhere.
            httpx2.AsyncClient(
                headers=headers,
                verify=secure,
                timeout=httpx2.Timeout(timeout_s),
                limits=httpx2.Limits(max_connections=None, max_keepalive_connections=None),
                follow_redirects=False,
            )
            for _ in range(_POOLS)
        ]
        self._under_way = [0] * _POOLS

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients:
            await client.aclose()

    async def post(self, body: Mapping[str, Any]) -> Reply:
        """Return the reply, whatever its status.

        Raises ChatFailedError: `timeout` after the total time, `connection` when the reply does
        not come whole, `protocol` when it is larger than any completion.
        """
        content = json.dumps(body, ensure_ascii=False).encode(errors="replace")
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._balanced(content)
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise ChatFailedError(
                "timeout", f"no answer within {self._timeout_s:g} seconds"
            ) from error
        except (httpx2.ConnectError, httpx2.ProxyError) as error:
            raise _not_connected(error) from error
        except httpx2.DecodingError as error:
            raise ChatFailedError("protocol", "the answer cannot be unpacked") from error
        except httpx2.HTTPError as error:
            raise ChatFailedError(
                "connection", f"the connection broke ({type(error).__name__})"
            ) from error

    async def _balanced(self, content: bytes) -> Reply:
        """Use the pool with the fewest requests; one after the other use the same connection."""
        place = self._under_way.index(min(self._under_way))
        self._under_way[place] += 1
        try:
            return await self._exchange(self._clients[place], content)
        finally:
            self._under_way[place] -= 1

    async def _exchange(self, client: httpx2.AsyncClient, content: bytes) -> Reply:
        async with client.stream("POST", self._url, content=content) as response:
            parts: list[bytes] = []
            size = 0
            async for part in response.aiter_bytes():
                parts.append(part)
                size += len(part)
                if size > LARGEST:
                    raise ChatFailedError(
                        "protocol", f"the answer is larger than {LARGEST:,} bytes"
                    )
            status = response.status_code
            body = self._struck(b"".join(parts), status)
            return Reply(status=status, headers=response.headers, body=body)

    def _struck(self, body: bytes, status: int) -> bytes:
        if self._key is None or (status == 200 and len(self._key) < _SECRET_FROM):
            return body
        in_json = self._key.replace(b"/", b"\\/")
        return body.replace(self._key, _HIDDEN).replace(in_json, _HIDDEN)


def _not_connected(error: Exception) -> NoConnectionError:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return NoConnectionError("its certificate is not trusted here", lasting=True)
        cause = cause.__cause__ or cause.__context__
    return NoConnectionError(f"it cannot be reached ({type(error).__name__})")
