"""A judge that knows the answers: a local server that reads the prompt and looks them up.

It is told what each description means, and where each word belongs. Everything else it must find
in the request: the lines with the random word, the description, the passages. It refuses a request
whose first message is not a scorer's, so that a prompt that has changed is noticed.
"""

import asyncio
import hashlib
import http.client
import json
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from scopebook_workers.labeling.scoring.prompts import DETECTION, FUZZING
from scopebook_workers.llm.chat import ChatAnswer, ChatFailedError, ChatRequest

#: Tells of a description and a passage whether the one fits the other.
Fits = Callable[[str, str], bool]

MODEL: Final = "answer-key"
#: Requests under way at once.
PARALLEL: Final = 8
_BLOCK: Final = re.compile(r"^<(\w{12}) ([a-z]+)(?: \d+)?>\n(.*?)\n</\1 \2[^>]*>$", re.S | re.M)
_MARKED: Final = re.compile(r"⟦(.*?)⟧", re.S)
_FIELDS: Final = {DETECTION: "fires", FUZZING: "right"}


class Judge:
    """Answers by the key; a share of the answers, drawn by their content, is turned around."""

    def __init__(self, fits: Fits, *, wrong: float = 0.0, garbled: float = 0.0) -> None:
        self._fits = fits
        self._wrong = wrong
        self._garbled = garbled

    def answer(self, system: str, user: str) -> str:
        """Return the text of the answer to a request."""
        field = _FIELDS[system]
        blocks = [(kind, text) for _, kind, text in _BLOCK.findall(user)]
        [description] = [text for kind, text in blocks if kind == "description"]
        passages = [text for kind, text in blocks if kind == "passage"]
        if _chance(user) < self._garbled:
            return "I cannot say. Perhaps the first?"
        return json.dumps({field: [self.says(field, description, text) for text in passages]})

    def says(self, field: str, description: str, passage: str) -> bool:
        """Tell whether the description fits, or the contrary for the share that is wrong."""
        shown = " ".join(_MARKED.findall(passage)) if field == "right" else passage
        truth = self._fits(description, shown)
        return truth is not (_chance(f"{description}\0{passage}") < self._wrong)


def _chance(text: str) -> float:
    """Return a number from 0 to 1 that looks random and depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) / 2**32


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """Answer one request for a completion."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        system, user = (message["content"] for message in asked["messages"])
        text = self.server.judge.answer(system, user)  # type: ignore[attr-defined]
        choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        usage = {
            "prompt_tokens": (len(system) + len(user)) // 4,
            "completion_tokens": len(text) // 4,
            "prompt_tokens_details": {"cached_tokens": len(system) // 4},
        }
        body = json.dumps({"model": MODEL, "choices": [choice], "usage": usage}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Keep requests out of the benchmark's output."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 4 * PARALLEL

    def __init__(self, judge: Judge) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.judge = judge


class JudgeChat:
    """The judge's server, asked over HTTP with one connection a thread."""

    def __init__(self, port: int, pool: ThreadPoolExecutor) -> None:
        self._port = port
        self._pool = pool
        self._own = threading.local()

    @property
    def model(self) -> str:
        """The model's name."""
        return MODEL

    @property
    def endpoint(self) -> str:
        """The server's address."""
        return f"http://127.0.0.1:{self._port}/v1"

    async def ask(self, request: ChatRequest) -> ChatAnswer:
        """Return the answer."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._ask, request)

    def _ask(self, request: ChatRequest) -> ChatAnswer:
        messages = [{"role": m.role, "content": m.content} for m in request.messages]
        body = json.dumps({"model": MODEL, "messages": messages, "temperature": 0.0})
        connection = getattr(self._own, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
            self._own.connection = connection
        connection.request("POST", "/v1/chat/completions", body.encode())
        response = connection.getresponse()
        text = response.read()
        if response.status != 200:
            raise ChatFailedError("server", f"The judge answered {response.status}.")
        said = json.loads(text)
        return ChatAnswer(
            text=said["choices"][0]["message"]["content"],
            model=said["model"],
            finish_reason=said["choices"][0]["finish_reason"],
            tokens_in=said["usage"]["prompt_tokens"],
            tokens_cached=said["usage"]["prompt_tokens_details"]["cached_tokens"],
            tokens_out=said["usage"]["completion_tokens"],
        )


@contextmanager
def serving(judge: Judge) -> Iterator[JudgeChat]:
    """Start the judge's server on a free port, and end it with all its connections."""
    server = _Server(judge)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        with ThreadPoolExecutor(PARALLEL) as pool:
            yield JudgeChat(server.server_port, pool)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
