"""The page of labels: how far they reach, and labelling again."""

import json
import re
import time

from playwright.sync_api import Page, expect

from chat_server import Chats, by_keywords, serve_chats


def until_done(page: Page, job_id: int) -> None:
    """Wait until a job is over, and see that it was done."""
    begun = time.monotonic()
    while time.monotonic() < begun + 180:
        job = page.request.get(f"/api/jobs/{job_id}").json()
        if job["state"] in ("done", "failed", "cancelled"):
            break
        time.sleep(0.3)
    assert (job["state"], job["error"]) == ("done", None)


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
    until_done(page, int(page.url.rsplit("/", 1)[-1]))
    after = page.request.get(f"/api/features/{feature_id}").json()
    assert after["label"]["text"] == before["label"]["text"]
    assert after["label"]["id"] > before["label"]["id"]
    assert len(after["labels"]) == 2 * len(before["labels"])


def test_what_a_language_model_has_said_and_not_said_is_told_apart(page: Page) -> None:
    [layer] = [
        item
        for item in page.request.get("/api/labels/coverage").json()["items"]
        if item["layer"] == 2
    ]
    listed = page.request.get("/api/features?layer=2&limit=12").json()["items"]
    answers = {0: json.dumps({"senses": [], "abstain": True}), 1: "no JSON", 2: "still none"}
    chats = Chats()
    chats.answer = lambda user: answers.get(len(chats.asked) - 1) or by_keywords(user)
    with serve_chats(chats):
        llm = {"endpoint": chats.url, "model": "stub", "parallel": 1, "limit": 12}
        asked = {"release": layer["release"], "layers": [2], "llm": llm}
        job = page.request.post("/api/labels", data=asked).json()
        page.goto(f"/jobs/{job['id']}")
        expect(
            page.get_by_text(re.compile(r"about 12 calls, [\d,]+ tokens in")).first
        ).to_be_visible(timeout=60_000)
        expect(page.locator("main")).to_contain_text("Check its labels")
        until_done(page, job["id"])

    ended = {
        item["id"]: (item["unlabelled"] or {}).get("status")
        for item in page.request.get("/api/features?layer=2&limit=12").json()["items"]
    }
    assert set(ended) == {item["id"] for item in listed}
    for status in ("abstained", "failed"):
        [one] = [name for name, said in ended.items() if said == status]
        page.goto(f"/features/{one}")
        expect(page.get_by_text(f"unlabelled ({status})")).to_be_visible()
        expect(page.get_by_text("keywords", exact=True).first).to_be_visible()
    worded = next(name for name, said in ended.items() if said is None)
    page.goto(f"/features/{worded}")
    expect(page.locator("h1")).to_contain_text("Texts with")
    expect(page.get_by_text("LLM", exact=True).first).to_be_visible()
    page.goto("/labels")
    expect(page.get_by_role("table")).to_contain_text("1 abstained")
