"""HTTP by hand, so that it can be broken at any place: read a request, write a reply."""

import asyncio
import json
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from typing import Any, Final

PIECE: Final = b" " * 65_536


@dataclass(frozen=True)
class Asked:
    """One request."""

    path: str
    #: The Authorization header.
    key: str
    body: dict[str, Any]
    #: Of the messages: the same for the same content.
    digest: bytes

    @property
    def schema(self) -> dict[str, Any] | None:
        """The schema that the answer must follow, if one is given."""
        wanted = self.body.get("response_format") or {}
        return (wanted.get("json_schema") or {}).get("schema")


async def read_request(reader: asyncio.StreamReader) -> Asked | None:
    """Return the next request, or None when the other side has gone."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    content = await reader.readexactly(int(headers.get("content-length", 0)))
    body = json.loads(content) if content else {}
    spoken = json.dumps(body.get("messages"), sort_keys=True).encode()
    return Asked(
        first.split(" ")[1], headers.get("authorization", ""), body, sha256(spoken).digest()
    )


async def send(
    writer: asyncio.StreamWriter,
    status: int,
    content: bytes,
    *,
    kind: str = "application/json",
    extra: Mapping[str, str] | None = None,
) -> bool:
    """Write a whole reply; the connection stays open."""
    send_head(writer, status, len(content), kind=kind, extra=extra)
    writer.write(content)
    await writer.drain()
    return True


def send_head(
    writer: asyncio.StreamWriter,
    status: int,
    length: int,
    *,
    kind: str = "application/json",
    extra: Mapping[str, str] | None = None,
) -> None:
    """Write a reply's beginning, true or not."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Planned"
    headers = {"Content-Type": kind, "Content-Length": str(length), **(extra or {})}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"HTTP/1.1 {status} {phrase}\r\n{lines}\r\n".encode("latin-1"))


def abort(writer: asyncio.StreamWriter) -> None:
    """End the connection with a reset instead of a goodbye."""
    opened = writer.get_extra_info("socket")
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def completion(
    fault: str | None, text: str, model: str, usage: dict[str, Any] | None
) -> dict[str, Any]:
    """Return an answer of the protocol, good or with one of its own ways to fail."""
    message: dict[str, Any] = {"role": "assistant", "content": text}
    finish = "stop"
    if fault == "bad_json":
        message["content"] = f"**The pattern:** {text[: len(text) // 2]}"
    elif fault == "refusal":
        message = {"role": "assistant", "content": None, "refusal": "I cannot help with that."}
    elif fault == "empty":
        message["content"] = " "
    elif fault in ("length", "content_filter"):
        message["content"], finish = text[: len(text) // 2], fault
    return {
        "id": "chatcmpl-stub",
        "object": "chat.completion",
        "model": "another-model" if fault == "wrong_model" else model,
        "system_fingerprint": "fp_stub",
        "choices": [{"index": 0, "finish_reason": finish, "message": message}],
        **({"usage": usage} if usage is not None else {}),
    }
