"""The page of labels: how far they reach, and labelling again."""

import re

from playwright.sync_api import Page, expect


def test_the_labels_page_says_how_far_labels_reach(page: Page) -> None:
    page.goto("/labels")

    table = page.get_by_role("table")
    expect(table.get_by_role("row")).to_have_count(3)
    expect(table).to_contain_text(re.compile(r"[\d,]+ of [\d,]+"))
    expect(table).to_contain_text("keywords")
    expect(table.get_by_role("link", name=re.compile(r"job \d+")).first).to_be_visible()


def test_labelling_again_keeps_the_earlier_labels(page: Page, feature_id: str) -> None:
    before = page.request.get(f"/api/features/{feature_id}").json()
    page.goto("/labels")

    page.get_by_role("button", name="Label by keywords").click()

    expect(page).to_have_url(re.compile(r"/jobs/\d+$"))
    expect(page.locator("main h1")).to_contain_text("Label")
    expect(page.get_by_text("done", exact=True).first).to_be_visible(timeout=180_000)
    after = page.request.get(f"/api/features/{feature_id}").json()
    assert after["label"]["text"] == before["label"]["text"]
    assert after["label"]["id"] > before["label"]["id"]
    assert len(after["labels"]) == 2 * len(before["labels"])
