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
