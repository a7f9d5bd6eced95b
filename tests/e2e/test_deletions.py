"""A corpus or a scan is deleted on the page, after it was said what goes with it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from running import Running, run


@pytest.fixture
def doomed(instance: Running, tmp_path: Path) -> str:
    """A registered corpus of two texts."""
    texts = tmp_path / "tickets.jsonl"
    texts.write_text('{"text": "the first ticket"}\n{"text": "the second one"}\n')
    done = run(instance.data_dir, "corpus", "add", "tickets", str(texts))
    assert done.returncode == 0, done.stderr
    return "tickets"


def names(corpora: Any) -> list[str]:
    return [corpus["name"] for corpus in corpora["items"]]


def test_a_corpus_goes_after_a_preview_and_only_when_that_is_confirmed(
    page: Page, instance: Running, doomed: str, complaints: list[str]
) -> None:
    page.goto("/runs")
    corpora = page.get_by_role("region", name="Corpora")
    mine = corpora.get_by_role("listitem").filter(has_text=doomed)
    expect(mine).to_contain_text("2 documents, 1 kB")

    mine.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(f"Delete the corpus {doomed} for good?")
    expect(dialog).to_contain_text("2 documents")
    dialog.get_by_role("button", name="Keep it").click()
    expect(dialog).to_be_hidden()
    expect(mine).to_be_visible()

    mine.get_by_role("button", name="Delete").click()
    dialog.get_by_role("button", name="Delete it for good").click()
    expect(page.get_by_role("heading", name=f"Delete the corpus {doomed}")).to_be_visible()
    left = instance.wait_for("/api/corpora", lambda found: doomed not in names(found), within_s=600)

    assert "demo" in names(left)
    page.goto("/runs")
    expect(corpora.get_by_role("listitem").filter(has_text="demo")).to_be_visible()
    expect(mine).to_be_hidden()
    assert complaints == []


@pytest.fixture
def scanned(instance: Running, tmp_path: Path) -> int:
    """A scan of two texts that nobody else has."""
    texts = tmp_path / "letters.jsonl"
    texts.write_text('{"text": "Dear reader, the river is wide."}\n{"text": "Yours, a bridge."}\n')
    [release] = {item["release"] for item in instance.get("/api/labels/coverage")["items"]}
    done = run(instance.data_dir, "scan", release, str(texts), "--json")
    assert done.returncode == 0, done.stderr
    return int(json.loads(done.stdout)["id"])


def test_a_scan_goes_from_its_page_after_a_preview_and_only_when_that_is_confirmed(
    page: Page, instance: Running, scanned: int, complaints: list[str]
) -> None:
    page.goto(f"/scans/{scanned}")
    expect(page.get_by_role("heading", name="letters.jsonl")).to_be_visible()

    page.get_by_role("button", name="Delete", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(f"Delete scan {scanned} for good?")
    expect(dialog).to_contain_text(re.compile(r"go 2 documents, .*\d+ files? \(\d+ kB\)"))
    # The scan itself is no other scan that goes with it.
    expect(dialog).not_to_contain_text("Scans that go")
    dialog.get_by_role("button", name="Keep it").click()
    expect(dialog).to_be_hidden()
    assert scanned in numbers(instance.get("/api/scans"))

    page.get_by_role("button", name="Delete", exact=True).click()
    dialog.get_by_role("button", name="Delete it for good").click()
    expect(page).to_have_url(re.compile(r"/jobs/\d+$"))
    expect(page.get_by_role("heading", name=f"Delete scan {scanned}")).to_be_visible()
    job = page.url.rpartition("/")[2]
    instance.wait_for(f"/api/jobs/{job}", lambda told: told["state"] == "done", within_s=600)

    assert scanned not in numbers(instance.get("/api/scans"))
    assert complaints == []
    page.goto(f"/scans/{scanned}")
    expect(page.get_by_text(f"There is no scan {scanned}")).to_be_visible()


def numbers(scans: Any) -> list[int]:
    return [scan["id"] for scan in scans["items"]]
