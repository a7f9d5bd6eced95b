"""A language model's server that fails by plan: a real one, on a port of its own.

    def answer(messages, schema):            # what a stub says: text, from the conversation alone
        return '{"abstain": true}'

    with StubServer(answer, delay_s=0.05, faults=Faults(shares={"429": 0.05})) as server:
        ...ask server.url...
        server.counts().requests

Which request suffers which fault is drawn from a hash of its messages, so it is the same in each
run and does not depend on the order. `own_process=True` serves from another process, for timing;
`answer` must then be picklable (a function of a module, or an object of a module's class).
"""

import asyncio
import http.client
import json
import multiprocessing
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Final, Self

from benchmarks.labels.stubs.exchange import (
    PIECE,
    Asked,
    abort,
    completion,
    read_request,
    send,
    send_head,
)
from benchmarks.labels.stubs.plan import Faults, tokens_of

#: Says the answer's text, given the messages (`role`, `content`) and the schema, if one is asked.
Answering = Callable[[Sequence[Mapping[str, str]], dict[str, Any] | None], str]

_HUGE: Final = 50_000_000
_CACHED_FROM: Final = 1_024
_PAGE: Final = b"<!doctype html><title>Bad gateway</title><h1>Please try again</h1>"


@dataclass
class Counts:
    """What a server was asked, and what it said."""

    requests: int = 0
    #: Answers that were good, and contents that got more than one of these.
    answered: int = 0
    answered_twice: int = 0
    most_at_once: int = 0
    tokens_in: int = 0
    tokens_cached: int = 0
    tokens_out: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    #: First messages that differ in a byte, and the tokens of the shortest.
    prefixes: int = 0
    shortest_prefix: int = 0
    #: What the answering function raised: a mistake of the stub.
    mistakes: list[str] = field(default_factory=list)


class StubServer:
    """Serves `/v1/chat/completions` inside a `with` block."""

    def __init__(
        self,
        answer: Answering,
        *,
        delay_s: float = 0.0,
        faults: Faults | None = None,
        own_process: bool = False,
        count: Callable[[str], int] = tokens_of,
        tokenizes: bool = False,
    ) -> None:
        """`tokenizes` opens `/tokenize`, which says what `count` makes of a text."""
        self._desk = _Desk(answer, delay_s, faults or Faults(), count, tokenizes=tokenizes)
        self._own_process = own_process
        self._worker: Any = None
        self._pipe: Connection | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self._port}/v1"

    def counts(self) -> Counts:
        """Return what has happened so far."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request("GET", "/counts")
            return Counts(**json.loads(connection.getresponse().read()))
        finally:
            connection.close()

    def __enter__(self) -> Self:
        """Start, and wait until the port is open."""
        ours, theirs = multiprocessing.get_context("spawn").Pipe()
        if self._own_process:
            context = multiprocessing.get_context("spawn")
            self._worker = context.Process(target=_serve, args=(self._desk, theirs), daemon=True)
        else:
            self._worker = threading.Thread(target=_serve, args=(self._desk, theirs), daemon=True)
        self._worker.start()
        self._pipe = ours
        self._port = ours.recv()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Stop; requests that hang are cut off."""
        assert self._pipe is not None
        self._pipe.send("stop")
        self._worker.join(10)
        self._pipe.close()


def _serve(desk: "_Desk", pipe: Connection) -> None:
    asyncio.run(_serve_until_told(desk, pipe))


async def _serve_until_told(desk: "_Desk", pipe: Connection) -> None:
    server = await asyncio.start_server(desk.connected, "127.0.0.1", 0, backlog=512)
    pipe.send(server.sockets[0].getsockname()[1])
    told = asyncio.Event()
    asyncio.get_running_loop().add_reader(pipe.fileno(), told.set)
    await told.wait()
    server.close()
    for task in desk.open:
        task.cancel()
    await asyncio.gather(*desk.open, return_exceptions=True)


class _Desk:
    """Takes requests, keeps count, and answers or fails."""

    def __init__(
        self,
        answer: Answering,
        delay_s: float,
        faults: Faults,
        count: Callable[[str], int],
        *,
        tokenizes: bool,
    ) -> None:
        self._answer, self._delay_s, self._faults = answer, delay_s, faults
        self._tokens_of, self._tokenizes = count, tokenizes
        self._counts = Counts()
        self._now = 0
        self._seen: dict[bytes, int] = {}
        self._good: dict[bytes, int] = {}
        self._prefixes: dict[str, int] = {}
        self.open: set[asyncio.Task[Any]] = set()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request after the other until the other side, or a fault, ends it."""
        task = asyncio.current_task()
        assert task is not None
        self.open.add(task)
        try:
            while (asked := await read_request(reader)) is not None:
                if not await self._handle(asked, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.open.discard(task)
            writer.close()

    async def _handle(self, asked: Asked, writer: asyncio.StreamWriter) -> bool:
        """Return whether the connection stays open."""
        if asked.path == "/counts":
            return await send(writer, 200, json.dumps(vars(self._counts)).encode())
        if asked.path == "/tokenize" and self._tokenizes:
            counted = {"count": self._tokens_of(asked.body["prompt"])}
            return await send(writer, 200, json.dumps(counted).encode())
        if asked.path != "/v1/chat/completions":
            return await send(writer, 404, b'{"error": {"message": "no such path"}}')
        self._counts.requests += 1
        self._now += 1
        self._counts.most_at_once = max(self._counts.most_at_once, self._now)
        try:
            return await self._reply(asked, writer)
        finally:
            self._now -= 1

    async def _reply(self, asked: Asked, writer: asyncio.StreamWriter) -> bool:
        unknown = self._faults.unknown(asked.body)
        if unknown is not None:
            said = {"error": {"message": unknown, "type": "invalid_request_error"}}
            return await send(writer, self._faults.unknown_status, json.dumps(said).encode())
        times = self._seen[asked.digest] = self._seen.get(asked.digest, 0) + 1
        fault = self._faults.of(asked.digest, times)
        if fault is not None:
            self._counts.faults[fault] = self._counts.faults.get(fault, 0) + 1
        await asyncio.sleep(self._delay_s)
        if fault in _BREAKING:
            return await _break(fault, self._faults, writer)
        if fault is not None and fault.isdecimal():
            return await self._refuse(int(fault), asked, writer)
        if fault == "html":
            return await send(writer, 200, _PAGE, kind="text/html")
        return await self._say(fault, asked, writer)

    async def _refuse(self, status: int, asked: Asked, writer: asyncio.StreamWriter) -> bool:
        # Some hosts quote the key in their refusal; nobody may repeat it.
        said = {"error": {"message": f"refused by plan; {asked.key}", "code": self._faults.code}}
        extra = {"Location": self._faults.location} if 300 <= status < 400 else {}
        if status in (429, 503) and self._faults.retry_after is not None:
            extra["Retry-After"] = self._faults.retry_after
        return await send(writer, status, json.dumps(said).encode(), extra=extra)

    async def _say(self, fault: str | None, asked: Asked, writer: asyncio.StreamWriter) -> bool:
        try:
            text = self._answer(asked.body["messages"], asked.schema)
        except Exception as error:  # the process's edge: a stub's mistake must be seen, not hang
            self._counts.mistakes.append(f"{type(error).__name__}: {error}"[:300])
            return await send(writer, 500, b'{"error": {"message": "the stub made a mistake"}}')
        usage = self._count(asked, text)
        said = completion(fault, text, asked.body["model"], usage if self._faults.usage else None)
        content = json.dumps(said).encode()
        if fault is None:
            self._note_good(asked.digest)
        return await send(writer, 200, content[: len(content) // 2] if fault == "cut" else content)

    def _note_good(self, digest: bytes) -> None:
        times = self._good[digest] = self._good.get(digest, 0) + 1
        self._counts.answered += 1
        self._counts.answered_twice += times == 2

    def _count(self, asked: Asked, text: str) -> dict[str, Any]:
        contents = [message["content"] for message in asked.body["messages"]]
        first = self._prefixes.get(contents[0])
        cached = first if first is not None and first >= _CACHED_FROM else 0
        if first is None:
            first = self._prefixes[contents[0]] = self._tokens_of(contents[0])
            self._counts.prefixes = len(self._prefixes)
            self._counts.shortest_prefix = min(self._prefixes.values())
        read = first + sum(map(self._tokens_of, contents[1:])) + 4 * len(contents)
        written = self._tokens_of(text)
        self._counts.tokens_in += read
        self._counts.tokens_cached += cached
        self._counts.tokens_out += written
        return {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
            "prompt_tokens_details": {"cached_tokens": cached},
        }


_BREAKING: Final = ("hang", "trickle", "reset", "truncated", "huge")


async def _break(fault: str, faults: Faults, writer: asyncio.StreamWriter) -> bool:
    """Leave the protocol: nothing, byte by byte, half, or far too much."""
    if fault == "hang":
        await asyncio.sleep(faults.hang_s)
    elif fault == "reset":
        abort(writer)
    elif fault == "truncated":
        send_head(writer, 200, 1_000)
        writer.write(b'{"choices": [')
        await writer.drain()
    elif fault == "trickle":
        send_head(writer, 200, _HUGE)
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.01)
    else:
        send_head(writer, 200, _HUGE)
        for _ in range(_HUGE // len(PIECE)):
            writer.write(PIECE)
            await writer.drain()
    return False
