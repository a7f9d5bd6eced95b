"""The pages of long work, while it happens."""

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from playwright.sync_api import Page, expect

from running import SCOPEBOOK, Running, environment, run

#: What a collection of a few shards may take on a slow machine.
COLLECTED_MS = 600_000
NUMBER = re.compile(r"^[\d,]+$")


def _demo(page: Page) -> dict[str, Any]:
    number = page.request.get("/api/status").json()["demo"]["id"]
    job: dict[str, Any] = page.request.get(f"/api/jobs/{number}").json()
    return job


def _started(page: Page, *, max_tokens: int | None = None) -> dict[str, Any]:
    """Start a collection over the demo corpus."""
    release = page.request.get("/api/releases").json()["items"][0]["name"]
    wanted = {"release": release, "corpus": "demo", "max_tokens": max_tokens, "label": False}
    wanted["anew"] = True
    answer = page.request.post("/api/runs", data=wanted)
    assert answer.status == 202, answer.text()
    job: dict[str, Any] = answer.json()
    return job


def _state(page: Page, state: str) -> None:
    """Wait until the heading says the state."""
    chip = page.get_by_role("heading", level=1).get_by_text(state, exact=True)
    expect(chip).to_be_visible(timeout=COLLECTED_MS)


@pytest.fixture
def kept(page: Page) -> Iterator[int]:
    """The demo's own run; the dictionary shows it again after the test."""
    first: int = page.request.get("/api/runs").json()["items"][-1]["id"]
    yield first
    assert page.request.post(f"/api/runs/{first}/use").ok


def test_the_demo_job_is_listed_as_done_and_leads_to_its_steps(page: Page) -> None:
    job = _demo(page)
    page.goto("/runs")

    row = page.locator(f'[data-job="{job["id"]}"]')
    expect(row).to_contain_text("done")
    expect(row).to_contain_text(f"{job['runs'][0]['release']} over demo")
    expect(row.locator("[data-pace]")).to_contain_text("tokens/s")
    row.get_by_role("link").click()

    expect(page).to_have_url(re.compile(f"/jobs/{job['id']}$"))
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"Job {job['id']} {job['title']}")
    expect(page.locator("[data-stage]")).to_have_count(len(job["stages"]))
    expect(page.locator("[data-step]")).to_have_count(min(job["steps_total"], 50))


def test_all_steps_come_page_by_page_and_by_state(page: Page) -> None:
    job = _demo(page)
    page.goto(f"/jobs/{job['id']}")
    steps = page.locator("[data-step]")

    while page.get_by_role("button", name="Show more").is_visible():
        before = steps.count()
        page.get_by_role("button", name="Show more").click()
        expect(steps.nth(before)).to_be_visible()

    expect(steps).to_have_count(job["steps_total"])
    expect(page.locator('[data-step][data-state="done"]')).to_have_count(job["steps_total"])
    page.get_by_role("button", name=re.compile(r"^[\d,]+ done$")).last.click()
    expect(steps.first).to_have_attribute("data-state", "done")


def test_a_collection_by_two_workers_is_seen_live_to_its_end(page: Page, kept: int) -> None:
    job = _started(page, max_tokens=160_000)
    page.goto(f"/jobs/{job['id']}")
    page.evaluate("window.neverReloaded = true")
    bar = page.get_by_role("progressbar", name=f"Progress of {job['title']}")

    workers = page.locator("[data-worker]")
    expect(workers).to_have_count(2, timeout=COLLECTED_MS)
    names = [workers.nth(place).get_attribute("data-worker") for place in range(2)]
    expect(page.locator('[data-number="workers"] dd')).to_have_text("2")
    expect(workers.first).to_contain_text("Collect shard")
    expect(page.locator('[data-number="speed"] dd')).to_have_text(NUMBER, timeout=COLLECTED_MS)
    expect(page.locator('[data-number="elapsed"] dd')).to_have_text(re.compile(r"\d+ s"))
    expect(page.locator('[data-number="left"] dd')).to_have_text(re.compile(r"\d+ s"))
    expect(page.locator('[data-number="tokens"] dd')).to_have_text(
        re.compile(r"^[\d,]+ of [\d,]+$")
    )
    early = int(bar.get_attribute("aria-valuenow") or 0)
    grid = page.get_by_role("img", name=re.compile(r"^\d+ shards: .*done, 2 running"))
    expect(grid).to_be_visible(timeout=COLLECTED_MS)
    _state(page, "done")

    assert len(set(names)) == 2
    assert 0 < early < 100
    expect(bar).to_have_attribute("aria-valuenow", "100")
    expect(page.locator('[data-stage][data-state="done"]')).to_have_count(5)
    expect(page.get_by_role("img", name=re.compile(r"^(\d+) shards: \1 done$"))).to_be_visible()
    assert page.evaluate("window.neverReloaded")


def test_an_earlier_run_is_shown_again_on_request(page: Page, kept: int) -> None:
    page.goto("/runs")
    rows = page.locator("[data-run]")
    first = page.locator(f'[data-run="{kept}"]')
    expect(first).to_contain_text("shown for layers")
    other = page.locator("[data-run]").filter(has=page.get_by_role("button"))

    other.first.get_by_role("button", name="Show this run").click()

    expect(page.get_by_text("The dictionary now shows run")).to_be_visible()
    expect(first.get_by_role("button", name="Show this run")).to_be_visible()
    shown = [item for item in page.request.get("/api/runs").json()["items"] if item["shown"]]
    assert [item["id"] != kept for item in shown] == [True]
    first.get_by_role("button", name="Show this run").click()
    expect(first).to_contain_text("shown for layers")
    expect(rows.first.get_by_role("button", name="Show this run")).to_be_visible()


def test_the_list_follows_a_collection_until_it_is_cancelled(page: Page) -> None:
    page.goto("/runs")
    expect(page.get_by_role("status").filter(has_text="live")).to_be_visible()

    job = _started(page)
    row = page.locator(f'[data-job="{job["id"]}"]')

    expect(row.locator("[data-pace]")).to_contain_text(
        re.compile(r"[\d,]+ tokens/s, .* left"), timeout=COLLECTED_MS
    )
    row.get_by_role("link").click()
    expect(page.locator("[data-worker]")).to_have_count(2)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("status").filter(has_text="Cancelling")).to_be_visible()
    _state(page, "cancelled")
    expect(page.locator("[data-worker]")).to_have_count(0)
    expect(page.get_by_role("button", name="Retry")).to_be_visible()
    expect(page.locator("[data-next]")).to_contain_text("what is done stays done")


def test_a_failed_shard_says_why_and_a_retry_mends_it(
    page: Page, instance: Running, kept: int
) -> None:
    results = instance.data_dir / "artifacts" / "runs"
    away = results.with_name("runs.away")
    results.rename(away)
    results.write_text("no folder")  # so that no shard can leave its result
    job = _started(page, max_tokens=60_000)
    page.goto(f"/jobs/{job['id']}")
    try:
        _state(page, "failed")
    finally:
        results.unlink()
        away.rename(results)

    failed = page.locator('section:has(#urgent) [data-step="shard.collect"]')
    expect(failed.first).to_contain_text("could not be written")
    expect(failed.first).to_contain_text("attempt 1")
    expect(page.get_by_role("alert")).to_contain_text("could not be written")
    expect(page.get_by_role("alert")).not_to_contain_text("free space")
    expect(page.locator("main header")).to_contain_text(re.compile(r"Ended in stage 3 of \d"))
    expect(page.locator("[data-stage]").last).to_contain_text("not started")
    expect(page.locator("[data-step]").filter(has_text="queued")).to_have_count(0)
    page.get_by_role("button", name="Retry").click()
    _state(page, "done")
    expect(failed).to_have_count(0)
    expect(page.get_by_role("alert")).to_have_count(0)


def test_the_page_goes_on_when_the_api_was_killed(page: Page, instance: Running, kept: int) -> None:
    job = _started(page, max_tokens=200_000)
    page.goto(f"/jobs/{job['id']}")
    expect(page.locator("[data-worker]")).to_have_count(2, timeout=COLLECTED_MS)
    assert instance.process is not None
    whole = psutil.Process(instance.process.pid)

    for process in whole.children(recursive=True):
        if "scopebook_api.app:create_app" in process.cmdline():
            process.kill()

    _state(page, "done")
    expect(page.locator('[data-stage][data-state="done"]')).to_have_count(5)


def test_a_collection_that_is_left_goes_on_and_says_how_to_end_it(
    page: Page, instance: Running
) -> None:
    release = page.request.get("/api/releases").json()["items"][0]["name"]
    leaving = subprocess.Popen(
        [*SCOPEBOOK, "collect", release, "demo", "--no-label", "--anew"],
        env=environment(instance.data_dir),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert leaving.stderr is not None
    first = leaving.stderr.readline()
    leaving.send_signal(signal.SIGINT)
    rest = leaving.stderr.read()

    assert leaving.wait() == 130
    job_id = re.match(r"Job (\d+), Collect ", first)
    assert job_id is not None, first
    number = job_id[1]
    assert f"Job {number} goes on in the running instance" in rest
    assert f"scopebook jobs cancel {number}" in rest
    assert page.request.get(f"/api/jobs/{number}").json()["state"] in ("queued", "running")
    cancelled = run(instance.data_dir, "jobs", "cancel", number)
    assert cancelled.returncode == 0, cancelled.stderr
    again = run(instance.data_dir, "jobs", "cancel", "99999")
    assert (again.returncode, "no job 99999" in again.stderr) == (2, True)
    page.goto(f"/jobs/{number}")
    _state(page, "cancelled")


def test_the_command_line_lists_and_chooses_what_the_page_does(
    page: Page, instance: Running
) -> None:
    demo = _demo(page)
    first = page.request.get("/api/runs").json()["items"][-1]

    listed = run(instance.data_dir, "runs", "--json")
    used = run(instance.data_dir, "runs", "use", str(first["id"]), "--json")
    refused = run(instance.data_dir, "runs", "use", str(first["id"]), "--layers", "7")
    jobs = run(instance.data_dir, "jobs", "--json")
    shown = run(instance.data_dir, "jobs", "show", str(demo["id"]), "--json")
    again = run(instance.data_dir, "jobs", "retry", str(demo["id"]))

    runs = page.request.get("/api/runs").json()["items"]
    assert [item["id"] for item in json.loads(listed.stdout)["items"]] == [
        item["id"] for item in runs
    ]
    assert json.loads(used.stdout)["shown"] == first["layers"]
    assert (refused.returncode, "has no layer 7" in refused.stderr) == (2, True)
    assert demo["id"] in [job["id"] for job in json.loads(jobs.stdout)["items"]]
    assert len(json.loads(shown.stdout)["steps"]) == demo["steps_total"]
    assert (again.returncode, "only a failed or cancelled job" in again.stderr) == (1, True)


def test_the_form_of_a_collection_offers_what_is_registered(page: Page) -> None:
    release = page.request.get("/api/releases").json()["items"][0]
    corpus = page.request.get("/api/corpora").json()["items"][0]
    page.goto("/runs")

    page.get_by_text("Start a collection").click()

    expect(page.get_by_role("combobox", name="Release")).to_have_value(release["name"])
    expect(page.get_by_role("combobox", name="Corpus")).to_have_value(corpus["name"])
    for sae in release["saes"]:
        expect(page.get_by_role("checkbox", name=str(sae["layer"]), exact=True)).to_be_checked()


def test_the_same_asked_for_again_names_the_run_and_the_one_that_is_shown(
    page: Page, kept: int
) -> None:
    page.goto("/runs")
    others = page.locator("[data-run]").filter(has=page.get_by_role("button"))
    others.first.get_by_role("button", name="Show this run").click()
    expect(page.get_by_text("The dictionary now shows run")).to_be_visible()
    shown = next(item for item in page.request.get("/api/runs").json()["items"] if item["shown"])

    page.get_by_text("Start a collection").click()
    page.get_by_role("button", name="Start", exact=True).click()

    said = page.get_by_role("status").filter(has_text="Nothing to do")
    expect(said).to_contain_text(f"has collected this as run {kept}")
    expect(said).to_contain_text(f"the dictionary shows run {shown['id']}")


def test_the_number_of_a_run_leads_to_the_job_that_makes_it(page: Page) -> None:
    newest = page.request.get("/api/runs").json()["items"][0]

    page.goto(f"/runs/{newest['id']}")

    expect(page).to_have_url(re.compile(f"/jobs/{newest['job_id']}$"))
    expect(page.locator(f'[data-run="{newest["id"]}"]')).to_contain_text(f"Run {newest['id']}")


def test_the_address_above_a_job_leads_to_all_of_them(page: Page) -> None:
    page.goto("/jobs")

    expect(page).to_have_url(re.compile("/runs$"))


@pytest.mark.parametrize("number", ["99999999999", "9" * 30])
def test_numbers_beyond_all_rows_are_no_run_and_no_job(page: Page, number: str) -> None:
    for kind in ("run", "job"):
        page.goto(f"/{kind}s/{number}")
        expect(page.get_by_role("alert")).to_contain_text(f"There is no {kind} {number}")


def test_an_unknown_job_gets_the_sentence_of_the_api(page: Page) -> None:
    answer = page.request.get("/api/jobs/99999999")

    page.goto("/jobs/99999999")

    assert answer.status == 404
    expect(page.get_by_role("alert")).to_contain_text(answer.json()["detail"])
