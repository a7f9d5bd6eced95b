"""Labels compared on the pages: by a judge, and with those of another labeling."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from asked_models import ends_and_chance


def layer_two(page: Page) -> Any:
    """Return what the coverage says of layer 2."""
    items = page.request.get("/api/labels/coverage").json()["items"]
    return next(one for one in items if one["layer"] == 2)


@pytest.mark.usefixtures("asked")
def test_what_two_labelings_say_of_a_layer_is_compared_the_farthest_first(page: Page) -> None:
    whole = [one for one in layer_two(page)["labelings"] if "features" not in one["parameters"]]
    later, earlier = whole[:2]
    assert (earlier["source"], later["source"]) == ("keywords", "llm")
    pair = {"first": earlier["id"], "second": later["id"]}
    drift = page.request.get("/api/labels/drift", params=pair).json()
    page.goto("/labels")
    page.get_by_role("link", name=re.compile(r"^compare \d+ labelings$")).last.click()

    summary = page.locator("dl[aria-label=Summary]")
    expect(summary).to_contain_text(re.compile(rf"Same\s*{drift['same']}\D"))
    expect(summary).to_contain_text(re.compile(rf"Changed\s*{drift['compared'] - drift['same']}\D"))
    expect(summary).to_contain_text(re.compile(rf"Lost\s*{drift['lost']}\D"))
    assert drift["lost"] >= 2
    expect(page.locator("main")).to_contain_text("1 ok, then abstained")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(len(drift["items"]))
    expect(rows.first).to_contain_text(drift["items"][0]["first"])
    expect(rows.first).to_contain_text(drift["items"][0]["second"])
    rows.first.get_by_role("link").focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(re.escape(drift["items"][0]["id"]) + "$"))
    page.go_back()

    page.get_by_label("Earlier").select_option(str(later["id"]))
    expect(page.get_by_text("Twice the same labeling")).to_be_visible()
    expect(page).to_have_url(re.compile(f"first={later['id']}&second={later['id']}"))


@pytest.mark.usefixtures("asked")
def test_a_comparison_that_fails_or_has_nothing_to_compare_says_so(page: Page) -> None:
    sentence = "The database does not answer."
    problem = {"title": "Away", "detail": sentence}
    page.route("**/api/labels/drift?*", lambda route: route.fulfill(status=503, json=problem))
    page.goto("/labels/drift?layer=2")

    expect(page.get_by_role("alert")).to_contain_text(sentence)
    page.unroute_all()
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("tbody tr").first).to_be_visible()

    once = {**layer_two(page), "labelings": layer_two(page)["labelings"][-1:]}
    page.route("**/api/labels/coverage", lambda route: route.fulfill(json={"items": [once]}))
    page.goto("/labels/drift")
    expect(page.get_by_text("Only one labeling")).to_be_visible()
    expect(page.get_by_text("scopebook label")).to_contain_text("--layers 2 --endpoint URL")


@pytest.mark.usefixtures("judged")
def test_what_a_judge_makes_of_a_label_is_shown_with_interval_and_null(page: Page) -> None:
    [first, *_] = page.request.get("/api/labels/scores?scorer=detection").json()["items"]
    score = first["score"]
    page.goto("/labels")

    worst = page.get_by_role("list", name="Worst labels").get_by_role("listitem").first
    expect(worst).to_contain_text(first["label"]["text"])
    expect(worst).to_contain_text(ends_and_chance(score))
    bar = worst.get_by_role("button", name=re.compile(r"^detection \d\.\d\d; 95 % interval"))
    expect(bar).to_have_attribute("aria-label", re.compile(rf"judged by {score['judge']}\.$"))
