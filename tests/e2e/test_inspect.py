"""A text through the model on the page Inspect: which features fire on which token."""

import re

import pytest
from playwright.sync_api import Locator, Page, Request, expect

pytestmark = pytest.mark.usefixtures("loaded")

CHINESE = re.compile(r"[\u3000-\u9fff\uff00-\uffef]")
ROWS = "[data-feature]"


def _lit(page: Page) -> list[str]:
    """Return the pieces of the text that are tinted."""
    return page.locator("[data-piece][data-heat]").all_text_contents()


def _panel(page: Page) -> Locator:
    return page.get_by_role("region", name="The token pointed at")


def _runs(page: Page) -> list[Request]:
    """Return where requests that run the model will be noted."""
    seen: list[Request] = []
    page.on(
        "request",
        lambda asked: (
            seen.append(asked) if asked.method == "POST" and "/api/inspect" in asked.url else None
        ),
    )
    return seen


def test_the_features_that_spike_where_a_text_turns_into_chinese_are_found_and_lit(
    page: Page,
) -> None:
    runs = _runs(page)
    page.goto("/inspect")
    page.get_by_role("button", name="A text that turns into Chinese").click()
    rows = page.locator(ROWS)
    expect(rows.first).to_be_visible()

    page.get_by_label("Sort by").select_option("surprise")
    expect(page).to_have_url(re.compile("sort=surprise"))
    chinese = rows.filter(has=page.get_by_role("link", name=re.compile("Chinese text")))
    expect(rows.nth(0).or_(rows.nth(1)).or_(rows.nth(2)).and_(chinese).first).to_be_visible()
    chinese.first.hover()

    expect(page.locator("[data-piece].peak")).to_have_count(1)
    lit = _lit(page)
    assert lit, "a feature that is pointed at lights its tokens"
    assert all(CHINESE.search(piece) for piece in lit), lit
    line = page.get_by_role("grid").locator("[data-row].lit")
    expect(line.locator("[data-heat]").first).to_be_visible()

    page.locator("[data-piece]").filter(has_text="other").hover()
    expect(_panel(page)).to_contain_text("other")
    strongest = _panel(page).get_by_role("link").first
    name = strongest.inner_text()
    strongest.hover()
    expect(page.locator(".tinted")).to_contain_text(name)

    hidden = page.get_by_role("button", name=re.compile(r"^Show dense.*\(\d+ hidden\)"))
    hidden.click()
    expect(page.get_by_role("button", name="Hide dense")).to_be_visible()
    assert len(runs) == 1, "another look does not run the model again"

    page.reload()
    expect(rows.first).to_be_visible()
    expect(page.get_by_label("Sort by")).to_have_value("surprise")
    expect(page.get_by_role("textbox", name="Text")).to_have_value(CHINESE)
    assert len(runs) == 2, "an address that names a text runs it"


def test_the_heat_map_is_walked_by_keys_and_what_the_model_wrote_has_its_probability(
    page: Page,
) -> None:
    page.goto("/inspect?text=And+it+came+to+pass&go=6")
    grid = page.get_by_role("grid")
    expect(grid).to_be_visible()
    expect(page.locator("[data-piece].written").first).to_be_visible()

    grid.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("End")

    expect(grid.locator("[data-row].lit")).to_have_attribute("data-row", "1")
    active = grid.get_attribute("aria-activedescendant")
    expect(page.locator(f"[id='{active}']")).to_be_in_viewport()
    expect(_panel(page)).to_contain_text(re.compile(r"Written by the model, which gave it\s+\d"))
    page.keyboard.press("Enter")
    expect(page.locator(ROWS).nth(1).get_by_role("button")).to_have_attribute(
        "aria-pressed", "true"
    )


def test_what_cannot_be_run_has_a_sentence_and_what_runs_can_be_cancelled(page: Page) -> None:
    page.goto("/inspect")
    page.get_by_role("textbox", name="Text").press("Control+Enter")
    expect(page.get_by_role("alert")).to_contain_text("The text is empty; give some words.")

    page.goto("/inspect?id=987654321")
    expect(page.get_by_role("alert")).to_contain_text("You have no request 987654321")

    page.get_by_role("radio", name="Chat").check()
    page.get_by_role("textbox", name="Turn 1").fill("Who are you?")
    page.get_by_role("button", name="Inspect").click()
    expect(page.get_by_role("alert")).to_contain_text("has no chat template")

    page.goto("/inspect?text=In+the+beginning&go=1000")
    expect(page.get_by_role("status").filter(has_text="The model writes")).to_be_visible()
    with page.expect_response(lambda answer: answer.request.method == "DELETE") as ended:
        page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Cancelled", exact=True)).to_be_visible()
    kept = page.request.get(ended.value.url)
    assert (kept.status, "was cancelled" in kept.json()["detail"]) == (409, True)
