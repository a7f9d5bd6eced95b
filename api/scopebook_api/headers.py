"""What every answer tells browsers to hold to: what a page may load, run and give away.

The policy of the pages is the one that their build has written into `index.html`, with the hash
of its one inline script; the header repeats it, since only a header reaches what stands above it
in the page, files that are no page, and `frame-ancestors`.
"""

import re
from html import unescape
from pathlib import Path
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scopebook.settings import settings
from scopebook_api.deps import PREFIX

_META: Final = re.compile(r'<meta http-equiv="content-security-policy" content="([^"]*)"')
#: JSON, events and files to be saved load nothing, wherever a browser is made to show them.
_DATA: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; sandbox"
#: The page that describes the API: its programs lie beside it, none of them inline.
_DESCRIPTION: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'"
)
#: Without the built pages there is nothing but the API.
_FILES: Final = "default-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'"
DOCS: Final = f"{PREFIX}/docs"
_ALWAYS: Final = {
    # What is text to us is not to be taken for a page by its looks.
    "X-Content-Type-Options": "nosniff",
    # Addresses hold what people search for.
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": (
        "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), hid=(), "
        "magnetometer=(), microphone=(), midi=(), payment=(), serial=(), usb=()"
    ),
}


def page_policy(index: Path) -> str:
    """Return the policy that a built page states of itself; a narrow one where there is none."""
    found = _META.search(index.read_text(encoding="utf-8")) if index.exists() else None
    return unescape(found[1]) if found else _FILES


#: Nobody who has opened a page holds on to its window, nor shares its process. Not for answers that
#: are sandboxed: browsers may take the two together for an error of the network.
_OF_PAGES: Final = {"Cross-Origin-Opener-Policy": "same-origin"}


class SafeHeaders:
    """Adds the headers to every answer, errors included; a route's own value stands."""

    def __init__(self, app: ASGIApp, *, pages: str) -> None:
        self._app, self._pages = app, pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the app does, with the headers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                policy = self._policy(scope["path"])
                more = {} if policy == _DATA else _OF_PAGES
                for name, value in (_ALWAYS | more).items():
                    headers.setdefault(name, value)
                policy = f"{policy}; frame-ancestors {framed_by(scope)}"
                headers.setdefault("Content-Security-Policy", policy)
            await send(message)

        await self._app(scope, receive, with_headers)

    def _policy(self, path: str) -> str:
        if path == DOCS:
            return _DESCRIPTION
        return _DATA if path == PREFIX or path.startswith(f"{PREFIX}/") else self._pages


def framed_by(scope: Scope) -> str:
    """Return the sites that may show a page in a frame: for all but cards of features, none."""
    return settings().embed_sites if scope["path"].startswith("/embed/") else "'none'"
