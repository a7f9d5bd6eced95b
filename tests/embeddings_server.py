"""A real local server that speaks `/v1/embeddings`: words become directions."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Embeddings:
    """How the server answers, and what it was asked."""

    dimension: int = 8
    status: int = 200
    body: bytes | None = None
    #: Statuses of the next answers, before `status` is that of all others.
    statuses: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)

    @property
    def texts(self) -> list[str]:
        """All texts it was asked about."""
        return [text for request in self.asked for text in request["input"]]

    def vector(self, text: str) -> list[float]:
        """Return the vector of a text: the letters it holds, not of unit length."""
        counts = [1.0] * self.dimension
        for char in text:
            counts[ord(char) % self.dimension] += 1
        return counts


@contextmanager
def serve_embeddings(answers: Embeddings | None = None) -> Iterator[Embeddings]:
    """Serve on a port of its own inside the block."""
    state = answers or Embeddings()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.asked.append(request)
            state.keys.append(self.headers.get("Authorization"))
            # Backwards: `index` counts, not the place.
            items = [
                {"index": i, "embedding": state.vector(text)}
                for i, text in reversed(list(enumerate(request["input"])))
            ]
            body = state.body or json.dumps({"data": items}).encode()
            status = state.statuses.pop(0) if state.statuses else state.status
            self.send_response(status if self.path == "/v1/embeddings" else 404)
            for name, value in state.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(BrokenPipeError, ConnectionResetError):  # who asked was killed
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
