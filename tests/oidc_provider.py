"""A small OpenID provider that answers on this machine, and can lie in several ways."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "scopebook-test", "a secret of the client"


@cache
def _key(whose: str) -> RSAKey:
    """Return a key, made once: that takes long."""
    return RSAKey.generate_key(2048, {"kid": "1", "use": "sig"})


@dataclass
class Provider:
    """Who it vouches for, and what it does otherwise than it should."""

    url: str = ""
    #: What it says of who logs in there; nobody types anything.
    person: dict[str, Any] = field(default_factory=lambda: {"sub": "17"})
    #: Changes the claims before they are signed.
    spoil: Callable[[dict[str, Any]], object] = lambda claims: None
    algorithm: str = "RS256"
    #: Another key than the one that it publishes.
    foreign_key: bool = False
    calls_itself: str | None = None
    key: RSAKey = field(default_factory=lambda: _key("own"))
    #: By code: what the browser brought.
    visits: dict[str, dict[str, str]] = field(default_factory=dict)
    issued: list[str] = field(default_factory=list)

    def metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.calls_itself or self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
        }

    def authorize(self, asked: dict[str, str]) -> str:
        """Return where the browser goes back to, with a code."""
        assert asked["client_id"] == CLIENT
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        code = f"code-{len(self.visits)}"
        self.visits[code] = asked
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def token(self, sent: dict[str, str], authorization: str) -> dict[str, str] | None:
        """Return the tokens for a code, once; None if something about it is wrong."""
        asked = self.visits.pop(sent.get("code", ""), None)
        proof = hashlib.sha256(sent.get("code_verifier", "").encode()).digest()
        basic = base64.b64encode(f"{CLIENT}:{SECRET}".replace(" ", "%20").encode()).decode()
        plain = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if (
            asked is None
            or base64.urlsafe_b64encode(proof).decode().rstrip("=") != asked["code_challenge"]
            or sent.get("redirect_uri") != asked["redirect_uri"]
            or authorization not in (f"Basic {basic}", f"Basic {plain}")
        ):
            return None
        now = int(time.time())
        claims = {
            **{"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 300},
            **{"nonce": asked["nonce"], **self.person},
        }
        self.spoil(claims)
        self.issued.append(self._signed(claims))
        return {"access_token": "x", "token_type": "Bearer", "id_token": self.issued[-1]}

    def _signed(self, claims: dict[str, Any]) -> str:
        if self.algorithm in ("none", "HS256"):
            return self._forged(claims)
        key = _key("foreign") if self.foreign_key else self.key
        return jwt.encode({"alg": self.algorithm, "kid": "1"}, claims, key)

    def _forged(self, claims: dict[str, Any]) -> str:
        """Sign by what everybody knows: by nothing, or by the public key as if it were a secret."""
        parts = ({"alg": self.algorithm, "kid": "1"}, claims)
        signed = ".".join(_base64(json.dumps(part).encode()) for part in parts)
        known = self.key.as_pem(private=False)
        by_it = hmac.digest(known, signed.encode(), "sha256") if self.algorithm != "none" else b""
        return f"{signed}.{_base64(by_it)}"


def _base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


@contextmanager
def serve_provider() -> Iterator[Provider]:
    """Run a provider for the time of the block."""
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, asked = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
            if path == "/authorize":
                self.send_response(302)
                there = provider.authorize({name: value[0] for name, value in asked.items()})
                self.send_header("Location", there)
                self.end_headers()
            elif path == "/keys":
                self._answer({"keys": [provider.key.as_dict(private=False)]})
            else:
                self._answer(provider.metadata())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            sent = {name: value[0] for name, value in parse_qs(body).items()}
            tokens = provider.token(sent, self.headers.get("Authorization", ""))
            self._answer(tokens or {"error": "invalid_grant"}, 200 if tokens else 400)

        def _answer(self, value: object, status: int = 200) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(value).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
