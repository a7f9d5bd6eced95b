"""A feature's card in a frame of another site's page."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Browser, Page, expect

from annotating import make_reviewable, say
from annotation_server import serving
from scopebook.db.sessions import Sessions

FEATURE = "Tiny-Model/1-res-w1k-l0_8/0"


class Site(ThreadingHTTPServer):
    """A site of its own, since its port is another one; it has one page."""

    page = ""

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Site)
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(self.server.page.encode())

    def log_message(self, *_: object) -> None:
        """Keep the tests' output short."""


@contextmanager
def _site() -> Iterator[Site]:
    with Site(("127.0.0.1", 0), _Handler) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        yield site
        site.shutdown()


@pytest.fixture
def sites() -> Iterator[tuple[Site, Site]]:
    """Two sites: the first may show cards, the second may not."""
    with ExitStack() as stack:
        yield stack.enter_context(_site()), stack.enter_context(_site())


@pytest.fixture
def page(
    browser: Browser,
    database_url: str,
    sessions: Sessions,
    sites: tuple[Site, Site],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Page]:
    """A page of a browser before a real server over one feature."""
    with sessions.begin() as session:
        sae, run = make_reviewable(session)
        say(session, sae, run, "names of rivers")
    monkeypatch.setenv("SCOPEBOOK_EMBED_SITES", f"'self' {sites[0].url}")
    with serving(database_url, by_header=False) as url:
        context = browser.new_context(base_url=url, viewport={"width": 1280, "height": 900})
        context.set_default_timeout(20_000)
        yield context.new_page()
        context.close()


def test_the_copied_html_shows_a_card_on_the_sites_that_are_named(
    page: Page, sites: tuple[Site, Site]
) -> None:
    ours, another = sites
    page.goto(f"/features/{FEATURE}")
    page.get_by_text("Embed this feature").click()
    for site in sites:
        site.page = page.locator("[data-embed]").inner_text()
    here = page.url

    page.goto(ours.url)

    card = page.frame_locator("iframe")
    expect(card.get_by_role("heading", level=1)).to_have_text("names of rivers")
    expect(card.get_by_text("fires on 50 % of tokens")).to_be_visible()
    expect(card.locator("[data-gist]").first).to_be_visible()
    expect(card.get_by_role("navigation")).to_have_count(0)
    frame = page.frames[1]
    assert frame.evaluate("document.documentElement.scrollHeight <= innerHeight")
    with page.expect_popup() as opened:
        card.get_by_role("link", name="Open in Scopebook").click()
    assert opened.value.url == here
    for refused in (another, ours):
        # On a site that may show cards, the page itself is refused all the same.
        ours.page = ours.page.replace("/embed/", "/features/")
        with page.expect_event("requestfailed") as failed:
            page.goto(refused.url)
        assert failed.value.failure == "net::ERR_BLOCKED_BY_RESPONSE"
        assert failed.value.frame != page.main_frame
