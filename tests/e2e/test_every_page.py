"""What holds on every page."""

import gzip
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Response, expect

FIRST_LOAD_BYTES = 100_000
#: The text of examples: a thousand little elements, whose colours `heat.test.ts` holds.
UNCHECKED = [[".text"]]


class Stop(NamedTuple):
    """A page as it is looked at: its address, and what is done there first."""

    address: str
    prepare: Callable[[Page], None] = lambda _: None


def _open_filters(page: Page) -> None:
    page.get_by_role("button", name="Filters").click()
    expect(page.locator("#filter-panel fieldset").first).to_be_visible()


def _unfold(page: Page) -> None:
    """Open whatever is folded, and the forms of a verdict and of a sense's wording."""
    expect(page.get_by_role("button", name="Accept a")).to_be_enabled()
    for name in ("Add to a list", "Edit e", "Edit the label of sense 0"):
        if page.get_by_role("button", name=name).count():
            page.get_by_role("button", name=name).click()
    page.eval_on_selector_all("main details", "all => all.forEach(one => one.open = true)")


def _point_at_a_feature(page: Page) -> None:
    page.get_by_role("list").filter(has=page.locator("[data-feature]")).get_by_role(
        "button"
    ).first.click()
    expect(page.get_by_role("grid")).to_be_visible()


def _light_a_difference(page: Page) -> None:
    page.locator("tbody tr").get_by_role("button").first.click()
    expect(page.locator("tbody tr.lit")).to_be_visible()


def _open_forms_of_a_preset(page: Page) -> None:
    page.get_by_role("button", name="Change", exact=True).click()
    page.get_by_role("button", name="Approve version 1").click()
    expect(page.get_by_label("Why")).to_be_focused()


def _open_the_dialog(page: Page) -> None:
    expect(page.locator("[data-steered]")).to_have_count(1)
    page.get_by_role("button", name="Save as version 2").click()
    expect(page.get_by_role("dialog")).to_be_visible()


def _preset(page: Page, feature: str) -> Any:
    """Return a preset with a group and a test; one of an earlier test is taken again."""
    draft = {
        "interventions": [{"feature": feature, "value": 1, "group": "one"}],
        "groups": [{"name": "one"}],
        "tests": [
            {
                "name": "differs",
                "prompts": ["The river"],
                "measure": "distinct",
                "expect": "above",
                "value": 0.1,
            }
        ],
    }
    data = {"name": "Looked at", "draft": draft}
    made = page.request.post("/api/presets", data=data, headers={"X-Scopebook": "1"})
    listed = page.request.get("/api/presets?limit=200").json()["items"]
    return made.json() if made.ok else next(one for one in listed if one["name"] == "Looked at")


def _of_several_senses(page: Page) -> str:
    listed = page.request.get("/api/features?layer=2&limit=50").json()["items"]
    return next(
        feature["id"]
        for feature in listed
        if len(page.request.get(f"/api/features/{feature['id']}").json()["senses"]) > 1
    )


@pytest.fixture
def stops(page: Page, feature_id: str, loaded: None) -> Iterator[list[Stop]]:
    """Each page of the app, those that have several faces with each of them."""
    status = page.request.get("/api/status").json()["demo"]
    own = {"X-Scopebook": "1"}
    wanted = {"name": "Looked at", "features": [feature_id]}
    kept = page.request.post("/api/lists", data=wanted, headers=own).json()["id"]
    addresses = ["/", "/inspect", "/features", "/labels", "/labels/drift", "/lists", "/map"]
    addresses += ["/runs", "/scans", "/presets", "/presets?archived=1", "/presets/none"]
    preset = _preset(page, feature_id)["id"]
    yield [
        *(Stop(address) for address in addresses),
        Stop("/inspect?text=The+river+and+打开系统设置&go=4", _point_at_a_feature),
        Stop("/compare"),
        Stop("/compare?a=The+river+and+the+sea&b=The+river+and+打开系统设置", _light_a_difference),
        Stop("/steer"),
        Stop(f"/steer?features={feature_id}"),
        Stop(f"/steer?preset={preset}&version=1", _open_the_dialog),
        Stop(f"/presets/{preset}"),
        Stop(f"/presets/{preset}", _open_forms_of_a_preset),
        Stop("/?q=Chinese+text"),
        Stop("/?q=Python+code", _open_filters),
        Stop("/?q=Chinese+text&density=0.99.."),
        Stop(f"/features/{feature_id}"),
        Stop(f"/features/{_of_several_senses(page)}", _unfold),
        Stop("/features/nonsense"),
        Stop(f"/embed/{feature_id}"),
        Stop("/review", _unfold),
        Stop(f"/lists/{kept}"),
        Stop(f"/runs/{status['runs'][0]['id']}"),
        Stop(f"/jobs/{status['id']}"),
        *(Stop(address) for address in ("/account", "/accounts", "/login", "/welcome")),
        Stop("/nowhere/at/all"),
    ]
    page.request.delete(f"/api/lists/{kept}", headers=own)


def _visited(page: Page, stops: list[Stop]) -> Iterator[str]:
    """Open each page and wait until it shows what it is for."""
    for address, prepare in stops:
        page.goto(address)
        expect(page.locator("main h1")).to_have_count(1)
        expect(page.locator("main [aria-busy=true]")).to_have_count(0)
        expect(page.locator(".skeleton")).to_have_count(0)
        prepare(page)
        yield address


def _hindrances(page: Page) -> list[Any]:
    """Return what keeps people from using the page as it is now: rules, and where they fail."""
    found = Axe().run(page, context={"exclude": UNCHECKED}, options={"resultTypes": ["violations"]})
    return [
        (rule["id"], [node["html"] for node in rule["nodes"]])
        for rule in found.response["violations"]
        if rule["impact"] in ("serious", "critical")
    ]


def test_no_page_hinders_people_scrolls_sideways_complains_or_leaves_the_instance(
    page: Page, stops: list[Stop], complaints: list[str], asked_elsewhere: list[str]
) -> None:
    hindered, wide = {}, {}
    visited = 0

    for address in _visited(page, stops):
        visited += 1
        hindered[address, "wide, light"] = _hindrances(page)
        page.set_viewport_size({"width": 390, "height": 844})
        page.emulate_media(color_scheme="dark")
        hindered[address, "narrow, dark"] = _hindrances(page)
        wide[address] = page.evaluate("document.documentElement.scrollWidth")
        page.set_viewport_size({"width": 1280, "height": 900})
        page.emulate_media(color_scheme="light")

    assert visited == len(stops)
    assert {where: found for where, found in hindered.items() if found} == {}
    assert {address: width for address, width in wide.items() if width > 390} == {}
    assert complaints == []
    assert asked_elsewhere == []


def test_the_first_page_is_light(page: Page) -> None:
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))

    page.goto("/")
    expect(page.get_by_role("searchbox")).to_be_visible()
    page.wait_for_load_state("networkidle")

    files = [answer for answer in answers if "/api/" not in answer.url]
    assert files
    assert sum(len(gzip.compress(answer.body())) for answer in files) < FIRST_LOAD_BYTES


def test_a_chosen_theme_holds_from_page_to_page_and_after_a_reload(
    page: Page, feature_id: str
) -> None:
    page.goto("/")
    background = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(background)

    page.get_by_role("button", name="Switch to dark mode").click()
    dark = page.evaluate(background)

    assert dark != light
    elsewhere = [Stop("/features"), Stop(f"/features/{feature_id}"), Stop("/login")]
    assert {page.evaluate(background) for _ in _visited(page, elsewhere)} == {dark}
    page.reload()
    expect(page.get_by_role("button", name="Switch to light mode")).to_be_visible()


def test_the_theme_is_the_systems_unless_one_is_chosen(page: Page) -> None:
    page.emulate_media(color_scheme="dark")

    page.goto("/")

    expect(page.get_by_role("button", name="Switch to light mode")).to_be_visible()


def test_an_address_that_leads_nowhere_says_so(page: Page) -> None:
    page.goto("/nowhere/at/all")

    expect(page.get_by_text("There is no such page")).to_be_visible()
    page.get_by_role("link", name="Search the dictionary").click()
    expect(page).to_have_url(re.compile(r"/$"))


def test_the_first_stop_of_the_keyboard_skips_to_the_content(page: Page) -> None:
    page.goto("/features")
    expect(page.locator("tbody tr").first).to_be_visible()

    page.keyboard.press("Tab")

    expect(page.get_by_role("link", name="To the content")).to_be_focused()
