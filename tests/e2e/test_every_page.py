"""What holds on every page."""

import gzip
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Response, expect

FIRST_LOAD_BYTES = 100_000


@pytest.fixture
def addresses(page: Page, feature_id: str) -> list[str]:
    """One address of each page."""
    demo = page.request.get("/api/status").json()["demo"]["id"]
    return [
        "/",
        "/?q=Chinese+text",
        "/?q=Python+code",
        "/features",
        f"/features/{feature_id}",
        "/labels",
        "/lists",
        "/review",
        "/map",
        "/runs",
        "/login",
        "/account",
        "/accounts",
        f"/jobs/{demo}",
    ]


def _visited(page: Page, addresses: list[str]) -> Iterator[str]:
    """Open each address and wait until it shows what it is for."""
    for address in addresses:
        page.goto(address)
        expect(page.locator("main h1")).to_have_count(1)
        if address.startswith("/?q="):
            expect(page.locator("[data-hit]").first).to_be_visible()
        expect(page.locator(".skeleton")).to_have_count(0)
        yield address


def test_no_page_scrolls_sideways_on_a_phone(page: Page, addresses: list[str]) -> None:
    page.set_viewport_size({"width": 390, "height": 844})

    widths = {
        address: page.evaluate("document.documentElement.scrollWidth")
        for address in _visited(page, addresses)
    }

    assert {address: width for address, width in widths.items() if width > 390} == {}


def test_no_page_complains_or_leaves_the_instance(
    page: Page, addresses: list[str], complaints: list[str], asked_elsewhere: list[str]
) -> None:
    visited = list(_visited(page, addresses))

    assert visited == addresses
    assert complaints == []
    assert asked_elsewhere == []


def test_the_first_page_is_light(page: Page) -> None:
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))

    page.goto("/")
    expect(page.get_by_role("searchbox")).to_be_visible()
    page.wait_for_load_state("networkidle")

    files = [answer for answer in answers if "/api/" not in answer.url]
    assert files
    assert sum(len(gzip.compress(answer.body())) for answer in files) < FIRST_LOAD_BYTES


def test_a_chosen_theme_holds_on_every_page_and_after_a_reload(
    page: Page, addresses: list[str]
) -> None:
    page.goto("/")
    background = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(background)

    page.get_by_role("button", name="Switch to dark mode").click()
    dark = page.evaluate(background)

    assert dark != light
    assert {page.evaluate(background) for _ in _visited(page, addresses)} == {dark}
    page.reload()
    expect(page.get_by_role("button", name="Switch to light mode")).to_be_visible()


def test_the_theme_is_the_systems_unless_one_is_chosen(page: Page) -> None:
    page.emulate_media(color_scheme="dark")

    page.goto("/")

    expect(page.get_by_role("button", name="Switch to light mode")).to_be_visible()


def test_an_address_that_leads_nowhere_says_so(page: Page) -> None:
    page.goto("/nowhere/at/all")

    expect(page.get_by_text("There is no such page")).to_be_visible()
    page.get_by_role("link", name="Search the dictionary").click()
    expect(page).to_have_url(re.compile(r"/$"))


def test_the_first_stop_of_the_keyboard_skips_to_the_content(page: Page) -> None:
    page.goto("/features")
    expect(page.locator("tbody tr").first).to_be_visible()

    page.keyboard.press("Tab")

    expect(page.get_by_role("link", name="To the content")).to_be_focused()
