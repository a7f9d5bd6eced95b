"""The pages of long work."""

from typing import Any

from playwright.sync_api import Page, expect


def _demo(page: Page) -> dict[str, Any]:
    number = page.request.get("/api/status").json()["demo"]["id"]
    job: dict[str, Any] = page.request.get(f"/api/jobs/{number}").json()
    return job


def test_the_demo_job_is_listed_as_done_and_leads_to_its_steps(page: Page) -> None:
    job = _demo(page)
    page.goto("/runs")

    row = page.locator(f'[data-job="{job["id"]}"]')
    expect(row).to_contain_text("done")
    row.get_by_role("link").click()

    expect(page.get_by_role("heading", level=1)).to_contain_text(job["title"])
    expect(page.locator("[data-step]")).to_have_count(len(job["steps"]))
    expect(page.locator('[data-step][data-state="done"]')).to_have_count(len(job["steps"]))


def test_the_list_of_runs_is_live(page: Page) -> None:
    page.goto("/runs")

    expect(page.get_by_role("status").filter(has_text="live")).to_be_visible()


def test_the_form_of_a_collection_offers_what_is_registered(page: Page) -> None:
    release = page.request.get("/api/releases").json()["items"][0]
    corpus = page.request.get("/api/corpora").json()["items"][0]
    page.goto("/runs")

    page.get_by_text("Start a collection").click()

    expect(page.get_by_label("Release")).to_have_value(release["name"])
    expect(page.get_by_label("Corpus")).to_have_value(corpus["name"])
    for sae in release["saes"]:
        expect(page.get_by_role("checkbox", name=str(sae["layer"]), exact=True)).to_be_checked()


def test_an_unknown_run_gets_the_sentence_of_the_api(page: Page) -> None:
    answer = page.request.get("/api/jobs/99999999")

    page.goto("/runs/99999999")

    assert answer.status == 404
    expect(page.get_by_role("alert")).to_contain_text(answer.json()["detail"])
