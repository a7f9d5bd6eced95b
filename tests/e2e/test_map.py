"""The map of features: drawn from its page, looked around in, and read as a list."""

import re

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from scopebook.map_points import MapPoints, unpack_points


def state_of(page: Page) -> dict[str, object]:
    release = page.request.get("/api/releases").json()["items"][0]["name"]
    state = page.request.get("/api/maps/latest", params={"release": release}).json()
    assert isinstance(state, dict)
    return state


@pytest.fixture
def shown(page: Page) -> Locator:
    """The map's page with its points; the first to ask for it has it drawn."""
    page.goto("/map")
    expect(page.locator("main h1")).to_have_text("Map")
    if state_of(page)["map"] is None:
        expect(page.get_by_text("No map yet")).to_be_visible()
        page.get_by_role("button", name="Draw the map").click()
        expect(page.get_by_role("progressbar")).to_be_visible()
    frame = page.get_by_role("application")
    expect(frame).to_be_visible(timeout=600_000)
    return frame


def points_of(page: Page) -> tuple[dict[str, object], MapPoints]:
    drawn = state_of(page)["map"]
    assert isinstance(drawn, dict)
    answer = page.request.get(f"/api/maps/{drawn['id']}/points")
    return drawn, unpack_points(answer.body())


def loneliest(points: MapPoints) -> int:
    """Return the point that is farthest from its nearest one, so that a pointer meets it alone."""
    places = np.stack([points.x, points.y], axis=1)
    far = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(far, np.inf)
    return int(far.min(axis=1).argmax())


def test_a_point_says_what_it_is_and_opens_its_feature(page: Page, shown: Locator) -> None:
    drawn, points = points_of(page)
    point = loneliest(points)
    layers = drawn["layers"]
    assert isinstance(layers, list)
    feature = f"{drawn['model']}/{layers[points.layer[point]]}-{drawn['set_name']}"
    feature += f"/{points.index[point]}"
    label = page.request.get(f"/api/features/{feature}").json()["label"]["text"]
    box = shown.locator("canvas").bounding_box()
    assert box is not None
    one = min(box["width"], box["height"]) / 2 * 0.94
    at = (
        box["x"] + box["width"] / 2 + float(points.x[point]) * one,
        box["y"] + box["height"] / 2 - float(points.y[point]) * one,
    )

    page.mouse.move(*at)

    expect(shown.get_by_role("status")).to_contain_text(label)
    expect(shown.get_by_role("status")).to_contain_text(str(points.index[point]))
    page.mouse.click(*at)
    expect(page).to_have_url(re.compile(rf"/{points.index[point]}$"))
    expect(page.locator("h1")).to_contain_text(label)


def test_points_are_drawn_marked_by_a_search_and_filtered(page: Page, shown: Locator) -> None:
    canvas = shown.locator("canvas")
    says = page.get_by_role("status").filter(has_text="features")
    expect(says).to_contain_text(re.compile(r"[\d,]+ features, drawn"))
    before = canvas.screenshot()

    page.get_by_label("Mark features on the map").fill("Chinese text")
    expect(says).to_contain_text(re.compile(r"[1-9]\d* features of [\d,]+ marked"))
    expect(page).to_have_url(re.compile("q=Chinese"))
    marked = canvas.screenshot()
    page.get_by_label("Label by").select_option("person")
    expect(says).to_contain_text("0 features of 0 marked")
    empty = canvas.screenshot()

    assert len({before, marked, empty}) == 3
    page.reload()
    expect(page.get_by_label("Mark features on the map")).to_have_value("Chinese text")
    expect(page.get_by_label("Label by")).to_have_value("person")


def tightest(points: MapPoints, regions: int) -> int:
    """Return the region whose points lie nearest together: one over all of the map fills it."""
    spread = [
        np.hypot(points.x[of].std(), points.y[of].std())
        for of in (points.region == region for region in range(regions))
    ]
    return int(np.nanargmin(spread))


def test_the_regions_are_a_list_for_the_keyboard(page: Page, shown: Locator) -> None:
    drawn, points = points_of(page)
    named = drawn["regions"]
    assert isinstance(named, list)
    regions = page.get_by_role("region", name="Regions")
    chosen = regions.get_by_role("button").nth(tightest(points, len(named)))
    chosen.focus()

    page.keyboard.press("Enter")

    expect(chosen).to_have_attribute("aria-expanded", "true")
    expect(shown).not_to_have_attribute("data-zoom", "1.00")
    page.keyboard.press("Tab")
    link = regions.get_by_role("link").first
    expect(link).to_be_focused()
    label = link.text_content() or ""
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text(label)


def test_the_map_zooms_and_moves_by_keys(page: Page, shown: Locator) -> None:
    shown.focus()

    page.keyboard.press("+")
    expect(shown).to_have_attribute("data-zoom", "1.50")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("0")

    expect(shown).to_have_attribute("data-zoom", "1.00")


def test_points_that_cannot_be_read_are_said_to_be(page: Page, shown: Locator) -> None:
    sentence = "The points of map 1 cannot be read; draw the map again."
    page.route(
        "**/api/maps/*/points",
        lambda route: route.fulfill(status=503, json={"title": "Away", "detail": sentence}),
    )

    page.reload()

    expect(page.get_by_role("alert")).to_contain_text(sentence)
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    expect(shown).to_have_count(0)


@pytest.mark.usefixtures("shown")
def test_a_map_that_could_not_be_drawn_and_one_that_is_stale_say_so_after_a_reload(
    page: Page,
) -> None:
    state = state_of(page)
    drawn = state["map"]
    assert isinstance(drawn, dict)
    job = page.request.get(f"/api/jobs/{drawn['job_id']}").json()
    failed = job | {"state": "failed", "error": "The disk is full."}
    changed = drawn | {"stale": True, "changed_at": "2026-03-01T12:00:00Z"}
    answer = state | {"job": failed, "map": changed}
    page.route("**/api/maps/latest?*", lambda route: route.fulfill(json=answer))
    page.route("**/api/jobs/*/events", lambda route: route.abort())
    page.route(f"**/api/jobs/{job['id']}", lambda route: route.fulfill(json=failed))

    page.reload()

    told = page.locator(f"section[aria-label='{job['title']}']")
    expect(told).to_contain_text("The disk is full.")
    expect(told).to_contain_text("failed")
    expect(told.get_by_role("link", name=f"Job {job['id']}")).to_be_visible()
    expect(told.get_by_role("button", name="Try again")).to_be_visible()
    expect(page.get_by_text(re.compile(r"Labels have changed since Mar 1, 2026"))).to_be_visible()
