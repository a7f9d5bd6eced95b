"""A server on loopback that speaks the hub's protocol for data sets, as far as streaming needs it.

Every folder `<root>/<owner>/<name>` is a data set with one commit.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

_INFO = re.compile(r"/api/datasets/([^/]+/[^/]+)(?:/revision/([^/]+))?")
_TREE = re.compile(r"/api/datasets/([^/]+/[^/]+)/tree/([^/]+)/?(.*)")
_PATHS = re.compile(r"/api/datasets/([^/]+/[^/]+)/paths-info/([^/]+)")
_RESOLVE = re.compile(r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


@dataclass
class DatasetHub:
    """The data sets and what goes wrong with them; tests change it while it is served."""

    root: Path
    url: str = ""
    #: Data set -> the token that opens its files.
    gated: dict[str, str] = field(default_factory=dict)
    #: Data set -> the token without which it is not seen at all.
    private: dict[str, str] = field(default_factory=dict)
    #: File name -> how many bytes of it are sent before the connection drops, every time.
    cuts: dict[str, int] = field(default_factory=dict)
    #: Status that answers everything.
    broken: int | None = None
    sent_bytes: int = 0

    def commit(self, repo: str) -> str:
        """Return the one commit of a data set."""
        digest = hashlib.sha1(usedforsecurity=False)
        for path in self.files(repo):
            digest.update(path.name.encode() + path.read_bytes())
        return digest.hexdigest()

    def files(self, repo: str) -> list[Path]:
        """Return the files in the order of their names."""
        return sorted(path for path in (self.root / repo).rglob("*") if path.is_file())


@contextmanager
def dataset_server(root: Path) -> Iterator[DatasetHub]:
    """Serve the data sets below a folder on a free port of loopback."""
    hub = DatasetHub(root)
    handler = type("BoundHandler", (_Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield hub
        finally:
            server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    hub: DatasetHub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer_request(b"")

    def do_GET(self) -> None:
        self._answer_request(b"")

    def do_POST(self) -> None:
        self._answer_request(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def log_message(self, format: str, *args: Any) -> None:
        """Stay quiet."""

    def _answer_request(self, body: bytes) -> None:
        path = unquote(urlsplit(self.path).path)
        if self.hub.broken:
            return self._refuse(self.hub.broken, "", "broken on purpose")
        for pattern, answer in (
            (_INFO, self._info),
            (_TREE, self._tree),
            (_PATHS, lambda repo, _revision: self._paths(repo, body)),
            (_RESOLVE, self._resolve),
        ):
            if match := pattern.fullmatch(path):
                if self._known(match[1], match[2]):
                    answer(*match.groups())
                return None
        return self._refuse(404, "", "no such page")

    def _known(self, repo: str, revision: str | None) -> bool:
        """Answer with a refusal unless the data set, its revision and the token are good."""
        token = self._token()
        if self.hub.private.get(repo, token) != token:
            self._refuse(401, "", "Invalid username or password.")
        elif not (self.hub.root / repo).is_dir():
            self._refuse(404, "RepoNotFound", "Repository not found")
        elif revision not in (None, "main", self.hub.commit(repo)):
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        else:
            return True
        return False

    def _token(self) -> str | None:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None

    def _info(self, repo: str, _revision: str | None) -> None:
        self._json(
            {
                "id": repo,
                "sha": self.hub.commit(repo),
                "private": False,
                "gated": "auto" if repo in self.hub.gated else False,
                "tags": [],
                "siblings": [{"rfilename": entry["path"]} for entry in self._entries(repo)],
            }
        )

    def _entries(self, repo: str) -> list[dict[str, Any]]:
        return [
            {
                "type": "file",
                "path": path.relative_to(self.hub.root / repo).as_posix(),
                "size": path.stat().st_size,
                "oid": hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest(),
            }
            for path in self.hub.files(repo)
        ]

    def _folders(self, repo: str) -> list[dict[str, Any]]:
        return [
            {
                "type": "directory",
                "path": path.relative_to(self.hub.root / repo).as_posix(),
                "size": 0,
                "oid": hashlib.sha1(str(path).encode(), usedforsecurity=False).hexdigest(),
            }
            for path in sorted((self.hub.root / repo).rglob("*"))
            if path.is_dir()
        ]

    def _tree(self, repo: str, _revision: str, folder: str) -> None:
        if folder and not (self.hub.root / repo / folder).is_dir():
            self._refuse(404, "EntryNotFound", "Entry not found")
            return
        recursive = parse_qs(urlsplit(self.path).query).get("recursive") == ["True"]
        base = f"{folder}/" if folder else ""
        entries = [
            entry
            for entry in self._entries(repo) + self._folders(repo)
            if entry["path"].startswith(base)
            and (recursive or "/" not in entry["path"].removeprefix(base))
        ]
        self._json(entries)

    def _paths(self, repo: str, body: bytes) -> None:
        try:
            paths = json.loads(body)["paths"]
        except ValueError:
            paths = parse_qs(body.decode())["paths"]
        known = self._entries(repo) + self._folders(repo)
        self._json([entry for entry in known if entry["path"] in paths])

    def _resolve(self, repo: str, _revision: str, name: str) -> None:
        path = self.hub.root / repo / name
        if self.hub.gated.get(repo) not in (None, self._token()):
            self._refuse(401, "GatedRepo", f"Access to dataset {repo} is restricted")
        elif not path.is_file():
            self._refuse(404, "EntryNotFound", "Entry not found")
        else:
            self._file(repo, path.name, path.read_bytes())

    def _file(self, repo: str, name: str, content: bytes) -> None:
        first, _, last = (self.headers.get("Range") or "bytes=0-")[6:].partition("-")
        part = content[int(first) : int(last) + 1 if last else None]
        headers = {
            "ETag": f'"{hashlib.sha1(content, usedforsecurity=False).hexdigest()}"',
            "X-Repo-Commit": self.hub.commit(repo),
            "Accept-Ranges": "bytes",
        }
        if "Range" in self.headers:
            end = int(first) + len(part) - 1
            headers["Content-Range"] = f"bytes {first}-{end}/{len(content)}"
        status = 206 if "Range" in self.headers else 200
        self._send(status, headers, part, self.hub.cuts.get(name))

    def _refuse(self, status: int, code: str, message: str) -> None:
        headers = {"X-Error-Code": code, "X-Error-Message": message}
        self._send(status, headers, json.dumps({"error": message}).encode())

    def _json(self, value: object) -> None:
        self._send(200, {"Content-Type": "application/json"}, json.dumps(value).encode())

    def _send(
        self, status: int, headers: dict[str, str], body: bytes, cut: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        sent = body if cut is None else body[:cut]
        self.wfile.write(sent)
        self.hub.sent_bytes += len(sent)
        if cut is not None:
            self.close_connection = True
