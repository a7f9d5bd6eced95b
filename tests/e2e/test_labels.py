"""Labels on the pages: how far they reach, who worded them, how good they are, what has drifted."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from chat_server import Chats, by_keywords, serve_chats
from running import SCOPEBOOK, Running, environment, run

_PASSAGES = re.compile(r"^<(\w+) passage \d+>\n(.*?)\n</\1 passage \d+>$", re.S | re.M)
_DESCRIPTION = re.compile(r"^<(\w+) description>\n(.*?)\n</\1 description>$", re.S | re.M)


@dataclass(frozen=True)
class Asked:
    """A stub model that is still there, the job that asked it, and a judge's that is under way."""

    chats: Chats
    job_id: int
    judging: subprocess.Popen[str]


def judge(user: str) -> str:
    """Say that a feature fires in the passages that hold the word its label names."""
    [(_, label)] = _DESCRIPTION.findall(user)
    word = label.split()[-1].lower()
    fires = [word in text.lower() for _, text in _PASSAGES.findall(user)]
    return json.dumps({"fires": fires})


@pytest.fixture(scope="module")
def asked(instance: Running) -> Iterator[Asked]:
    """Ask about the first twelve features of layer 2, of which one abstains and one fails.

    What comes of it is then judged while the tests that need no judge go on.
    """
    answers = {0: json.dumps({"senses": [], "abstain": True}), 1: "no JSON", 2: "still none"}
    chats = Chats()
    chats.answer = lambda user: answers.get(len(chats.asked) - 1) or by_keywords(user)
    [release] = {item["release"] for item in instance.get("/api/labels/coverage")["items"]}
    with serve_chats(chats), serve_chats(Chats(answer=judge, model="judge-1")) as judges:
        there = [release, "--layers", "2", "--endpoint"]
        done = run(
            instance.data_dir,
            *("label", *there, chats.url, "--llm", "stub"),
            *("--parallel", "1", "--limit", "12", "--json"),
        )
        assert done.returncode == 0, done.stderr
        judging = subprocess.Popen(
            [
                *(*SCOPEBOOK, "score", *there, judges.url, "--llm", "judge", "--json"),
                *("--source", "llm", "--scorers", "detection", "--sample", "4"),
            ],
            env=environment(instance.data_dir),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        yield Asked(chats, json.loads(done.stdout)["id"], judging)
        judging.kill()
        judging.communicate()


@pytest.fixture(scope="module")
def judged(asked: Asked) -> Asked:
    """Wait until the labels are judged."""
    _, said = asked.judging.communicate(timeout=600)
    assert asked.judging.returncode == 0, said
    return asked


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
    while time.monotonic() < begun + 600:
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
    card.get_by_role("button", name=f"Sense {sense['ordinal']}").click()

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
    expect(origin.locator("pre")).to_contain_text("still none")
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
    expect(status).to_contain_text("The label it had stays.", timeout=120_000)
    assert read(page, feature["id"])["label"] == feature["label"]

    asked.chats.answer = lambda user: by_keywords(user).replace("0.7", "0.9")
    form.get_by_role("button", name="Label").click()
    expect(status).to_contain_text("It has a new label.", timeout=120_000)
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
    [first, _] = page.request.get("/api/labels/coverage").json()["items"]
    kept = first["resolution"]
    split = f"{float(format(100 * kept['split_rate'], '.2g')):g} % of single features split"
    apart = f"two mixed told apart to {kept['conflated_ari']:.2f}"
    page.goto("/labels")

    row = page.get_by_role("table").get_by_role("row").nth(1)
    expect(row).to_contain_text(f"{split}, {apart}")
    assert kept["coarse"]
    expect(row).to_contain_text("coarse")
    expect(page.get_by_text("Senses here are coarse: one meaning may be cut")).to_be_visible()

    items = page.request.get("/api/features?layer=1&limit=20").json()["items"]
    several = next(one for one in items if len(read(page, one["id"])["senses"]) > 1)
    page.goto(f"/features/{several['id']}")
    senses = page.get_by_role("region", name=re.compile(r"^\d senses$"))
    expect(senses).to_contain_text(f"coarse ({split}, {apart})")
    senses.get_by_role("link", name="Sense resolution").click()
    expect(page).to_have_url(re.compile(r"/labels\?release=.*&layer=1$"))


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


def ends_and_chance(score: Any) -> str:
    """Return what the page shows beside a score."""
    low, high = (min(end, 0.99) if end < 1 else end for end in (score["ci_low"], score["ci_high"]))
    return f"{low:.2f} to {high:.2f}, chance {score['null_value']:.2f}"


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


def layer_two(page: Page) -> Any:
    """Return what the coverage says of layer 2."""
    items = page.request.get("/api/labels/coverage").json()["items"]
    return next(one for one in items if one["layer"] == 2)


@pytest.mark.usefixtures("asked")
def test_what_two_labelings_say_of_a_layer_is_compared_the_farthest_first(page: Page) -> None:
    whole = [one for one in layer_two(page)["labelings"] if "features" not in one["parameters"]]
    later, earlier = whole[:2]
    assert (earlier["source"], later["source"]) == ("keywords", "llm")
    pair = {"first": earlier["id"], "second": later["id"]}
    drift = page.request.get("/api/labels/drift", params=pair).json()
    page.goto("/labels")
    page.get_by_role("link", name=re.compile(r"^compare \d+ labelings$")).last.click()

    summary = page.locator("dl[aria-label=Summary]")
    expect(summary).to_contain_text(re.compile(rf"Same\s*{drift['same']}\D"))
    expect(summary).to_contain_text(re.compile(rf"Changed\s*{drift['compared'] - drift['same']}\D"))
    expect(summary).to_contain_text(re.compile(rf"Lost\s*{drift['lost']}\D"))
    assert drift["lost"] >= 2
    expect(page.locator("main")).to_contain_text("1 ok, then abstained")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(len(drift["items"]))
    expect(rows.first).to_contain_text(drift["items"][0]["first"])
    expect(rows.first).to_contain_text(drift["items"][0]["second"])
    rows.first.get_by_role("link").focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(re.escape(drift["items"][0]["id"]) + "$"))
    page.go_back()

    page.get_by_label("Earlier").select_option(str(later["id"]))
    expect(page.get_by_text("Twice the same labeling")).to_be_visible()
    expect(page).to_have_url(re.compile(f"first={later['id']}&second={later['id']}"))


@pytest.mark.usefixtures("asked")
def test_a_comparison_that_fails_or_has_nothing_to_compare_says_so(page: Page) -> None:
    sentence = "The database does not answer."
    problem = {"title": "Away", "detail": sentence}
    page.route("**/api/labels/drift?*", lambda route: route.fulfill(status=503, json=problem))
    page.goto("/labels/drift?layer=2")

    expect(page.get_by_role("alert")).to_contain_text(sentence)
    page.unroute_all()
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("tbody tr").first).to_be_visible()

    once = {**layer_two(page), "labelings": layer_two(page)["labelings"][-1:]}
    page.route("**/api/labels/coverage", lambda route: route.fulfill(json={"items": [once]}))
    page.goto("/labels/drift")
    expect(page.get_by_text("Only one labeling")).to_be_visible()
    expect(page.get_by_text("scopebook label")).to_contain_text("--layers 2 --endpoint URL")


@pytest.mark.usefixtures("judged")
def test_what_a_judge_makes_of_a_label_is_shown_with_interval_and_null(page: Page) -> None:
    [first, *_] = page.request.get("/api/labels/scores?scorer=detection").json()["items"]
    score = first["score"]
    page.goto("/labels")

    worst = page.get_by_role("list", name="Worst labels").get_by_role("listitem").first
    expect(worst).to_contain_text(first["label"]["text"])
    expect(worst).to_contain_text(ends_and_chance(score))
    bar = worst.get_by_role("button", name=re.compile(r"^detection \d\.\d\d; 95 % interval"))
    expect(bar).to_have_attribute("aria-label", re.compile(rf"judged by {score['judge']}\.$"))
