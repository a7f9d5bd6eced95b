"""One real instance, killed once in its first run, and a real browser to look at it."""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from running import Running

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Nothing that a browser does by itself may reach for the network.
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PATIENCE_MS = 20_000


def _chromium() -> str | None:
    """Return the machine's Chromium; null lets Playwright take its own."""
    names = [os.environ.get("CHROMIUM", ""), *CHROMIUM_NAMES]
    return next((path for name in names if name and (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """An instance that built its demo dictionary although everything was killed meanwhile."""
    running = Running(tmp_path_factory.mktemp("instance") / "data")
    running.start()
    running.wait_for(
        "/api/status",
        lambda status: status["demo"] and status["demo"]["progress"] > 0.2,
        within_s=300,
    )
    running.kill_everything()
    running.start()
    running.wait_for("/api/status", lambda status: status["demo"]["state"] == "done", within_s=900)
    yield running
    running.stop()


@pytest.fixture(scope="session")
def base_url(instance: Running) -> str:
    """Where the instance answers."""
    return instance.url


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for the whole run."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_chromium(), args=CHROMIUM_ARGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, base_url: str) -> Iterator[Page]:
    """A page of a fresh profile, 1280 pixels wide; addresses are relative to the instance."""
    expect.set_options(timeout=PATIENCE_MS)
    context = browser.new_context(
        base_url=base_url, viewport={"width": 1280, "height": 900}, color_scheme="light"
    )
    context.set_default_timeout(PATIENCE_MS)
    yield context.new_page()
    context.close()


@pytest.fixture
def complaints(page: Page) -> list[str]:
    """Errors and warnings that `page` writes to its console."""
    said: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            said.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: said.append(str(error)))
    return said


@pytest.fixture
def asked_elsewhere(page: Page, base_url: str) -> list[str]:
    """Requests of `page` that leave the instance."""
    seen: list[str] = []

    def note(request: Request) -> None:
        if not request.url.startswith((f"{base_url}/", "data:", "blob:")):
            seen.append(request.url)

    page.on("request", note)
    return seen


@pytest.fixture
def feature_id(page: Page) -> str:
    """The feature that answers "Chinese text" best."""
    answer = page.request.get("/api/search", params={"q": "Chinese text", "limit": 1}).json()
    return str(answer["items"][0]["id"])
