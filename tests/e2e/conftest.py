"""One real instance, killed once in its first run, and a real browser to look at it."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from asked_models import Asked, judge
from chat_server import Chats, by_keywords, serve_chats
from running import SCOPEBOOK, Running, environment, run

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
#: Only what fails waits so long.
PATIENCE_MS = 60_000
FIRST_RUN_S = 1800
#: Two workers whatever the machine, and shards small enough to see many of them come and go.
VARIABLES = {"SCOPEBOOK_WORKERS": "2", "SCOPEBOOK_SHARD_TOKENS": "16000"}


def _chromium() -> str | None:
    """Return the machine's Chromium; null lets Playwright take its own."""
    names = [os.environ.get("CHROMIUM", ""), *CHROMIUM_NAMES]
    return next((path for name in names if name and (path := shutil.which(name))), None)


def _collecting(status: Any) -> bool:
    """Tell whether a shard is being collected, in the middle of the first run."""
    demo = status["demo"]
    return demo is not None and any(
        step["kind"] == "shard.collect" and step["state"] in ("running", "done")
        for step in demo["steps"]
    )


def _built(status: Any) -> bool:
    demo = status["demo"]
    assert demo is None or demo["state"] not in ("failed", "cancelled"), demo
    return demo is not None and demo["state"] == "done"


@pytest.fixture(scope="session")
def instance() -> Iterator[Running]:
    """Start, kill everything in the middle of the first run, start again, build the demo."""
    data_dir = Path(tempfile.mkdtemp(prefix="scopebook-e2e-"))
    data_dir.chmod(0o755)  # so that the server, which root runs as nobody, keeps its data in it
    running = Running(data_dir, variables=VARIABLES)
    running.start()
    try:
        running.wait_for("/api/status", _collecting, within_s=FIRST_RUN_S)
        running.kill_everything()
        running.start()
        running.wait_for("/api/status", _built, within_s=FIRST_RUN_S)
        yield running
    finally:
        ended = running.stop()
        log = running.log()
        shutil.rmtree(data_dir)
    assert ended == 0, log


@pytest.fixture(scope="session")
def base_url(instance: Running) -> str:
    """Where the instance answers."""
    return instance.url


@pytest.fixture(scope="session")
def loaded(base_url: str) -> None:
    """Let the model be loaded, which can take longer than a page is waited for."""
    [release] = httpx2.get(f"{base_url}/api/releases").json()["items"]
    answer = httpx2.post(
        f"{base_url}/api/inspect",
        json={"model": release["name"], "text": "A river."},
        headers={"Accept": "text/event-stream", "X-Scopebook": "1"},
        timeout=600,
    )
    assert "event: answer" in answer.text, answer.text


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


@pytest.fixture(scope="session")
def asked(instance: Running) -> Iterator[Asked]:
    """Ask about the first twelve features of layer 2, of which one abstains and one fails.

    What comes of it is then judged while the tests that need no judge go on.
    """
    answers = {0: json.dumps({"senses": [], "abstain": True}), 1: "no JSON", 2: "still none"}
    chats = Chats()
    chats.answer = lambda user: answers.get(len(chats.asked) - 1) or by_keywords(user)
    [release] = {item["release"] for item in instance.get("/api/labels/coverage")["items"]}
    with serve_chats(chats), serve_chats(Chats(answer=judge, model="judge-1")) as judges:
        there = [release, "--layers", "2", "--endpoint"]
        done = run(
            instance.data_dir,
            *("label", *there, chats.url, "--llm", "stub"),
            *("--parallel", "1", "--limit", "12", "--json"),
        )
        assert done.returncode == 0, done.stderr
        judging = subprocess.Popen(
            [
                *(*SCOPEBOOK, "score", *there, judges.url, "--llm", "judge", "--json"),
                *("--source", "llm", "--scorers", "detection", "--sample", "4"),
            ],
            env=environment(instance.data_dir),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        yield Asked(chats, json.loads(done.stdout)["id"], judging)
        judging.kill()
        judging.communicate()


@pytest.fixture(scope="session")
def judged(asked: Asked) -> Asked:
    """Wait until the labels are judged."""
    _, said = asked.judging.communicate(timeout=1200)
    assert asked.judging.returncode == 0, said
    return asked
