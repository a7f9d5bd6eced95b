"""Scans on the page: asked for, watched, read, taken away."""

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import FilePayload, Locator, Page, expect

from scopebook.demo import bundle_path

#: What a scan of a few texts may take on a slow machine.
SCANNED_MS = 600_000
HAN = re.compile(r"[\u4e00-\u9fff]{2}")
OWN = {"X-Scopebook": "1"}


@pytest.fixture
def answers() -> bytes:
    """English prompts; each other response is Chinese, the rest is English too."""
    lines = (bundle_path() / "corpus" / "sample.jsonl").read_text().splitlines()
    documents = [json.loads(line) for line in lines]
    english, chinese = (
        [one["text"] for one in documents if one["tag"] == tag] for tag in ("en_docs", "zh")
    )
    records = [
        {
            "prompt": english[place][:400],
            "response": (english[16 + place // 2] if place % 2 else chinese[place // 2])[:400],
        }
        for place in range(24)
    ]
    return "\n".join(json.dumps(record) for record in records).encode()


@pytest.fixture
def wanted_list(page: Page, feature_id: str) -> Iterator[str]:
    """A list of one feature that stands for Chinese."""
    name = "Chinese to look for"
    wanted = {"name": name, "features": [feature_id]}
    made = page.request.post("/api/lists", data=wanted, headers=OWN)
    assert made.ok, made.text()
    yield name
    page.request.delete(f"/api/lists/{made.json()['id']}", headers=OWN)


def _first(page: Page, table: str) -> Locator:
    return page.get_by_role("table", name=table, exact=True).locator("[data-ratio]").first


def _taken_away(page: Page, name: str, folder: Path) -> Path:
    with page.expect_download() as download:
        page.get_by_role("link", name=name, exact=True).click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def _hindrances(page: Page) -> list[Any]:
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        (rule["id"], [node["html"] for node in rule["nodes"]])
        for rule in found
        if rule["impact"] in ("serious", "critical")
    ]


def test_a_planted_language_comes_first_and_leads_to_its_documents_and_files(
    page: Page,
    answers: bytes,
    feature_id: str,
    wanted_list: str,
    complaints: list[str],
    tmp_path: Path,
) -> None:
    page.goto("/scans")

    file: FilePayload = {
        "name": "answers.jsonl",
        "mimeType": "application/json",
        "buffer": answers,
    }
    page.get_by_label("Choose files").set_input_files(file)
    expect(page.locator("[data-read]")).to_have_text("24 records")
    expect(page.get_by_role("checkbox", name="response")).to_be_checked()
    page.get_by_label("List to look for").select_option(wanted_list)
    page.get_by_role("button", name="Scan", exact=True).click()

    expect(page).to_have_url(re.compile(r"/scans/\d+$"))
    page.evaluate("window.neverReloaded = true")
    expect(page.get_by_role("progressbar").first).to_be_visible()
    row = _first(page, "More often than in demo")
    expect(row).to_contain_text("Chinese", timeout=SCANNED_MS)
    assert page.evaluate("window.neverReloaded")
    ratio = row.locator(".ratio").get_attribute("title") or ""
    told = re.fullmatch(r"([\d.]+) times as often \(95 % interval ([\d.]+) to ([\d.]+)\)", ratio)
    assert told, ratio
    ratio_told, low, high = map(float, told.groups())
    assert 1 < low < ratio_told < high
    expect(_first(page, "More often in response")).to_contain_text("Chinese")
    expect(page.locator(f'[data-covered="{feature_id}"]')).to_contain_text("response")
    expect(page.get_by_role("list", name="Documents by language")).to_contain_text("Chinese")

    row.get_by_role("button", name="Documents that fire").click()
    hits = page.locator(".hits li")
    expect(hits.first).to_contain_text(HAN)
    hits.first.get_by_role("button").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("[data-fires] q").first).to_contain_text(HAN)
    hindered = {"document": _hindrances(page)}
    whole = dialog.get_by_role("link", name="Read it with").get_attribute("href")
    page.keyboard.press("Escape")
    page.eval_on_selector_all("main details", "all => all.forEach(one => one.open = true)")
    expect(_first(page, "All features")).to_contain_text("Chinese")

    hindered["wide, light"] = _hindrances(page)
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme="dark")
    hindered["narrow, dark"] = _hindrances(page)
    assert {where: found for where, found in hindered.items() if found} == {}
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    name = row.get_attribute("data-ratio")
    table = list(csv.DictReader(_taken_away(page, "CSV", tmp_path).read_text().splitlines()))
    assert name in {line["feature"] for line in table}
    assert {line["part"] for line in table} == {"", "prompt", "response"}
    assert str(name) in _taken_away(page, "Report", tmp_path).read_text()
    assert _taken_away(page, "Parquet", tmp_path).read_bytes().startswith(b"PAR1")
    assert complaints == []

    page.goto(str(whole))
    expect(page.locator("[data-feature]").first).to_be_visible(timeout=SCANNED_MS)
    expect(page.get_by_role("textbox", name="Text")).to_have_value(HAN)
    expect(page.locator("[data-piece]").filter(has_text=HAN).first).to_be_visible()
    expect(page).to_have_url(re.compile(r"scan=\d+&document=\d+"))
    page.goto(re.sub(r"document=\d+", "document=999999", str(whole)))
    expect(page.get_by_role("alert")).to_contain_text("has no document 999999")

    page.goto("/scans")
    expect(page.locator("[data-scan]").first).to_contain_text("answers.jsonl")
    expect(page.locator("[data-scan]").first).to_contain_text("done")


def test_what_cannot_be_scanned_or_shown_is_told_in_a_sentence(page: Page) -> None:
    page.goto("/scans")
    start = page.get_by_role("button", name="Scan", exact=True)
    expect(start).to_be_disabled()

    page.get_by_label("JSON lines").check()
    page.get_by_role("textbox", name="JSON lines").fill('{"text": "a"}\nnonsense')
    expect(page.get_by_role("alert")).to_contain_text("Line 2 is no JSON object")
    expect(start).to_be_disabled()
    page.get_by_label("Texts").check()
    page.get_by_role("textbox", name="Texts").fill("One text.\n\nAnother.")
    expect(page.locator("[data-read]")).to_have_text("2 texts")
    page.get_by_text("More", exact=True).click()
    page.get_by_label("Conditions that fail it").fill("nonsense")
    start.click()
    expect(page.get_by_role("alert")).to_contain_text("'nonsense' is no condition")

    page.goto("/scans/999999")
    expect(page.get_by_role("alert")).to_contain_text("There is no scan 999999")
    page.goto("/scans/nonsense")
    expect(page.get_by_role("alert")).to_contain_text("is no scan number")
    page.route("**/api/scans?*", lambda route: route.fulfill(json={"items": [], "next": None}))
    page.goto("/scans")
    expect(page.get_by_text("No scans yet")).to_be_visible()
