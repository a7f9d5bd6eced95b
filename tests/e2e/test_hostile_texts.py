"""Hostile text on every page: nothing of it runs, and nothing of it becomes part of a page."""

import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, Response, expect
from sqlalchemy import text
from tests.conftest import copy_template

from annotation_server import serving
from hostile_texts import HELD, Planted, make_hostile, marked, text_columns
from scopebook.db.sessions import Sessions, sessions_for, unit_of_work
from scopebook.embedded.postgres import EmbeddedPostgres
from scopebook.settings import settings, use_settings

#: What a page tells of attacks that have come through, and of what its policy has stopped.
WATCH = """
window.__hits = []; window.__stopped = [];
window.hit = () => window.__hits.push(document.currentScript ? "script" : "handler");
document.addEventListener("securitypolicyviolation", (event) =>
  window.__stopped.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`));
"""
#: What an attack would have left in a page: elements of its own, or a link that is a script.
LEFT = """
() => [...document.querySelectorAll("[data-hostile], a[href^='javascript:' i]")]
  .map((one) => one.outerHTML)
"""


#: Columns whose attack some page shows, as letters: without them the visit would prove little.
SHOWN = frozenset(
    (
        *("account.name", "api_token.name", "audit_entry.action", "audit_entry.target"),
        *("comment_version.text", "corpus.name", "document.name", "document.title"),
        *("feature_list.description", "feature_list.name", "job.error", "job.title"),
        *("label.author", "label.description", "label.method", "label.text", "label_score.judge"),
        *("labeling.method", "login_session.agent", "map.regions", "model.name"),
        *("preset.description", "preset.name", "preset_decision.note", "preset_version.note"),
        *("release.caution", "scan.dataset", "step.error", "step.title", "step.worker"),
        *("tag.name", "token_piece.piece"),
    )
)


class Hostile(NamedTuple):
    """A served dictionary of attacks."""

    url: str
    planted: Planted


@pytest.fixture(scope="module")
def hostile(
    postgres: EmbeddedPostgres, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Hostile]:
    """One dictionary for all tests here, served as it is for a team."""
    folder = tmp_path_factory.mktemp("hostile")
    copy_template(postgres, template, "hostile")
    before = settings()
    use_settings(before.model_copy(update={"artifacts_url": str(folder), "data_dir": folder}))
    url = postgres.url("hostile")
    with unit_of_work(sessions_for(url)) as session:
        planted = make_hostile(session)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCOPEBOOK_ARTIFACTS_URL", str(folder))
        with serving(url, by_header=False) as address:
            yield Hostile(address, planted)
    use_settings(before)


@pytest.fixture
def reader(browser: Browser, hostile: Hostile) -> Iterator[Page]:
    """A page of who is logged in as admin, which notes what hostile text achieves."""
    context = browser.new_context(base_url=hostile.url)
    expect.set_options(timeout=60_000)
    context.set_default_timeout(60_000)
    context.add_init_script(WATCH)
    port = hostile.url.rsplit(":", 1)[1]
    cookie = {"name": f"scopebook_{port}", "value": hostile.planted.secret, "url": hostile.url}
    context.add_cookies([cookie])  # type: ignore[list-item]
    page = context.new_page()
    page.on("dialog", lambda dialog: pytest.fail(f"a dialog opened: {dialog.message}"))
    broken: list[str] = []

    def note(answer: Response) -> None:
        if answer.status >= 500:
            broken.append(f"{answer.status} {answer.request.method} {answer.url}")

    page.on("response", note)
    yield page
    context.close()
    assert broken == [], "the API broke on what is planted"


def _addresses(page: Page, planted: Planted) -> list[str]:
    listed = page.request.get("/api/features?limit=50").json()["items"]
    features = [quote(one["id"], safe="/") for one in listed]
    kept = (f"/lists/{planted.list}", f"/runs/{planted.run}", f"/jobs/{planted.job}")
    return [
        *("/", "/?q=cats", "/features", "/labels", "/labels/drift", "/lists", "/map", "/runs"),
        *("/scans", "/presets", "/review", "/account", "/accounts", "/login", "/welcome"),
        *("/inspect", "/compare", "/steer", f"/presets/{planted.preset}", *kept),
        f"/scans/{planted.scan}",
        *(f"/features/{one}" for one in features[:6]),
        *(f"/embed/{one}" for one in features[:2]),
        f"/steer?preset={planted.preset}&version=1",
        f"/?q={quote(marked('the', 'address'))}",
        # With a dot at its end it would be the name of a file.
        f"/features/{quote(marked('the', 'address').replace('.', ''), safe='')}",
        "/api/docs",
    ]


def _visit(page: Page, address: str) -> None:
    """Open a page, wait until it is still, and open whatever is folded."""
    page.goto(address)
    expect(page.locator("h1, .information-container").first).to_be_visible()
    # A part whose planted value is no possible one may wait for ever.
    waiting = page.locator("main [aria-busy=true], .skeleton").filter(visible=True)
    for _ in range(20):
        if not waiting.count():
            break
        page.wait_for_timeout(250)
    page.wait_for_timeout(500)
    for name in ("Edit e", "Add to a list", "History", "Change"):
        button = page.get_by_role("button", name=name, exact=True)
        if button.count() and button.first.is_enabled():
            button.first.click()
    page.eval_on_selector_all("details", "all => all.forEach(one => one.open = true)")
    page.wait_for_timeout(300)


def test_no_text_of_the_database_runs_or_becomes_part_of_any_page(
    reader: Page, hostile: Hostile
) -> None:
    faults: dict[str, object] = {}
    seen: set[str] = set()

    addresses = _addresses(reader, hostile.planted)
    for address in addresses:
        _visit(reader, address)
        found = {
            "ran": reader.evaluate("window.__hits"),
            "stopped": reader.evaluate("window.__stopped"),
            "left": reader.evaluate(LEFT),
        }
        faults |= {address: found} if any(found.values()) else {}
        seen |= set(re.findall(r"\[(\w+\.\w+)\]", reader.content()))

    assert faults == {}
    assert SHOWN - seen == set()


def test_every_column_of_text_is_planted_or_held_for_a_reason(
    sessions: Sessions, hostile: Hostile
) -> None:
    with sessions() as session:
        columns = list(text_columns(session))

    there = {(one.table, one.name) for one in columns}
    assert {(table, name) for table, names in HELD.items() for name in names} <= there
    bare = [
        f"{one.table}.{one.name}"
        for one in columns
        if one.name not in HELD.get(one.table, {}) and not hostile.planted.rows[one.table]
    ]
    assert bare == [], "add a row to make_hostile, or hold the column with its reason"


def test_a_preset_whose_document_is_none_says_so_on_its_page(
    reader: Page, hostile: Hostile, postgres: EmbeddedPostgres
) -> None:
    with unit_of_work(sessions_for(postgres.url("hostile"))) as session:
        session.execute(text("SET LOCAL session_replication_role = replica"))
        session.execute(text("UPDATE preset_version SET document = document - 'positions'"))

    _visit(reader, "/presets")
    steering = f"/steer?preset={hostile.planted.preset}&version=1"
    for address in (f"/presets/{hostile.planted.preset}", steering):
        _visit(reader, address)
        said = reader.get_by_text(re.compile(r"Version 1 of preset \d+ cannot be read"))
        expect(said).to_be_visible()
