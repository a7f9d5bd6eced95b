"""Two people, two browsers, one feature: propose, disagree, discuss, resolve; and the queue."""

import re
from collections.abc import Callable, Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, Route, expect

from annotating import make_reviewable, say
from annotation_server import serving
from people import make_account
from scopebook.accounts import find_account
from scopebook.db.sessions import Sessions
from scopebook.logins import start_session

FEATURE = "/features/Tiny-Model/1-res-w1k-l0_8/0"
Enter = Callable[..., Page]


@pytest.fixture
def address(database_url: str, sessions: Sessions) -> Iterator[str]:
    """A real server over three features with labels by a model, and three accounts."""
    with sessions.begin() as session:
        for name, role in (("ada", "annotator"), ("ben", "annotator"), ("eve", "editor")):
            make_account(session, name, role)
        sae, run = make_reviewable(session, indices=[0, 1, 2])
        for index in range(3):
            senses = [("the Rhine", [0]), ("the Nile", [1])] if index == 0 else []
            say(session, sae, run, f"label {index}", index=index, senses=senses)
    with serving(database_url, by_header=False) as url:
        yield url


@pytest.fixture
def enter(browser: Browser, address: str, sessions: Sessions) -> Iterator[Enter]:
    """Open a fresh browser in which an account is logged in."""
    contexts = []

    def open_page(name: str, *, width: int = 1280, scheme: str = "light") -> Page:
        with sessions.begin() as session:
            secret = start_session(session, find_account(session, name), days=1)
        context = browser.new_context(
            base_url=address,
            viewport={"width": width, "height": 900},
            color_scheme=scheme,  # type: ignore[arg-type]
        )
        context.set_default_timeout(20_000)
        port = address.rsplit(":", 1)[1]
        context.add_cookies([{"name": f"scopebook_{port}", "value": secret, "url": address}])
        contexts.append(context)
        return context.new_page()

    expect.set_options(timeout=60_000)
    yield open_page
    for context in contexts:
        context.close()


def verdict(page: Page, name: str) -> Locator:
    """Return a button for the feature as a whole; its senses have buttons of the same words."""
    return page.get_by_role("group", name="Your verdict").get_by_role("button", name=name)


def test_two_people_propose_disagree_discuss_and_resolve_and_see_it_live(enter: Enter) -> None:
    ada, ben = enter("ada"), enter("ben")
    ada.goto(FEATURE)
    ben.goto(FEATURE)
    expect(ada.get_by_text("ben is here too")).to_be_visible()
    expect(ben.get_by_text("ada is here too")).to_be_visible()

    # Proposed by keys alone: the form opens with the label's own words selected.
    ada.keyboard.press("e")
    ada.keyboard.type("rivers of Europe")
    ada.keyboard.press("Enter")
    expect(ada.get_by_text("in force once somebody else accepts it")).to_be_visible()
    proposal = ben.locator("[data-proposal]")
    expect(proposal).to_contain_text("rivers of Europe")

    proposal.get_by_role("button", name="Reject").click()
    expect(ada.locator("[data-proposal]")).to_contain_text("ben rejects it")
    ben.keyboard.press("c")
    ben.keyboard.type("Also the Nile, @ada?")
    ben.keyboard.press("Control+Enter")
    expect(ada.locator("[data-comment]")).to_contain_text("Also the Nile, @ada?")
    ada.get_by_label("Write a comment").fill("That is another sense, @ben.")
    ada.get_by_role("button", name="Comment", exact=True).click()
    expect(ben.locator("[data-comment]").last).to_contain_text("another sense")

    proposal.get_by_role("button", name="Accept").click()
    for page in (ada, ben):
        expect(page.get_by_role("heading", level=1)).to_have_text("rivers of Europe")
        expect(page.get_by_text("More people accept it than reject it.").first).to_be_visible()
        page.get_by_text("History: 5 changes by people").click()
        entries = page.get_by_role("list", name="Changes").locator("li")
        expect(entries).to_have_count(5)
    expect(entries.last).to_contain_text("ada proposed")
    expect(entries.last).to_contain_text("rivers of Europe")


def test_who_comes_second_sees_both_texts_and_merges_them(enter: Enter, address: str) -> None:
    ada, ben = enter("ada"), enter("ben")
    # His line is cut, so he does not see what she does before he sends.
    ben.route("**/live?*", lambda route: route.abort())
    ben.goto(FEATURE)
    expect(verdict(ben, "Accept")).to_be_enabled()
    ben.route("**/annotation", lambda route: route.abort())
    ada.goto(FEATURE)
    expect(verdict(ada, "Accept")).to_be_enabled()
    ada.keyboard.press("e")
    expect(ada.get_by_role("textbox", name="Wording")).to_be_focused()

    ben.keyboard.press("e")
    ben.get_by_role("textbox", name="Wording").fill("brooks")
    ada.get_by_role("textbox", name="Wording").fill("streams")
    ada.keyboard.press("Enter")
    expect(ada.locator("[data-proposal]")).to_contain_text("streams")
    ben.keyboard.press("Enter")

    dialog = ben.get_by_role("dialog")
    expect(dialog).to_contain_text("Nothing of yours is lost")
    expect(dialog).to_contain_text("ada proposed streams")
    expect(dialog.get_by_label("Your wording")).to_have_value("brooks")
    dialog.get_by_label("Your wording").fill("brooks and streams")
    dialog.get_by_role("button", name="Send mine all the same").click()
    proposals = ada.locator("[data-proposal]")
    expect(proposals).to_have_count(2)
    expect(proposals.first).to_contain_text("brooks and streams")
    expect(proposals.last).to_contain_text("streams")


def test_a_sense_is_judged_by_keys_and_who_comes_second_merges_both_wordings(enter: Enter) -> None:
    ada, ben = enter("ada"), enter("ben")
    # His line is cut, so he does not see what she does before he sends.
    ben.route("**/live?*", lambda route: route.abort())
    for page in (ada, ben):
        page.goto(FEATURE)
        expect(page.get_by_role("button", name="Edit the label of sense 1")).to_be_visible()
        page.keyboard.press("1")
        expect(page.get_by_role("button", name="the Nile").first).to_be_focused()
        page.keyboard.press("Shift+E")
        expect(page.get_by_role("textbox", name="Wording of sense 1")).to_have_value("the Nile")
    ben.route("**/annotation", lambda route: route.abort())

    ada.keyboard.type("rivers of Africa")
    ada.keyboard.press("Enter")
    expect(ada.locator("#sense-1 [data-proposal]")).to_contain_text("proposed by ada")
    ben.keyboard.type("streams of Africa")
    ben.keyboard.press("Enter")

    dialog = ben.get_by_role("dialog")
    expect(dialog).to_contain_text("ada proposed for sense 1 rivers of Africa")
    expect(dialog).to_contain_text("In force now for sense 1")
    expect(dialog.locator("[data-theirs]")).to_have_text("the Nile")
    dialog.get_by_label("Your wording").fill("rivers and streams of Africa")
    dialog.get_by_role("button", name="Send mine all the same").click()
    expect(ada.locator("#sense-1 [data-proposal]")).to_have_count(2)
    # What she says of the other sense contradicts nothing that he says of this one.
    ada.keyboard.press("0")
    ada.keyboard.press("Shift+A")
    expect(ada.locator("#sense-0")).to_contain_text("more accept it than reject it")
    ben.get_by_role("button", name="Reject “the Nile” for sense 1").click()
    ben.get_by_role("textbox", name="Why").fill("the Congo, too")
    ben.keyboard.press("Enter")
    rejected = ada.locator("#sense-1 [data-proposal]").last
    expect(rejected).to_contain_text("ben rejects it")
    expect(rejected).to_contain_text("the Congo, too")
    expect(ada.locator("#sense-1")).to_contain_text("its label is rejected; these are its words")
    ada.get_by_role("button", name="Accept “rivers and streams of Africa” for sense 1").click()
    words = ben.locator("#sense-1 .words")
    ben.unroute("**/annotation")
    ben.reload()
    expect(words).to_have_text("rivers and streams of Africa")
    expect(ada.get_by_role("heading", level=1)).to_have_text("label 0")

    ada.get_by_text("History: 5 changes by people").click()
    name = "Undo: ada reviewed “rivers and streams of Africa” of sense 1: accept"
    ada.get_by_role("button", name=name).click()
    expect(ada.get_by_text("undid what was said of")).to_be_visible()
    expect(ada.locator("#sense-1")).to_contain_text("its label is rejected; these are its words")


def test_what_is_written_of_a_sense_outlives_its_end(enter: Enter) -> None:
    ada, ben = enter("ada"), enter("ben")
    for page in (ada, ben):
        page.goto(FEATURE)
    ben.get_by_role("button", name="Edit the label of sense 1").click()
    ben.get_by_role("textbox", name="Wording of sense 1").fill("streams")
    ada.get_by_text("Join or split senses").click()
    for sense in ("0: the Rhine", "1: the Nile"):
        ada.get_by_label(sense).check()

    ada.get_by_role("button", name="Join 2 senses").click()

    expect(ben.get_by_text("There is no sense 1 any more")).to_be_visible()
    expect(ben.get_by_role("textbox", name="Wording of sense 1")).to_have_value("streams")


def test_the_queue_is_worked_through_by_keys_alone(enter: Enter) -> None:
    ada = enter("ada")
    ada.goto("/review")
    lease = ada.locator("[data-lease]")
    expect(lease).to_have_attribute("data-lease", re.compile("/0$"))
    expect(ada.locator("[data-count=unreviewed]")).to_have_text("3")

    ada.keyboard.press("a")
    expect(lease).to_have_attribute("data-lease", re.compile("/1$"))
    ada.keyboard.press("s")
    expect(lease).to_have_attribute("data-lease", re.compile("/2$"))
    ada.keyboard.press("r")
    expect(ada.get_by_role("textbox", name="Why")).to_be_focused()
    ada.keyboard.type("fires on anything")
    ada.keyboard.press("Enter")

    expect(ada.get_by_text("Nothing is left to review here")).to_be_visible()
    ada.goto(FEATURE.removesuffix("0") + "2")
    expect(ada.get_by_text("History: 1 change by people")).to_be_visible()
    expect(ada.get_by_role("heading", level=1)).to_have_text("Unlabelled feature")


def test_two_people_never_have_the_same_feature_in_hand(enter: Enter) -> None:
    ada, ben = enter("ada"), enter("ben")
    ada.goto("/review")
    expect(ada.locator("[data-lease]")).to_have_attribute("data-lease", re.compile("/0$"))

    ben.goto("/review")

    expect(ben.locator("[data-lease]")).to_have_attribute("data-lease", re.compile("/1$"))
    expect(ada.get_by_text("ada, ben")).to_be_visible()


def test_an_entry_is_undone_on_the_page_and_the_other_sees_it(enter: Enter) -> None:
    ada, ben = enter("ada"), enter("ben")
    ada.goto(FEATURE)
    ben.goto(FEATURE)
    ada.get_by_role("button", name="add", exact=True).click()
    ada.get_by_role("button", name="code", exact=True).click()
    tag = ben.get_by_role("group", name="Tags")
    expect(tag).to_contain_text("code")

    ada.get_by_text("History: 1 change by people").click()
    ada.get_by_role("button", name=re.compile("^Undo: ada gave the tag")).click()

    expect(tag).to_contain_text("none")
    expect(ada.get_by_text("History: 2 changes by people")).to_be_visible()


def test_a_change_told_of_before_the_page_has_its_annotations_is_shown(enter: Enter) -> None:
    ada, ben = enter("ada"), enter("ben")
    late = []

    def hold(route: Route) -> None:
        # Read before her change, answered after it; what he asks later goes through.
        if late:
            route.continue_()
        else:
            late.append((route, route.fetch()))

    ben.route("**/annotation", hold)
    ben.goto(FEATURE)
    expect(ben.get_by_role("heading", level=1)).to_have_text("label 0")
    ada.goto(FEATURE)
    expect(ben.get_by_text("ada is here too")).to_be_visible()
    ada.get_by_role("button", name="add", exact=True).click()
    ada.get_by_role("button", name="code", exact=True).click()
    expect(ada.get_by_role("group", name="Tags")).to_contain_text("code")
    ben.wait_for_timeout(1_000)  # so that his line has told of it: nothing on his page can show it

    ((route, response),) = late
    route.fulfill(response=response)

    expect(ben.get_by_role("group", name="Tags")).to_contain_text("code")


def test_marked_examples_are_split_off_and_senses_joined(enter: Enter) -> None:
    ada = enter("ada")
    ada.goto(FEATURE)
    expect(ada.get_by_role("heading", name="2 senses")).to_be_visible()

    ada.get_by_text("Join or split senses").click()
    for sense in ("0: the Rhine", "1: the Nile"):
        ada.get_by_label(sense).check()
    ada.get_by_role("button", name="Join 2 senses").click()
    expect(ada.get_by_text("They are one sense now.")).to_be_visible()
    ada.get_by_role("button", name="off-meaning").first.click()
    expect(ada.get_by_text("The example is marked as off-meaning.")).to_be_visible()
    ada.get_by_role("button", name="Split 1 marked example off sense 0").click()

    expect(ada.get_by_role("heading", name="2 senses")).to_be_visible()


@pytest.mark.parametrize("path", [FEATURE, "/review"])
def test_no_page_scrolls_sideways_on_a_phone_and_keys_are_told(enter: Enter, path: str) -> None:
    ada = enter("ada", width=390, scheme="dark")
    complaints: list[str] = []
    ada.on("pageerror", lambda error: complaints.append(str(error)))
    ada.on("console", lambda it: complaints.append(it.text) if it.type == "error" else None)
    ada.goto(path)
    expect(verdict(ada, "Accept")).to_be_enabled()
    ada.keyboard.press("e")
    expect(ada.get_by_role("textbox", name="Wording")).to_be_focused()

    width = ada.evaluate("document.documentElement.scrollWidth")
    ada.keyboard.press("Escape")
    ada.keyboard.press("?")

    assert width <= 390
    keys = ada.get_by_role("dialog", name="Keys")
    for told in ("accept the label", "skip", "reject the label of the sense"):
        expect(keys).to_contain_text(told)
    # While they are read, none of them does anything.
    ada.keyboard.press("j")
    ada.keyboard.press("Escape")
    expect(keys).to_be_hidden()
    assert ada.url.endswith(path)
    assert complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", [FEATURE, "/review"])
def test_nothing_serious_hinders_people(enter: Enter, path: str, scheme: str) -> None:
    ada, ben = enter("ada", scheme=scheme), enter("ben")
    ben.goto(FEATURE)
    expect(verdict(ben, "Accept")).to_be_enabled()
    ben.keyboard.press("e")
    ben.keyboard.type("streams")
    ben.keyboard.press("Enter")
    expect(ben.locator("[data-proposal]")).to_be_visible()
    ben.keyboard.press("c")
    ben.keyboard.type("Better, @ada?")
    ben.keyboard.press("Control+Enter")
    expect(ben.locator("[data-comment]")).to_be_visible()
    ada.goto(path)
    expect(ada.locator("[data-proposal]")).to_be_visible()
    ada.get_by_text("Why this label").click()
    ada.get_by_text(re.compile("^History")).click()
    ada.get_by_role("button", name="add", exact=True).click()
    ada.keyboard.press("r")
    expect(ada.get_by_role("textbox", name="Why")).to_be_focused()

    found = Axe().run(ada).response["violations"]

    serious = [it for it in found if it["impact"] in ("serious", "critical")]
    assert [(it["id"], [node["html"] for node in it["nodes"]]) for it in serious] == []


def test_what_a_search_found_is_tagged_at_once_and_put_back(enter: Enter) -> None:
    ada = enter("ada")
    # Of the first feature its senses are found by their words, which are others.
    ada.goto("/?q=label")
    ada.get_by_text("Act on these 2 features").click()
    ada.get_by_role("combobox", name="Action").select_option("tag")
    ada.get_by_role("combobox", name="Tag").select_option("code")

    ada.get_by_role("button", name="Preview").click()
    expect(ada.get_by_text("2 features would change.")).to_be_visible()
    ada.get_by_role("button", name="Do it").click()
    expect(ada.get_by_text("2 features changed.")).to_be_visible()
    tags = ada.request.get("/api/tags").json()["items"]
    ada.get_by_role("button", name="Undo all of it").click()

    expect(ada.get_by_text("2 features put back.")).to_be_visible()
    assert {tag["name"]: tag["features"] for tag in tags}["code"] == 2
