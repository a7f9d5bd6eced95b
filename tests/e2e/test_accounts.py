"""Accounts as people meet them: alone at a machine, the first admin, a team."""

import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from makers import (
    make_corpus,
    make_evidence,
    make_examples,
    make_labeling,
    make_model,
    make_release,
    make_run,
)
from oidc_provider import CLIENT, SECRET, Provider, serve_provider
from people import bearer, make_token
from people import make_account as make_account_row
from running import Running, run
from scopebook.db.tables import Model
from scopebook.embedded.folder import DataFolder

PASSWORD = "four random words"
#: Nobody answers there.
OURS, ELSEWHERE = "http://127.0.0.1:9/v1", "http://127.0.0.2:9/v1"


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    """A provider of logins on this machine."""
    with serve_provider() as provider:
        yield provider


@pytest.fixture(scope="module")
def apart(provider: Provider) -> Iterator[Running]:
    """An instance of its own: from the first account on, nobody gets in without one."""
    data_dir = Path(tempfile.mkdtemp(prefix="scopebook-accounts-"))
    data_dir.chmod(0o755)
    variables = {
        "SCOPEBOOK_WORKERS": "1",
        "SCOPEBOOK_OIDC_ISSUER": provider.url,
        "SCOPEBOOK_OIDC_CLIENT_ID": CLIENT,
        "SCOPEBOOK_OIDC_CLIENT_SECRET": SECRET,
        "SCOPEBOOK_OIDC_NAME": "Our Login",
        "SCOPEBOOK_SERVERS": OURS,
    }
    running = Running(data_dir, arguments=("--no-demo",), variables=variables)
    running.start()
    running.wait_for("/api/health", lambda _: True, within_s=600)
    yield running
    running.stop()
    shutil.rmtree(data_dir)


def _context(browser: Browser, apart: Running, width: int = 1280) -> BrowserContext:
    expect.set_options(timeout=60_000)
    context = browser.new_context(base_url=apart.url, viewport={"width": width, "height": 900})
    context.set_default_timeout(20_000)
    return context


@pytest.fixture(scope="module")
def ada(browser: Browser, apart: Running) -> Iterator[BrowserContext]:
    """The browser of the first admin, who has come in by the way of the pages."""
    context = _context(browser, apart)
    page = context.new_page()
    page.goto("/accounts")
    expect(page.get_by_text("Single user, no password.")).to_be_visible()
    page.get_by_label("Name").fill("ada")
    page.get_by_role("button", name="Make the first admin").click()
    page.get_by_role("link", name="Open this link now").click()
    expect(page.get_by_role("heading", name="Welcome, ada")).to_be_visible()
    choose_password(page)
    expect(page.get_by_label("Account of ada")).to_be_visible()
    page.close()
    yield context
    context.close()


def choose_password(page: Page) -> None:
    page.get_by_label("New password").fill(PASSWORD)
    button = page.get_by_role("button", name="Set the password and log in")
    page.get_by_label("The same again").fill(PASSWORD + "!")
    expect(page.get_by_text("The two differ.")).to_be_visible()
    expect(button).to_be_disabled()
    page.get_by_label("The same again").fill(PASSWORD)
    button.click()


def make_account(page: Page, name: str, role: str) -> str:
    """Make an account on the page; return the link for its person."""
    page.goto("/accounts")
    form = page.get_by_role("form", name="Make an account")
    form.get_by_label("Name").fill(name)
    form.get_by_role("combobox").select_option(role)
    form.get_by_role("button").click()
    expect(page.locator(f"[data-account={name}]")).to_contain_text("no password yet")
    return page.get_by_role("status").locator(":scope > code").inner_text()


def test_another_address_is_refused_before_anybody_has_an_account(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)

    done = run(tmp_path / "data", "up", "--host", "0.0.0.0", "--port", "8499", "--no-demo")

    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "there is no account yet" in last
    assert "scopebook user add NAME --role admin" in last


def test_a_stranger_logs_in_gets_where_they_wanted_and_is_logged_out_from_elsewhere(
    browser: Browser, apart: Running, ada: BrowserContext
) -> None:
    context = _context(browser, apart)
    page = context.new_page()
    page.goto("/features?layer=1")
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()

    page.get_by_label("Name").fill("ADA")
    page.get_by_label("Password").fill("not this one")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_text("The name or the password is not right.")).to_be_visible()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()

    expect(page).to_have_url(f"{apart.url}/features?layer=1")
    own = ada.new_page()
    own.goto("/account")
    browsers = own.get_by_role("list", name="Browsers").get_by_role("listitem")
    expect(browsers).to_have_count(2)
    expect(browsers.first).to_contain_text("this one")
    expect(browsers.last).to_contain_text("from 127.0.0.1")
    own.get_by_role("button", name="Log out Chrome on Linux").click()
    expect(browsers).to_have_count(1)
    page.goto("/labels")
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_label("Account of ada").click()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    context.close()


def test_a_viewer_comes_by_a_link_and_is_shown_no_page_of_admins(
    browser: Browser, apart: Running, ada: BrowserContext
) -> None:
    url = make_account(ada.new_page(), "ben", "viewer")
    context = _context(browser, apart, width=390)
    page = context.new_page()

    page.goto(url)
    choose_password(page)

    page.get_by_label("Account of ben").click()
    expect(page.get_by_role("link", name="Your account")).to_be_visible()
    expect(page.get_by_role("link", name="Accounts", exact=True)).to_have_count(0)
    page.goto("/runs")
    expect(page.get_by_role("heading", name="Jobs")).to_be_visible()
    expect(page.get_by_text("Start a collection")).to_have_count(0)
    page.goto("/accounts")
    expect(page.get_by_text("This page is for admins")).to_be_visible()
    page.goto(url)
    expect(page.get_by_text("This link is no longer good")).to_be_visible()
    context.close()


def test_a_person_of_the_provider_comes_in_by_it_and_is_told_when_it_refuses(
    browser: Browser, apart: Running, ada: BrowserContext, provider: Provider
) -> None:
    provider.person = {"sub": "17", "preferred_username": "emil"}
    context = _context(browser, apart)
    page = context.new_page()
    page.goto("/labels")
    provider.foreign_key = True
    page.get_by_role("link", name="Log in with Our Login").click()
    expect(page.get_by_text("That way did not let you in")).to_be_visible()

    provider.foreign_key = False
    page.goto("/labels")
    page.get_by_role("link", name="Log in with Our Login").click()

    expect(page.get_by_label("Account of emil")).to_be_visible()
    expect(page).to_have_url(f"{apart.url}/labels")
    context.close()


def test_an_account_that_is_disabled_is_out_at_its_next_step(
    browser: Browser, apart: Running, ada: BrowserContext
) -> None:
    page = ada.new_page()
    url = make_account(page, "carla", "editor")
    context = _context(browser, apart)
    hers = context.new_page()
    hers.goto(url)
    choose_password(hers)
    expect(hers.get_by_label("Account of carla")).to_be_visible()

    page.get_by_role("button", name="Disable carla").click()
    expect(page.locator("[data-account=carla]")).to_contain_text("disabled")
    hers.get_by_role("link", name="Labels").click()

    expect(hers.get_by_role("heading", name="Log in")).to_be_visible()
    context.close()


def test_a_release_is_kept_for_some_on_the_page(
    apart: Running, ada: BrowserContext, browser: Browser
) -> None:
    there = DataFolder(apart.data_dir).running()
    assert there is not None
    with Session(create_engine(there.database_url)) as session, session.begin():
        make_release(session, "SAE-Res-Kept")
        make_account_row(session, "dora", "editor")
        headers = bearer(make_token(session, "dora", "edit"))
    script = browser.new_context(base_url=apart.url, extra_http_headers=headers)
    page = ada.new_page()
    page.goto("/accounts")
    form = page.get_by_role("form", name="Who sees SAE-Res-Kept")

    for people, seen in (("ada", []), ("ada, dora", ["SAE-Res-Kept"])):
        form.get_by_label("Seen by").select_option("some")
        form.get_by_label("and").fill(people)
        form.get_by_role("button", name="Save").click()
        expect(form.get_by_role("status")).to_have_text("Kept for some.")
        answer = script.request.get("/api/releases").json()
        assert [release["name"] for release in answer["items"]] == seen
        page.reload()
        expect(form.get_by_label("and")).to_have_value(people)

    form.get_by_label("and").fill("nobody")
    form.get_by_role("button", name="Save").click()
    expect(page.get_by_text("There is no account 'nobody'")).to_be_visible()
    script.close()


def test_an_editor_has_a_feature_labelled_again_only_by_a_server_that_the_settings_name(
    browser: Browser, apart: Running, ada: BrowserContext
) -> None:
    make_labelled_by(apart, "an-admin-s-model", ELSEWHERE)
    context = _context(browser, apart)
    page = context.new_page()
    page.goto(make_account(ada.new_page(), "eva", "editor"))
    choose_password(page)
    expect(page.get_by_label("Account of eva")).to_be_visible()
    hers = asked_again(page)

    endpoint = hers.get_by_role("combobox", name="Endpoint")
    expect(endpoint).to_have_value(OURS)
    expect(endpoint.locator("option")).to_have_count(1)
    expect(hers.get_by_role("textbox", name="Model")).to_have_value("")
    hers.get_by_role("textbox", name="Model").fill("a-model")
    with page.expect_request("**/api/labels") as asked:
        hers.get_by_role("button", name="Label").click()
    assert asked.value.post_data_json["llm"] == {"endpoint": OURS, "model": "a-model"}
    # So the server was not what the API refused.
    expect(page.get_by_text("Layer 1 of SAE-Res-Open has no labels yet")).to_be_visible()

    others = asked_again(ada.new_page())
    expect(others.get_by_role("textbox", name="Endpoint")).to_have_value(ELSEWHERE)
    expect(others.get_by_role("textbox", name="Model")).to_have_value("an-admin-s-model")

    none = {"items": [], "next": None, "others": False}
    page.route("**/api/labels/servers", lambda route: route.fulfill(json=none))
    hers = asked_again(page)
    expect(hers.get_by_text("the instance’s settings name none")).to_be_visible()
    expect(hers.get_by_label("language model")).to_be_disabled()
    expect(hers.get_by_label("keywords")).to_be_checked()
    context.close()


def make_labelled_by(apart: Running, method: str, endpoint: str) -> None:
    """Make a release with one feature's examples, that a language model has worded."""
    there = DataFolder(apart.data_dir).running()
    assert there is not None
    with Session(create_engine(there.database_url)) as session, session.begin():
        model = session.scalars(select(Model)).first() or make_model(session)
        saes = make_release(session, "SAE-Res-Open", model=model, set_name="res-open")
        run = make_run(session, saes, make_corpus(session, ["a b c"]))
        make_evidence(session, run, saes[0], 3, examples=make_examples([1]))
        labeling = make_labeling(session, saes[0], run.id, source="llm")
        labeling.method, labeling.parameters = method, {"endpoint": endpoint}
        labeling.finished_at = datetime.now(UTC)


def asked_again(page: Page) -> Locator:
    """Open the form that has a feature labelled again."""
    page.goto("/features/Tiny-Model/1-res-open/3")
    page.get_by_role("button", name="Relabel this feature").click()
    return page.get_by_role("form", name="Relabel this feature")


def test_a_token_is_shown_once_and_works_until_it_is_revoked(
    apart: Running, ada: BrowserContext, browser: Browser
) -> None:
    page = ada.new_page()
    page.goto("/account")
    page.get_by_label("What it is for").fill("nightly")
    page.get_by_role("button", name="Make a token").click()
    secret = page.get_by_role("status").locator(":scope > code").inner_text()
    script = browser.new_context(
        base_url=apart.url, extra_http_headers={"Authorization": f"Bearer {secret}"}
    )
    assert script.request.get("/api/releases").status == 200

    page.reload()
    expect(page.get_by_role("button", name="Revoke nightly")).to_be_visible()
    assert secret not in page.content()
    page.get_by_role("button", name="Revoke nightly").click()

    expect(page.get_by_text("revoked", exact=True)).to_be_visible()
    assert script.request.get("/api/releases").status == 401
    script.close()


def test_a_webhook_is_added_with_its_secret_and_removed(ada: BrowserContext) -> None:
    page = ada.new_page()
    page.goto("/account")
    form = page.get_by_role("form", name="Add a webhook")
    form.get_by_label("Address").fill("http://localhost:8000/hook")
    form.get_by_role("button", name="Add a webhook").click()
    expect(page.get_by_text("leads into this machine or a private network")).to_be_visible()

    form.get_by_label("Address").fill("https://93.184.216.34/hook")
    form.get_by_label("a run has ended").uncheck()
    form.get_by_role("button", name="Add a webhook").click()
    expect(page.get_by_role("status").locator(":scope > code")).to_contain_text("whsec_")

    page.reload()
    row = page.get_by_role("listitem").filter(has_text="93.184.216.34")
    expect(row.get_by_text("label.accepted")).to_be_visible()
    expect(row.get_by_text("run.ended")).to_have_count(0)
    row.get_by_text("What it was told").click()
    expect(row.get_by_text("Nothing yet.")).to_be_visible()
    row.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("Nobody is told.")).to_be_visible()
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_fit_a_phone_hinder_nobody_and_complain_of_nothing(
    ada: BrowserContext, scheme: str
) -> None:
    page = ada.new_page()
    said: list[str] = []
    page.on("console", lambda line: said.append(line.text) if line.type == "error" else None)
    page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
    page.set_viewport_size({"width": 390, "height": 844})

    widths, hindered = {}, {}
    for address, sign in {
        "/account": "API tokens",
        "/accounts": "made an account",
        "/login": "Log in",
        "/welcome": "This link is not whole",
    }.items():
        page.goto(address)
        expect(page.get_by_text(sign).first).to_be_visible()
        widths[address] = page.evaluate("document.documentElement.scrollWidth")
        found = Axe().run(page).response["violations"]
        serious = [it["id"] for it in found if it["impact"] in ("serious", "critical")]
        hindered |= {address: serious} if serious else {}

    assert max(widths.values()) <= 390, widths
    assert hindered == {}
    assert said == []
