"""Presets on the page: what was steered is kept, tested, saved again, and taken away."""

import hashlib
import json
import re
import zipfile
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.usefixtures("loaded")

#: Writes Chinese at half of the residual's norm, as the demo's own evaluation says.
PUSHED = "Scopebook-Demo-4M-Base/1-res-w1k-l0_8/632"
IDLE = "Scopebook-Demo-4M-Base/1-res-w1k-l0_8/3"
TEXT = "The house stands beside the river"
OWN = {"X-Scopebook": "1"}
CHINESE = {
    "name": "writes Chinese",
    "prompts": [TEXT],
    "measure": "script",
    "of": "Han",
    "expect": "above",
    "value": 0.3,
    "tokens": 12,
}


def _draft(*, strength: float = 1.0, muted: bool = False) -> dict[str, Any]:
    """Return a draft that pushes a feature, with one beside it that does next to nothing."""
    one = {"unit": "max_act", "group": "Chinese"}
    interventions: list[dict[str, Any]] = [
        {"feature": PUSHED, "value": 1.0, **one},
        {"feature": IDLE, "value": 0.001, **one},
    ]
    if muted:
        interventions[1] = {"feature": IDLE, "op": "ablate"}
    return {
        "interventions": interventions,
        "groups": [{"name": "Chinese", "strength": strength}],
        "tests": [CHINESE],
    }


def _made(page: Page, name: str, draft: dict[str, Any]) -> dict[str, Any]:
    answer = page.request.post("/api/presets", data={"name": name, "draft": draft}, headers=OWN)
    assert answer.ok, answer.text()
    made: dict[str, Any] = answer.json()
    return made


def _changed(page: Page, preset: dict[str, Any], strength: float, note: str) -> None:
    """Save a version as another program does."""
    answer = page.request.post(
        f"/api/presets/{preset['id']}/versions",
        data={"draft": _draft(strength=strength), "note": note},
        headers={**OWN, "If-Match": f'"{preset["revision"]}"'},
    )
    assert answer.ok, answer.text()


def _strength(page: Page) -> Locator:
    return page.get_by_label("Strength of Chinese as a number")


def test_a_concept_is_steered_as_a_group_and_kept_as_a_preset(
    page: Page, complaints: list[str]
) -> None:
    page.goto("/steer")
    page.get_by_role("textbox", name="Text", exact=True).fill(TEXT)
    page.get_by_role("searchbox", name="Find a feature to steer with").fill("Chinese text")
    expect(page.get_by_role("button", name="Add 8 features as a group")).to_be_visible()
    page.get_by_role("list", name="Features found").get_by_role("checkbox").first.uncheck()
    page.get_by_label("Name of the new group").fill("Chinese, all of it")
    page.get_by_role("button", name="Add 7 features as a group").click()
    group = page.locator('[data-group="Chinese, all of it"]')
    expect(group.locator("[data-steered]")).to_have_count(7)
    page.get_by_label("Strength of Chinese, all of it as a number").fill("1.5")
    page.get_by_role("button", name=re.compile("^Steer")).click()
    expect(group.locator("[data-share]").first).to_contain_text(
        "of what the group adds", timeout=300_000
    )

    group.get_by_role("button", name="Mute all of Chinese, all of it", exact=True).click()
    expect(group.get_by_label(re.compile("^What is done"))).to_have_count(7)
    assert {one.input_value() for one in group.get_by_label(re.compile("^What")).all()} == {
        "ablate"
    }
    group.get_by_role("button", name="Un-mute all of Chinese, all of it").click()
    expect(group.get_by_label(re.compile("^How strongly"))).to_have_count(7)

    page.get_by_role("button", name="Expect this").click()
    expected = page.get_by_role("form", name="Expect this")
    expected.get_by_label("Name of the test").fill("Han letters")
    expected.get_by_role("textbox", name="Script").fill("Han")
    expected.get_by_role("button", name="Add the test").click()
    page.get_by_role("button", name="Save as preset").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Name", exact=True)).to_have_value("Chinese, all of it")
    dialog.get_by_label("Name", exact=True).fill("From the page")
    dialog.get_by_label("Description").fill("Goes on in Chinese.")
    dialog.get_by_role("button", name="Save the preset").click()

    expect(page).to_have_url(re.compile(r"/presets/\d+$"))
    expect(page.get_by_role("heading", level=1)).to_contain_text("From the page")
    rows = page.locator("[data-intervention]")
    expect(rows).to_have_count(7)
    expect(rows.first).to_contain_text("Chinese, all of it × 1.5")
    expect(page.locator('[data-test="Han letters"]')).to_contain_text("the share of Han letters")
    page.get_by_role("link", name="Open in Steer").click()
    expect(group.locator("[data-steered]")).to_have_count(7)
    expect(page.get_by_text("from version 1")).to_be_visible()
    page.get_by_role("link", name="Presets", exact=True).click()
    expect(page.locator("[data-preset]", has_text="From the page")).to_contain_text("7 features")
    assert complaints == []


def test_a_version_is_saved_after_one_that_came_meanwhile(page: Page) -> None:
    preset = _made(page, "Saved twice", _draft())
    page.goto(f"/presets/{preset['id']}")
    page.get_by_role("link", name="Open in Steer").click()
    expect(_strength(page)).to_have_value("1")
    _strength(page).fill("0.5")
    _changed(page, preset, 0.25, "from a script")
    page.get_by_role("button", name="Save as version 2").click()
    page.get_by_label("Why this version is made").fill("half of it is enough")
    page.get_by_role("button", name="Save version 2").click()

    dialog = page.get_by_role("dialog", name=re.compile("Somebody changed"))
    expect(dialog.locator('[data-since="2"]')).to_contain_text("from a script")
    dialog.get_by_role("button", name="See what changed").click()
    expect(dialog.get_by_role("row", name="group Chinese")).to_contain_text("× 0.25")
    dialog.get_by_role("button", name="Save mine after it, as version 3").click()
    expect(page.get_by_text("Saved as version 3.")).to_be_visible()
    expect(_strength(page)).to_have_value("0.5")
    expect(page).to_have_url(re.compile("version=3"))

    page.goto(f"/presets/{preset['id']}")
    expect(page.locator("[data-version]")).to_have_count(3)
    expect(page.locator('[data-version="3"]')).to_contain_text("half of it is enough")
    page.get_by_role("button", name="What differs").click()
    expect(page.get_by_role("row", name="group Chinese")).to_contain_text("× 0.25× 0.5")
    page.get_by_label("Compare from").select_option("version 1")
    expect(page.get_by_role("row", name="group Chinese")).to_contain_text("× 1× 0.5")
    page.get_by_role("link", name="Version 1", exact=True).click()
    expect(page.get_by_text("This is version 1")).to_be_visible()


def test_a_preset_is_changed_approved_forked_and_archived(page: Page) -> None:
    preset = _made(page, "Looked after", _draft())
    page.goto(f"/presets/{preset['id']}")
    page.get_by_role("button", name="Change", exact=True).click()
    form = page.get_by_role("form", name="Change the preset")
    form.get_by_label("Description").fill("For stories.")
    form.get_by_label("Who sees it").select_option("editor")
    form.get_by_role("button", name="Keep the changes").click()
    expect(page.get_by_text("For stories.")).to_be_visible()
    expect(page.get_by_text("seen by editors and admins")).to_be_visible()

    page.get_by_role("button", name="Approve version 1").click()
    page.get_by_label("Why").fill("read twice")
    page.get_by_role("form").get_by_role("button", name="Approve version 1").click()
    expect(page.get_by_text("Approved by local: read twice")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_contain_text("approved")

    page.get_by_role("button", name="Fork version 1").click()
    page.get_by_label("Name of the new preset").fill("Looked after, mine")
    page.get_by_role("button", name="Make a preset of your own").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Looked after, mine")
    expect(page.locator('[data-version="1"]')).to_contain_text("From Looked after @ 1")

    page.get_by_role("button", name="Archive").click()
    expect(page.get_by_role("button", name="Bring back")).to_be_visible()
    page.goto("/presets")
    expect(page.locator(f'[data-preset="{preset["id"]}"]')).to_be_visible()
    expect(page.get_by_role("link", name="Looked after, mine")).to_have_count(0)
    page.get_by_label("Show archived").check()
    expect(page.get_by_role("link", name="Looked after, mine")).to_be_visible()


def test_a_preset_goes_out_as_a_file_and_comes_in_again(page: Page) -> None:
    preset = _made(page, "To and fro", _draft(muted=True))
    page.goto(f"/presets/{preset['id']}")
    refused = page.locator('[data-target="gguf"]')
    expect(refused.get_by_role("checkbox")).to_be_disabled()
    expect(refused).to_contain_text("not possible")
    expect(refused.locator(".why").first).to_contain_text("ablate")
    expect(page.locator('[data-target="transformers"]').get_by_role("checkbox")).to_be_enabled()
    expect(page.get_by_role("button", name="Export", exact=True)).to_be_disabled()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save preset.json").click()
    saved = download.value.path()
    assert json.loads(saved.read_text())["name"] == "To and fro"

    page.goto("/presets")
    file = page.get_by_label("Import preset.json")
    file.set_input_files({"name": "x.json", "mimeType": "application/json", "buffer": b"no"})
    expect(page.get_by_role("alert")).to_contain_text("x.json is no preset.json")
    file.set_input_files(saved)
    form = page.get_by_role("form", name="Import a preset")
    form.get_by_role("button", name="Import").click()
    expect(page.get_by_role("alert")).to_contain_text("is there already")
    form.get_by_label("Name").fill("Come in again")
    form.get_by_role("button", name="Import").click()

    expect(page.get_by_role("heading", level=1)).to_contain_text("Come in again")
    expect(page.locator("[data-intervention]")).to_have_count(2)
    expect(page.locator(f'[data-intervention="{IDLE}"]')).to_contain_text("mute")
    expect(page.locator('[data-test="writes Chinese"]')).to_be_visible()


def test_tests_are_run_a_group_is_pruned_and_exports_are_fetched(page: Page) -> None:
    preset = _made(page, "Proved", _draft())
    page.goto(f"/presets/{preset['id']}")
    page.get_by_role("button", name="Run tests").click()
    told = page.locator('[data-test="writes Chinese"]')
    expect(told.get_by_text("holds", exact=True)).to_be_visible(timeout=300_000)
    expect(page.get_by_text("1 of 1 test held")).to_be_visible()
    told.get_by_text("1 text", exact=True).click()
    expect(told.get_by_text("Unsteered")).to_be_visible()

    page.get_by_role("button", name="Prune", exact=True).click()
    pruned = page.locator('[data-pruning="Chinese"]')
    expect(pruned.get_by_text("1 of 2")).to_be_visible(timeout=300_000)
    expect(pruned.locator('[data-kept="true"]')).to_contain_text("632")
    smaller = pruned.get_by_role("link", name="Open the smaller one in Steer").get_attribute("href")

    for target in ("transformers", "gguf"):
        page.locator(f'[data-target="{target}"]').get_by_role("checkbox").check()
    page.get_by_role("button", name="Export for 2 tools").click()
    done = page.locator("[data-export]")
    expect(done).to_have_count(2, timeout=300_000)
    with page.expect_download() as download:
        page.locator('[data-export="gguf"]').get_by_role("link").click()
    fetched = download.value.path()
    expect(page.locator('[data-export="gguf"]')).to_contain_text(
        hashlib.sha256(fetched.read_bytes()).hexdigest()
    )
    names = {name.split("/")[-1] for name in zipfile.ZipFile(fetched).namelist()}
    assert {"preset.json", "preset.gguf", "verify.py"} <= names

    assert smaller is not None
    page.goto(smaller)
    expect(page.locator("[data-steered]")).to_have_count(1)
    expect(page.locator(f'[data-steered="{PUSHED}"]')).to_be_visible()
    expect(page.get_by_role("button", name="Save as version 2")).to_be_enabled()
