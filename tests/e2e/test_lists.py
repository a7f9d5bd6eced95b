"""Keeping a search and putting features into a list, by the page alone."""

import re

from playwright.sync_api import Page, expect

HITS = "[data-hit]"


def test_a_search_is_kept_and_asked_again(page: Page) -> None:
    page.goto("/?q=Chinese&density=0.0001..")
    expect(page.locator(HITS).first).to_be_visible()

    page.get_by_role("button", name="Keep this search").click()
    page.get_by_role("form", name="Keep this search").get_by_label("Name").fill("Chinese, often")
    page.get_by_role("button", name="Keep", exact=True).click()
    page.get_by_role("status").get_by_role("link", name="Chinese, often").click()
    expect(page.get_by_role("heading", name="Chinese, often")).to_be_visible()
    page.get_by_role("link", name="Ask its search again").click()

    expect(page).to_have_url(re.compile(r"q=Chinese&density=0\.0001\.\."))
    expect(page.locator(HITS).first).to_be_visible()


def test_features_are_put_into_a_list_moved_noted_and_taken_out(
    page: Page, feature_id: str
) -> None:
    name = "two features"
    page.goto(f"/features/{feature_id}")
    page.get_by_role("button", name="Add to a list").click()
    page.get_by_label("Name of a new list").fill(name)
    page.get_by_role("button", name="Make", exact=True).click()
    expect(page.get_by_role("link", name=f"Added to “{name}”")).to_be_visible()
    page.get_by_role("link", name="Next feature").click()
    expect(page).not_to_have_url(re.compile(re.escape(feature_id) + "$"))
    page.get_by_role("button", name="Add to a list").click()
    page.get_by_role("button", name=re.compile(f"^{name} 1$")).click()
    page.get_by_role("link", name=f"Added to “{name}”").click()
    rows = page.locator("ol > li")
    expect(rows).to_have_count(2)
    first = rows.nth(0).locator(HITS).inner_text()

    rows.nth(0).get_by_role("button", name=re.compile("down$")).click()
    expect(rows.nth(1).locator(HITS)).to_have_text(first)
    note = rows.nth(1).get_by_role("textbox")
    note.fill("compare with the other one")
    with page.expect_response(re.compile("/items/note$")):
        note.blur()
    page.reload()
    expect(rows.nth(1).get_by_role("textbox")).to_have_value("compare with the other one")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export as CSV").click()
    rows.nth(0).get_by_role("button", name=re.compile("out$")).click()

    expect(rows).to_have_count(1)
    assert "compare with the other one" in download.value.path().read_text()
