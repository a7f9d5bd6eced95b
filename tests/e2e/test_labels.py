"""Labels on the pages: how far they reach, who worded them, how good they are."""

import re
import time
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from asked_models import Asked, ends_and_chance
from chat_server import by_keywords


def outcomes(page: Page) -> dict[str, str | None]:
    """Return why each of the twelve has no label by a model, by its id."""
    items = page.request.get("/api/features?layer=2&limit=12").json()["items"]
    return {item["id"]: (item["unlabelled"] or {}).get("status") for item in items}


def read(page: Page, feature_id: str) -> Any:
    """Return everything the API knows of a feature."""
    return page.request.get(f"/api/features/{feature_id}").json()


def worded(page: Page) -> Any:
    """Return a feature of one sense that the model has worded, and that the check has scored."""
    features = (read(page, name) for name, said in outcomes(page).items() if said is None)
    return next(
        feature
        for feature in features
        if len(feature["senses"]) == 1
        and any(score["details"].get("checked") for score in feature["scores"])
    )


def until_done(page: Page, job_id: int) -> None:
    """Wait until a job is over, and see that it was done."""
    begun = time.monotonic()
    while time.monotonic() < begun + 1200:
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


def test_what_a_language_model_has_said_and_not_said_is_told_apart(
    page: Page, asked: Asked
) -> None:
    page.goto(f"/jobs/{asked.job_id}")
    expect(page.get_by_text(re.compile(r"about 12 calls, [\d,]+ tokens in")).first).to_be_visible()
    expect(page.locator("main")).to_contain_text("Check its labels")

    ended = outcomes(page)
    for status in ("abstained", "failed"):
        [one] = [name for name, said in ended.items() if said == status]
        page.goto(f"/features/{one}")
        expect(page.get_by_text(f"unlabelled ({status})")).to_be_visible()
        expect(page.get_by_text("keywords", exact=True).first).to_be_visible()
    page.goto(f"/features/{worded(page)['id']}")
    expect(page.locator("h1")).to_contain_text("Texts with")
    expect(page.get_by_text("LLM", exact=True).first).to_be_visible()
    page.goto("/labels")
    expect(page.get_by_role("table")).to_contain_text("1 unlabelled (abstained)")


@pytest.mark.usefixtures("asked")
def test_a_sense_has_its_label_its_score_and_its_own_examples_the_most_typical_first(
    page: Page,
) -> None:
    feature, sense = next(
        (feature, sense)
        for feature in (read(page, name) for name in outcomes(page))
        if len(feature["senses"]) > 1
        for sense in feature["senses"]
        if sense["label"] and sense["label"]["source"] == "llm"
    )
    own = [one for one in feature["examples"] if one["sense"] == sense["ordinal"]]
    page.goto(f"/features/{feature['id']}")

    card = (
        page.get_by_role("list", name="Senses")
        .get_by_role("listitem")
        .filter(has_text=f"Sense {sense['ordinal']}")
    )
    expect(card).to_contain_text(sense["label"]["text"])
    expect(card).to_contain_text("the model gives itself 70 %")
    expect(card.get_by_role("list", name="Scores")).to_contain_text("support")
    card.get_by_role("button", name=re.compile(f"^Sense {sense['ordinal']}")).click()

    typical = page.get_by_role("region", name=f"Typical examples of sense {sense['ordinal']}")
    expect(typical.locator("article")).to_have_count(
        min(8, sum(one["typical"] is not None for one in own))
    )
    [first] = [one for one in own if one["typical"] == 0]
    title = first["document"]["title"] or first["document"]["name"]
    expect(typical.locator("article").first).to_contain_text(title)


@pytest.mark.usefixtures("asked")
def test_a_score_says_what_it_is_and_on_what_it_rests(page: Page) -> None:
    feature = worded(page)
    scored = {score["label_id"] for score in feature["scores"]}
    page.goto(f"/features/{feature['id']}")

    bar = page.get_by_role("button", name=re.compile(r"^support \d\.\d\d; 95 % interval")).first
    bar.hover()

    assert feature["label"]["id"] in scored
    expect(page.get_by_role("tooltip")).to_contain_text("an unseen example of the feature")
    expect(page.get_by_role("tooltip")).to_contain_text("by chance 0.50")
    page.goto(f"/features/{feature['id'].replace('/2-', '/1-')}")
    expect(page.get_by_text("not scored").first).to_be_visible()
    expect(page.get_by_text("No language model was asked about this feature.")).to_be_visible()
    expect(page.get_by_text("Origin: what language models were asked")).to_have_count(0)


def test_where_a_label_comes_from_is_told_with_the_raw_answer(page: Page, asked: Asked) -> None:
    [failed] = [name for name, said in outcomes(page).items() if said == "failed"]
    page.goto(f"/features/{failed}")

    page.get_by_text("Origin: what language models were asked").click()

    origin = page.locator("[data-origin=failed]").first
    expect(origin).to_contain_text(asked.chats.url)
    expect(origin).to_contain_text(re.compile(r"Answered by\s*stub-1"))
    expect(origin).to_contain_text(re.compile(r"Prompt\s*wording-"))
    origin.get_by_text("Raw answer").click()
    expect(origin.locator("pre").filter(has_text="still none")).to_be_visible()
    origin.get_by_text("Rules that every request begins with").click()
    rules = asked.chats.asked[0]["messages"][0]["content"]
    expect(origin.locator("pre").first).to_contain_text(rules[:80])
    origin.get_by_text(re.compile(r"\d+ examples that it read")).click()
    expect(origin.get_by_role("listitem").first).to_be_visible()


def test_one_feature_is_labelled_again_and_keeps_its_label_where_that_fails(
    page: Page, asked: Asked
) -> None:
    feature = worded(page)
    others = {name: read(page, name)["label"]["id"] for name in outcomes(page)}
    del others[feature["id"]]
    page.goto(f"/features/{feature['id']}")
    page.get_by_role("button", name="Relabel this feature").click()
    form = page.get_by_role("form", name="Relabel this feature")
    expect(form.get_by_label("Endpoint")).to_have_value(asked.chats.url)
    expect(form.get_by_role("textbox", name="Model")).to_have_value("stub")

    asked.chats.answer = lambda user: "no JSON"
    form.get_by_role("button", name="Label").click()
    status = page.get_by_role("status").filter(has_text="Job")
    expect(status).to_contain_text("The label it had stays.", timeout=300_000)
    assert read(page, feature["id"])["label"] == feature["label"]

    asked.chats.answer = lambda user: by_keywords(user).replace("0.7", "0.9")
    form.get_by_role("button", name="Label").click()
    expect(status).to_contain_text("It has a new label.", timeout=300_000)
    expect(page.get_by_text("the model gives itself 90 %").first).to_be_visible()
    assert read(page, feature["id"])["label"]["id"] > feature["label"]["id"]
    assert {name: read(page, name)["label"]["id"] for name in others} == others


@pytest.mark.usefixtures("asked")
def test_the_labels_page_tells_how_good_labels_are_and_which_are_the_worst(page: Page) -> None:
    worst = page.request.get("/api/labels/scores?scorer=support").json()["items"][0]
    page.goto("/labels?scorer=support")

    scorers = page.get_by_role("list", name="Scorers")
    expect(
        scorers.get_by_role("img", name=re.compile(r"scores by support, median"))
    ).to_be_visible()
    expect(scorers).to_contain_text(re.compile(r"\d+ scored;\s+[\d,]+ not"))
    first = page.get_by_role("list", name="Worst labels").get_by_role("link").first
    expect(first).to_have_text(worst["label"]["text"])
    first.click()
    expect(page).to_have_url(re.compile(re.escape(worst["feature"]["id"])))

    page.goto("/labels?layer=1")
    expect(page.get_by_text("No label here is scored")).to_be_visible()


def test_how_far_senses_can_be_trusted_is_told_of_a_layer_and_beside_a_features_senses(
    page: Page,
) -> None:
    layers = page.request.get("/api/labels/coverage").json()["items"]
    place, several = next(
        (place, one["id"])
        for place, layer in enumerate(layers)
        for one in page.request.get(f"/api/features?layer={layer['layer']}").json()["items"]
        if len(read(page, one["id"])["senses"]) > 1
    )
    kept = layers[place]["resolution"]
    split = f"{float(format(100 * kept['split_rate'], '.2g')):g} % of single features split"
    apart = f"two mixed told apart to {kept['conflated_ari']:.2f}"
    page.goto("/labels")

    row = page.get_by_role("table").get_by_role("row").nth(place + 1)
    expect(row).to_contain_text(f"{split}, {apart}")
    assert kept["coarse"]
    expect(row).to_contain_text("coarse")
    expect(page.get_by_text("Senses here are coarse: one meaning may be cut")).to_be_visible()

    page.goto(f"/features/{several}")
    senses = page.get_by_role("region", name=re.compile(r"^\d senses$"))
    expect(senses).to_contain_text(f"coarse ({split}, {apart})")
    senses.get_by_role("link", name="Sense resolution").click()
    layer = layers[place]["layer"]
    expect(page).to_have_url(re.compile(rf"/labels\?release=.*&layer={layer}$"))


@pytest.mark.usefixtures("asked")
def test_a_feature_without_a_label_says_why_in_every_list(page: Page) -> None:
    for name, status in outcomes(page).items():
        if status is None:
            continue
        feature = read(page, name)
        for address in ("/features?layer=2", f"/?q={name}"):
            page.goto(address)
            hit = page.locator("tr, article").filter(
                has=page.get_by_role("link", name=feature["label"]["text"], exact=True),
                has_text=f"L2 · {feature['index']}",
            )
            expect(hit.first).to_contain_text(f"unlabelled ({status})")
            expect(hit.first).to_contain_text("keywords")


def telling(feature: Any, label: Any) -> list[Any]:
    """Return the scores of a label that rest on enough examples."""
    return [
        score
        for score in feature["scores"]
        if score["label_id"] == label["id"] and score["details"].get("checked", True)
    ]


@pytest.mark.usefixtures("asked")
def test_every_sense_has_its_label_and_its_score_with_interval_and_null(page: Page) -> None:
    feature, senses = next(
        (feature, senses)
        for feature in (read(page, name) for name in outcomes(page))
        if len(senses := [sense for sense in feature["senses"] if sense["label"]]) > 1
        and sum(bool(telling(feature, sense["label"])) for sense in senses) > 1
    )
    page.goto(f"/features/{feature['id']}")

    cards = page.get_by_role("list", name="Senses").get_by_role("listitem")
    for sense in senses:
        card = cards.filter(has_text=f"Sense {sense['ordinal']}").first
        expect(card).to_contain_text(sense["label"]["text"])
        expect(card.get_by_text("LLM", exact=True)).to_be_visible()
        for score in telling(feature, sense["label"]):
            expect(card.get_by_role("list", name="Scores")).to_contain_text(ends_and_chance(score))
