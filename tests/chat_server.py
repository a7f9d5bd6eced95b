"""A real local server that speaks `/v1/chat/completions`: it answers as it is told."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "stub-1"
_WORDS = re.compile(r"^words: (.*)$", re.M)


def by_keywords(user: str) -> str:
    """Word each group by its first keyword, as a model would that reads only those."""
    groups = re.findall(r"^<\w+ group (\d+)>$", user, re.M)
    keywords = _WORDS.findall(user)
    senses = [
        {
            "clusters": [int(group)],
            "evidence": "its words",
            "label": f"Texts with {words.split(',')[0]}"[:80],
            "description": "",
            "kind": "topic",
            "confidence": 0.7,
        }
        for group, words in zip(groups, keywords, strict=True)
    ]
    return json.dumps({"senses": senses, "abstain": False})


@dataclass
class Chats:
    """How the server answers, and what it was asked."""

    answer: Callable[[str], str] = by_keywords
    #: Answers another status than 200 to a request, by its number.
    status_of: Callable[[int], int] = lambda number: 200
    #: The name it reports.
    model: str = MODEL
    #: What it answers at /tokenize; 404 without.
    tokenize: Callable[[dict[str, Any]], Any] | None = None
    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    tokens: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, request: dict[str, Any]) -> tuple[int, Any]:
        """Return status and body of an answer at /tokenize."""
        if self.tokenize is None:
            return 404, {"error": {"message": "no such path"}}
        return 200, self.tokenize(request)

    def reply(self, request: dict[str, Any], key: str | None) -> tuple[int, dict[str, Any]]:
        """Return status and body of one answer."""
        with self.lock:
            self.asked.append(request)
            self.keys.append(key)
            status = self.status_of(len(self.asked))
        if status != 200:
            return status, {"error": {"message": f"no, with the key {key}"}}
        user = next(m["content"] for m in reversed(request["messages"]) if m["role"] == "user")
        text = self.answer(user)
        tokens_in = sum(len(message["content"]) for message in request["messages"]) // 4
        with self.lock:
            self.tokens += tokens_in + len(text) // 4
        choice = {
            "message": {"role": "assistant", "content": text},
            "finish_reason": "stop",
        }
        usage = {"prompt_tokens": tokens_in, "completion_tokens": len(text) // 4}
        return 200, {"model": self.model, "choices": [choice], "usage": usage}


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


@contextmanager
def serve_chats(answers: Chats | None = None) -> Iterator[Chats]:
    """Serve on a port of its own inside the block."""
    state = answers or Chats()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "/v1/chat/completions":
                status, answer = state.reply(request, self.headers.get("Authorization"))
            elif self.path == "/tokenize":
                status, answer = state.count(request)
            else:
                status, answer = 404, {}
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
