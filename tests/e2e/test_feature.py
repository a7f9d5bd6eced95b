"""The page of one feature."""

import re
import unicodedata
from typing import Any

from playwright.sync_api import Page, expect


def _feature(page: Page, feature_id: str) -> dict[str, Any]:
    feature: dict[str, Any] = page.request.get(f"/api/features/{feature_id}").json()
    return feature


def _without_shape(text: str) -> bool:
    """Hold for texts with characters that the page shows by their code."""
    return any(
        unicodedata.category(character)[0] == "C" and character not in "\n\t" for character in text
    )


def test_a_hit_leads_to_its_text_its_histogram_and_its_tokens(page: Page) -> None:
    page.goto("/?q=Chinese")

    page.locator("[data-hit]").first.click()

    example = page.locator('[data-example="best"]').first
    expect(example.locator("mark.peak")).to_have_count(1)
    expect(page.get_by_role("img", name=re.compile("^Histogram of "))).to_be_visible()
    for title in ("Top firing tokens", "Promoted tokens", "Suppressed tokens", "Neighbours"):
        section = page.locator("section").filter(has=page.get_by_role("heading", name=title))
        expect(section.locator("li").first).to_be_visible()


def test_examples_are_told_apart_by_strength(page: Page, feature_id: str) -> None:
    feature = _feature(page, feature_id)
    sample = [example for example in feature["examples"] if example["kind"] == "sample"]
    strong = [example for example in sample if example["quantile"] >= 0.75]

    page.goto(f"/features/{feature_id}")

    bands = page.locator("[data-band]")
    expect(bands.first).to_have_attribute("data-band", "Top quarter")
    expect(bands.last).to_have_attribute("data-band", "Bottom quarter")
    heading = bands.first.get_by_role("heading")
    expect(heading).to_contain_text(re.compile(r"[\d.]+ to [\d.]+"))
    expect(heading).to_contain_text(f"{len(strong)} example")
    everything = bands.first.get_by_role("button", name=re.compile("^Show all"))
    if everything.is_visible():
        everything.click()
    expect(bands.first.locator('[data-example="sample"]')).to_have_count(len(strong))


def test_the_histogram_has_a_logarithmic_axis(page: Page, feature_id: str) -> None:
    page.goto(f"/features/{feature_id}")

    histogram = page.get_by_role("img", name=re.compile("^Histogram of "))
    expect(histogram).to_contain_text("activation, log scale")
    assert histogram.locator("text.axis").count() >= 4


def test_the_page_says_what_the_api_knows(page: Page, feature_id: str) -> None:
    feature = _feature(page, feature_id)

    page.goto(f"/features/{feature_id}")

    expect(page.get_by_role("heading", level=1)).to_have_text(feature["label"]["text"])
    expect(page.locator("header").get_by_text(feature_id)).to_be_visible()
    expect(page.get_by_text(f"{feature['statistics']['count']:,}").first).to_be_visible()
    document = feature["examples"][0]["document"]
    expect(page.locator("[data-example]").first).to_contain_text(
        document["title"] or document["name"]
    )


def test_the_text_of_an_example_is_the_text_of_its_tokens(page: Page, feature_id: str) -> None:
    examples = _feature(page, feature_id)["examples"]
    best = [example for example in examples if example["kind"] == "best"]
    texts = ["".join(token["text"] for token in example["tokens"]) for example in best]
    number = next(at for at, text in enumerate(texts) if not _without_shape(text))

    page.goto(f"/features/{feature_id}")
    everything = page.get_by_role("button", name=re.compile("^Show all")).first
    expect(page.locator("mark.peak").first).to_be_visible()
    if everything.is_visible():
        everything.click()
    shown = page.locator('[data-example="best"]').nth(number)
    whole = shown.get_by_role("button", name="Whole window")
    if whole.is_visible():
        whole.click()

    drawn = str(shown.locator(".text").text_content())
    cut = (best[number]["cut_left"], best[number]["cut_right"])
    assert drawn == "…" * cut[0] + texts[number] + "…" * cut[1]


def test_the_keyboard_tells_the_activation_of_each_token_that_fires(page: Page) -> None:
    densest = page.request.get("/api/features", params={"sort": "density", "limit": 1}).json()
    page.goto(f"/features/{densest['items'][0]['id']}")
    example = page.locator("[data-example]:has(mark ~ mark)").first
    marks = example.locator("mark")
    tip = page.get_by_role("tooltip")

    example.locator("mark.peak").focus()

    expect(tip).to_contain_text(example.locator(".strength span").first.inner_text())
    peak_is_last = marks.last.get_attribute("tabindex") == "0"
    page.keyboard.press("ArrowLeft" if peak_is_last else "ArrowRight")
    neighbour = (
        marks.nth(marks.count() - 2) if peak_is_last else example.locator("mark.peak ~ mark")
    )
    expect(neighbour.first).to_be_focused()
    expect(tip).to_have_count(1)


def test_the_neighbouring_features_are_a_key_away(page: Page, feature_id: str) -> None:
    following = _feature(page, feature_id)["following"]
    page.goto(f"/features/{feature_id}")
    expect(page.locator("mark.peak").first).to_be_visible()

    page.keyboard.press("j")
    expect(page).to_have_url(re.compile(re.escape(following) + "$"))
    page.keyboard.press("k")

    expect(page).to_have_url(re.compile(re.escape(feature_id) + "$"))


def test_an_unknown_feature_gets_the_sentence_of_the_api(page: Page, feature_id: str) -> None:
    unknown = feature_id.rsplit("/", 1)[0] + "/99999999"
    answer = page.request.get(f"/api/features/{unknown}")

    page.goto(f"/features/{unknown}")

    assert answer.status == 404
    expect(page.get_by_role("alert")).to_contain_text(answer.json()["detail"])


def test_what_is_no_feature_id_is_told_what_one_looks_like(page: Page) -> None:
    page.goto("/features/nonsense")

    expect(page.get_by_role("alert")).to_contain_text("“nonsense” is no feature id")


def test_the_list_of_features_can_be_sorted_and_filtered(page: Page) -> None:
    page.goto("/features")
    rows = page.locator("tbody tr")
    expect(rows.nth(10)).to_be_visible()
    layer = page.get_by_label("Layer").locator("option").nth(1).inner_text()

    page.get_by_label("Layer").select_option(layer)
    page.get_by_label("Sort by").select_option("max")
    expect(page).to_have_url(re.compile("sort=max"))
    expect(page.locator("[aria-busy=true]")).to_have_count(0)

    wanted = page.request.get("/api/features", params={"layer": layer, "sort": "max", "limit": 1})
    first = wanted.json()["items"][0]
    expect(rows.first).to_contain_text(f"L{first['layer']} · {first['index']}")


def test_features_that_are_labelled_nearly_the_same_are_linked(page: Page) -> None:
    listed = page.request.get("/api/features?layer=1&limit=50").json()["items"]
    answers = {
        feature["id"]: page.request.get(f"/api/features/{feature['id']}/alike").json()
        for feature in listed
    }
    feature_id, answer = next(pair for pair in answers.items() if pair[1]["items"])

    page.goto(f"/features/{feature_id}")

    heading = page.get_by_role("heading", name="Labelled nearly the same")
    links = page.locator("section").filter(has=heading).locator("li a")
    expect(links).to_have_text([item["label"]["text"] for item in answer["items"]])
    links.first.click()
    expect(page).to_have_url(re.compile(re.escape(answer["items"][0]["id"])))
