"""Two sides compared on the page Compare: in which features they differ, and where those fire."""

import json
import re

import pytest
from playwright.sync_api import Locator, Page, Request, expect

pytestmark = pytest.mark.usefixtures("loaded")

ENGLISH = "The house stands beside the river and the file system has commands for the documents."
CHINESE = "The house stands beside the river and 文件系统的命令行参数说明的文档。"
BEGINNING = "The house stands beside the river and"
HAN = re.compile(r"[\u3000-\u9fff\uff00-\uffef]")


def _runs(page: Page) -> list[Request]:
    """Return where requests that run the model will be noted."""
    seen: list[Request] = []
    page.on("request", lambda asked: seen.append(asked) if asked.method == "POST" else None)
    return seen


def _text(page: Page, side: str, number: int | None = None) -> Locator:
    return page.get_by_role("textbox", name=f"Text{f' {number}' if number else ''} of {side}")


def _side(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=f"Side {name}")


def _lit(page: Page, name: str) -> list[str]:
    """Return the pieces of a side's text that are tinted."""
    return _side(page, name).locator("[data-piece][data-heat]").all_text_contents()


def test_what_a_text_that_turns_into_chinese_has_more_of_is_told_in_labels_and_lit(
    page: Page,
) -> None:
    runs = _runs(page)
    page.goto("/compare")
    _text(page, "A").fill(ENGLISH)
    _text(page, "B").fill(CHINESE)
    _text(page, "B").press("Control+Enter")
    rows = page.locator("tbody tr")
    expect(rows.first).to_be_visible()

    chinese = rows.filter(has=page.get_by_role("link", name=re.compile("Chinese")))
    first = rows.nth(0).or_(rows.nth(1)).or_(rows.nth(2)).and_(chinese).first
    expect(first).to_contain_text("B")
    expect(first).to_contain_text(re.compile(r"\+\d"))
    first.hover()
    expect(_side(page, "A")).to_contain_text("Does not fire in this text")
    expect(_side(page, "B").locator("[data-piece].peak")).to_have_count(1)
    assert _lit(page, "A") == []
    assert _lit(page, "B")
    assert all(HAN.search(piece) or not piece.strip() for piece in _lit(page, "B"))
    for name in "AB":
        quiet = _side(page, name).locator("[data-piece].shared").all_text_contents()
        assert "".join(quiet) == BEGINNING, "how both begin is quiet"

    peak = _side(page, "B").locator("[data-piece].peak").get_attribute("data-piece")
    _side(page, "B").locator(f"[data-piece='{peak}']").hover()
    expect(page.locator("tbody tr.here").and_(chinese).first).to_be_attached()
    expect(_side(page, "B")).to_contain_text("Chinese text")

    page.get_by_role("combobox", name="Show").select_option("a")
    expect(rows.locator(".side").filter(has_text="B")).to_have_count(0)
    page.get_by_label("Sort by").select_option("max")
    page.get_by_label("how all texts begin").uncheck()
    expect(page.locator("[data-piece].shared")).to_have_count(0)
    expect(page).to_have_url(re.compile("sort=max.*without=nothing"))
    assert len(runs) == 1, "another look does not run the model again"

    link = _side(page, "B").get_by_role("link", name="open in Inspect")
    link.click()
    expect(page).to_have_url(re.compile("/inspect"))
    expect(page.get_by_role("textbox", name="Text")).to_have_value(CHINESE)
    page.go_back()
    expect(_text(page, "B")).to_have_value(CHINESE)
    expect(page.get_by_label("Sort by")).to_have_value("max")


def test_sets_are_tested_and_one_chooses_which_of_their_texts_is_shown(page: Page) -> None:
    page.goto("/compare")
    texts = ["The ship left the harbour.", "Nobody\nheard the wind.", "She saw the king."]
    page.get_by_label("A file with the texts of A").set_input_files(
        {
            "name": "a.jsonl",
            "mimeType": "application/jsonl",
            "buffer": "\n".join(json.dumps({"text": text}) for text in texts).encode(),
        }
    )
    expect(_text(page, "A", 2)).to_have_value(texts[1])
    page.get_by_role("group", name="B").get_by_label("several texts").check()
    _text(page, "B", 1).focus()
    page.evaluate(
        """() => {
            const clipboardData = new DataTransfer();
            clipboardData.setData("text/plain", "x = 1\\n\\ny = f(x)\\nprint(x, y)\\n");
            const paste = { clipboardData, bubbles: true, cancelable: true };
            document.activeElement.dispatchEvent(new ClipboardEvent("paste", paste));
        }"""
    )
    expect(_text(page, "B", 3)).to_have_value("print(x, y)")
    page.get_by_role("button", name="Compare").click()

    expect(page.locator("tbody tr").first).to_contain_text(re.compile(r"[0-3]/3\s+→\s+[0-3]/3"))
    expect(page.locator("main")).to_contain_text("permutation test")
    expect(page.locator("main")).to_contain_text("no p can be below 0.1")
    page.get_by_role("button", name="The next text of B").click()
    expect(_side(page, "B").locator("[data-piece]").first).to_have_text("y")
    page.get_by_label("The text of A that is shown").fill("3")
    page.get_by_label("The text of A that is shown").press("Enter")
    expect(_side(page, "A")).to_contain_text("king")


def test_what_cannot_be_compared_has_a_sentence_and_what_waits_can_be_cancelled(
    page: Page,
) -> None:
    page.goto("/compare?a=The+river.")
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("alert")).to_contain_text("Text B is empty; give some words.")

    page.goto("/compare?a=The+river&b=The+river&without=tokens")
    expect(page.get_by_role("alert")).to_contain_text("Nothing of A is left without")
    page.get_by_label("tokens of both").uncheck()
    expect(page.locator("main")).to_contain_text("is the same on both sides.")

    page.goto("/compare?id=987654321")
    expect(page.get_by_role("alert")).to_contain_text("987654321")

    page.route("**/api/compare?*", lambda _: None)
    _text(page, "A").fill("one")
    _text(page, "B").fill("two")
    page.get_by_role("button", name="Compare").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Cancelled", exact=True)).to_be_visible()
