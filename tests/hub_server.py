"""A server on loopback that speaks the Hugging Face hub's protocol, for tests of downloads.

Every folder `<root>/<owner>/<name>` is a model repository with one commit. As on the real hub,
`*.pt` and `*.safetensors` are redirected to another host (here: another name of the same one)
that takes no token, and everything else is served in place. Run as a program it prints its
address and serves until it is killed:

    python tests/hub_server.py ROOT
"""

import hashlib
import json
import re
import signal
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

_API = re.compile(r"/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?")
_RESOLVE = re.compile(r"/(cdn/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
_LARGE = (".pt", ".safetensors")


@dataclass(frozen=True)
class SeenRequest:
    """What a client asked for."""

    method: str
    path: str
    token: str | None
    first_byte: int


@dataclass
class Hub:
    """The repositories and what goes wrong with them; tests change it while it is served."""

    root: Path
    url: str = ""
    seen: list[SeenRequest] = field(default_factory=list)
    # Repository id -> the token that opens it; all of it (private) or its files only (gated).
    private: dict[str, str] = field(default_factory=dict)
    gated: dict[str, str] = field(default_factory=dict)
    # File name -> after how many bytes the connection drops, for each of the next downloads.
    cuts: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    # File name -> the size that the repository's listing states instead of the true one.
    stated_sizes: dict[str, int] = field(default_factory=dict)
    # Path prefix -> status of the answer.
    broken: dict[str, int] = field(default_factory=dict)

    def commit(self, repo: str) -> str:
        """Return the one commit of a repository: a hash of all its contents."""
        digest = hashlib.sha1(usedforsecurity=False)
        for path in self.files(repo):
            digest.update(f"{path.name} {_sha256(path)}".encode())
        return digest.hexdigest()

    def files(self, repo: str) -> list[Path]:
        """Return a repository's files in the order of their names."""
        return sorted(path for path in (self.root / repo).rglob("*") if path.is_file())

    def downloads(self, name: str) -> list[SeenRequest]:
        """Return the requests that got a file's content, or a part of it."""
        return [
            request
            for request in self.seen
            if request.method == "GET"
            and request.path.endswith(f"/{name}")
            and request.path.startswith("/cdn/") == name.endswith(_LARGE)
        ]


@contextmanager
def hub_server(root: Path) -> Iterator[Hub]:
    """Serve the repositories below a folder on a free port of loopback."""
    hub = Hub(root)
    handler = type("BoundHandler", (_Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield hub
        finally:
            server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer_request()

    def do_GET(self) -> None:
        self._answer_request()

    def log_message(self, format: str, *args: Any) -> None:
        """Stay quiet: `Hub.seen` is the log."""

    def _answer_request(self) -> None:
        path = unquote(urlsplit(self.path).path)
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        first = int((self.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
        self.hub.seen.append(SeenRequest(self.command, path, token, first))
        for prefix, status in self.hub.broken.items():
            if path.startswith(prefix):
                return self._refuse(status, "", "broken on purpose")
        if api := _API.fullmatch(path):
            return self._describe(api[1], api[2], token)
        if resolve := _RESOLVE.fullmatch(path):
            return self._resolve(resolve[2], resolve[3], resolve[4], token, bool(resolve[1]), first)
        return self._refuse(404, "", "no such page")

    def _known(self, repo: str, revision: str | None, token: str | None) -> bool:
        """Answer with a refusal unless the repository, its revision and the token are good."""
        if self.hub.private.get(repo, token) != token:
            self._refuse(401, "", "Invalid username or password.")
        elif not (self.hub.root / repo).is_dir():
            self._refuse(404, "RepoNotFound", "Repository not found")
        elif revision not in (None, "main", self.hub.commit(repo)):
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        else:
            return True
        return False

    def _describe(self, repo: str, revision: str | None, token: str | None) -> None:
        if not self._known(repo, revision, token):
            return
        siblings = []
        for path in self.hub.files(repo):
            content = path.read_bytes()
            name = path.relative_to(self.hub.root / repo).as_posix()
            size = self.hub.stated_sizes.get(name, len(content))
            sibling: dict[str, Any] = {"rfilename": name, "size": size, "blobId": _git_id(content)}
            if name.endswith(_LARGE):
                sibling["lfs"] = {"sha256": _sha256(path), "size": size, "pointerSize": 134}
            siblings.append(sibling)
        described = {
            "id": repo,
            "modelId": repo,
            "sha": self.hub.commit(repo),
            "private": repo in self.hub.private,
            "gated": "auto" if repo in self.hub.gated else False,
            "tags": [],
            "cardData": {"license": "other", "license_name": "qwen"},
            "siblings": siblings,
        }
        self._send(200, {"Content-Type": "application/json"}, json.dumps(described).encode())

    def _resolve(
        self, repo: str, revision: str, name: str, token: str | None, cdn: bool, first: int
    ) -> None:
        opened_by = self.hub.gated.get(repo)
        if not cdn and not self._known(repo, revision, token):
            return
        if not cdn and opened_by not in (None, token):
            self._refuse(
                403 if token else 401, "GatedRepo", f"Access to model {repo} is restricted"
            )
            return
        path = self.hub.root / repo / name
        if not path.is_file():
            self._refuse(404, "EntryNotFound", "Entry not found", self.hub.commit(repo))
        elif name.endswith(_LARGE) and not cdn:
            self._redirect(repo, revision, name, path)
        else:
            self._file(repo, name, path.read_bytes(), first)

    def _redirect(self, repo: str, revision: str, name: str, path: Path) -> None:
        port = urlsplit(self.hub.url).port
        headers = {
            "Location": f"http://localhost:{port}/cdn/{repo}/resolve/{revision}/{name}",
            "X-Repo-Commit": self.hub.commit(repo),
            "X-Linked-Etag": f'"{_sha256(path)}"',
            "X-Linked-Size": str(path.stat().st_size),
        }
        self._send(302, headers, b"")

    def _file(self, repo: str, name: str, content: bytes, first: int) -> None:
        headers = {
            "ETag": f'"{_git_id(content)}"',
            "X-Repo-Commit": self.hub.commit(repo),
            "Accept-Ranges": "bytes",
        }
        if first:
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        cuts = self.hub.cuts[name] if self.command == "GET" else []
        self._send(206 if first else 200, headers, content[first:], cuts.pop(0) if cuts else None)

    def _refuse(self, status: int, code: str, message: str, commit: str | None = None) -> None:
        headers = {"X-Error-Code": code, "X-Error-Message": message, "X-Repo-Commit": commit}
        self._send(status, headers, json.dumps({"error": message}).encode())

    def _send(
        self, status: int, headers: dict[str, Any], body: bytes, cut: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self.close_connection = True


def _sha256(path: Path) -> str:
    return _sha256_at(path, path.stat().st_mtime_ns)


@cache
def _sha256_at(path: Path, _changed: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _git_id(content: bytes) -> str:
    """Return what git calls a blob: the ETag of a small file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


if __name__ == "__main__":
    with hub_server(Path(sys.argv[1])) as served:
        sys.stdout.write(f"{served.url}\n")
        sys.stdout.flush()
        signal.pause()
