"""Steering on the page: a feature is found, strengthened and muted, and both texts are read."""

import re
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.usefixtures("loaded")

MODEL = "Scopebook-Demo-4M-Base"
#: Writes Chinese at half of the residual's norm, as the demo's own evaluation says.
PUSHED = f"{MODEL}/1-res-w1k-l0_8/632"
HAN = re.compile(r"[\u4e00-\u9fff]")


def _hindrances(page: Page) -> list[Any]:
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        (rule["id"], [node["html"] for node in rule["nodes"]])
        for rule in found
        if rule["impact"] in ("serious", "critical")
    ]


def test_a_feature_that_is_found_turns_the_text_and_is_muted_again(
    page: Page, complaints: list[str]
) -> None:
    page.goto("/steer")
    run = page.get_by_role("button", name="Steer")
    expect(page.get_by_text("Nothing steered yet")).to_be_visible()
    expect(run).to_be_disabled()
    page.get_by_role("textbox", name="Text", exact=True).fill("The house stands beside the river")
    page.get_by_role("searchbox", name="Find a feature to steer with").fill(PUSHED)
    page.get_by_role("list", name="Features found").get_by_role("button").first.click()
    expect(page.locator(f'[data-steered="{PUSHED}"]')).to_contain_text("Chinese")
    run.click()

    unsteered = page.locator('[data-variant="unsteered"] .text')
    pushed = page.locator('[data-variant="steered"] .text')
    expect(page.get_by_role("table")).to_contain_text("50 % of the residual", timeout=600_000)
    expect(pushed).to_contain_text(HAN)
    expect(unsteered).not_to_contain_text(HAN)
    expect(page.locator('[data-variant="steered"]')).to_contain_text("divergence")
    pushed.locator("[data-token]").nth(3).hover()
    expect(page.get_by_role("tooltip")).to_contain_text("likeliest")
    written = pushed.inner_text()
    page.mouse.move(0, 0)
    hindered = {"wide, light": _hindrances(page)}
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme="dark")
    hindered["narrow, dark"] = _hindrances(page)
    assert {where: found for where, found in hindered.items() if found} == {}
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

    page.reload()
    expect(pushed).to_have_text(written, use_inner_text=True)
    page.locator(f'[data-steered="{PUSHED}"]').get_by_role("button", name="Mute").click()
    run.click()
    expect(page.get_by_role("table")).to_contain_text("mute")
    expect(page).to_have_url(re.compile("ablate"))
    expect(pushed).not_to_contain_text(HAN)
    page.go_back()
    expect(pushed).to_contain_text(HAN)
    assert complaints == []


def test_what_cannot_be_steered_is_told_in_a_sentence(page: Page, feature_id: str) -> None:
    page.goto(f"/features/{feature_id}")
    page.get_by_role("link", name="Steer with it", exact=True).click()
    expect(page.locator(f'[data-steered="{feature_id}"]')).to_be_visible()
    page.get_by_role("textbox", name="Text", exact=True).fill("The river")
    run = page.get_by_role("button", name="Steer")

    page.get_by_label("How strongly").fill("")
    expect(run).to_be_disabled()
    expect(page.get_by_text("Give each feature a number.")).to_be_visible()
    page.get_by_label("How strongly").fill("9999999")
    run.click()
    expect(page.get_by_role("alert")).to_contain_text("give a number between")

    page.get_by_role("button", name="Remove").click()
    expect(run).to_be_disabled()
