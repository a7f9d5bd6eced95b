"""Searching by concept on the start page."""

import re

import pytest
from playwright.sync_api import Page, expect

HITS = "article:has([data-hit])"


@pytest.mark.parametrize(
    ("query", "proof"),
    [
        ("Chinese", r"[\u4e00-\u9fff]{2}"),
        ("German", r"\b(der|die|das|und|nicht|werden|für|eine?)\b"),
        ("Python code", r"\b(self|def|import|return|None)\b"),
    ],
)
def test_a_concept_finds_features_whose_text_is_of_it(page: Page, query: str, proof: str) -> None:
    page.goto("/")

    page.get_by_role("searchbox").fill(query)
    expect(page.locator(HITS).first).to_be_visible()

    texts = page.locator(f"{HITS} .text").all_text_contents()
    assert any(re.search(proof, text) for text in texts[:10]), texts[:10]


def test_a_hit_says_where_its_label_comes_from_and_why_it_was_found(page: Page) -> None:
    page.goto("/?q=Chinese")

    hit = page.locator(HITS).first
    expect(hit).to_be_visible()

    expect(hit.get_by_text("keywords", exact=True)).to_be_visible()
    expect(hit.get_by_text(re.compile(r"^L\d+ · \d+$"))).to_be_visible()
    expect(hit.get_by_text(re.compile(r"^(words|meaning)")).first).to_be_visible()
    expect(hit.locator("mark.peak")).to_have_count(1)


def test_an_example_query_is_one_click_away_and_the_back_button_undoes_it(page: Page) -> None:
    page.goto("/")

    page.get_by_role("link", name="Bible verses").click()
    expect(page.locator(HITS).first).to_be_visible()
    expect(page).to_have_url(re.compile(r"\?q=Bible(\+|%20)verses"))
    expect(page.get_by_role("searchbox")).to_have_value("Bible verses")
    page.go_back()

    expect(page.get_by_role("searchbox")).to_have_value("")
    expect(page.locator(HITS)).to_have_count(0)


def test_the_keyboard_alone_leads_from_the_box_to_a_feature(page: Page) -> None:
    page.goto("/?q=German")
    expect(page.locator(HITS).nth(2)).to_be_visible()
    links = page.locator("[data-hit]")

    page.locator("body").click(position={"x": 2, "y": 400})
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowUp"):
        page.keyboard.press(key)
    expect(links.nth(1)).to_be_focused()
    target = links.nth(1).get_attribute("href")
    page.keyboard.press("Enter")

    expect(page).to_have_url(re.compile(re.escape(str(target)) + "$"))


def test_a_layer_filter_leaves_only_its_features_and_stays_in_the_address(page: Page) -> None:
    page.goto("/?q=Chinese")
    expect(page.locator(HITS).first).to_be_visible()
    layer = page.get_by_label("Layer").locator("option").nth(1).inner_text()

    page.get_by_label("Layer").select_option(layer)
    expect(page).to_have_url(re.compile(f"layer={layer}"))
    page.reload()

    expect(page.locator(HITS).first).to_be_visible()
    names = page.get_by_text(re.compile(r"^L\d+ · \d+$")).all_inner_texts()
    assert names
    assert all(name.startswith(f"L{layer} ·") for name in names)


def test_more_hits_come_on_request_and_are_still_there_after_a_step_back(page: Page) -> None:
    page.goto("/?q=text")
    expect(page.locator(HITS)).to_have_count(20)

    page.get_by_role("button", name="Show more").click()
    expect(page.locator(HITS).nth(25)).to_be_visible()
    count = page.locator(HITS).count()
    page.locator("[data-hit]").nth(22).click()
    expect(page).to_have_url(re.compile("/features/"))
    expect(page.locator("[data-example]").first).to_be_visible()
    page.go_back()

    expect(page.locator(HITS)).to_have_count(count)


@pytest.mark.parametrize("query", ["x" * 10_000, "\u4e2d" * 2_000])
def test_a_query_that_is_too_long_gets_the_sentence_of_the_api(page: Page, query: str) -> None:
    page.goto("/")

    page.get_by_role("searchbox").fill(query)
    page.get_by_role("searchbox").press("Enter")

    answer = page.request.get("/api/search", params={"q": query})
    assert answer.status == 422
    expect(page.get_by_role("alert")).to_contain_text(answer.json()["detail"])


def test_a_query_of_emoji_alone_is_answered_as_the_api_answers_it(page: Page) -> None:
    answer = page.request.get("/api/search", params={"q": "👍🏽👩‍💻"})

    page.goto("/?q=👍🏽👩‍💻")

    if answer.status != 200:
        expect(page.get_by_role("alert")).to_contain_text(answer.json()["detail"])
    elif answer.json()["items"]:
        expect(page.locator(HITS).first).to_be_visible()
    else:
        expect(page.get_by_text("No label means or says")).to_be_visible()


def test_filters_say_what_they_would_leave_and_stay_in_the_address(page: Page) -> None:
    page.goto("/?q=Chinese")
    expect(page.locator(HITS).first).to_be_visible()

    page.get_by_role("button", name="Filters").click()
    group = page.get_by_role("group", name="Fires on")
    expect(group.get_by_role("checkbox").first).to_be_visible()
    rows = group.locator("label").all_inner_texts()
    counts = [int(row.split()[-1].replace(",", "")) for row in rows]
    least = counts.index(min(counts))
    group.get_by_role("checkbox").nth(least).check()

    expect(page).to_have_url(re.compile(r"density=[\d.e%-]+\.\."))
    expect(page.locator(HITS)).to_have_count(min(counts[least], 20))
    page.reload()
    expect(page.locator(HITS)).to_have_count(min(counts[least], 20))
    page.get_by_role("button", name="Remove the filter").click()
    expect(page).not_to_have_url(re.compile("density"))


def test_a_mistyped_word_is_searched_as_what_it_is_like_and_the_match_is_marked(page: Page) -> None:
    page.goto("/?q=Chinesse")

    expect(page.get_by_text("no label holds “chinesse”")).to_be_visible()
    expect(page.locator(f"{HITS} h2 mark").first).to_have_text("Chinese")


def test_an_example_text_is_handed_over_to_inspect(page: Page) -> None:
    text = "The boat went slowly to the other side of the river, and then it came back."
    page.goto("/")

    page.get_by_role("searchbox").fill(text)
    page.get_by_role("link", name="See which features fire on it").click()

    expect(page.get_by_role("heading", name="Inspect")).to_be_visible()
    expect(page.get_by_role("textbox", name="Text")).to_have_value(text)
