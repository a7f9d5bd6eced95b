"""What people are said to have said, and cannot have: refused row by row, with the reason."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from dictionary.interchange.conftest import Instance
from dictionary.interchange.damage import Rows, change_rows
from dictionary.interchange.test_hostile_dumps import set_to
from scopebook.db.review_tables import Comment
from scopebook.interchange.parquet_in import import_parquet

Change = Callable[[Rows], None]


def of_kind(sought: str, **values: Any) -> Change:
    """Change the first entry of a kind that is no undo."""

    def change(rows: Rows) -> None:
        next(row for row in rows if row["kind"] == sought).update(values)

    return change


def state(kind: str, **values: Any) -> Change:
    """Change what the first entry of a kind says of what was after it."""

    def change(rows: Rows) -> None:
        row = next(row for row in rows if row["kind"] == kind)
        row["after"] = json.dumps(json.loads(row["after"]) | values)

    return change


#: Many in one dump, since each costs an import: table, change and reason.
_WRONG: list[list[tuple[str, Change, str]]] = [
    [
        ("vocabulary", set_to("name", "No Tag!"), "'No Tag!' cannot be a tag"),
        ("reviews", set_to("label", 999), "its label 999 did not come in"),
        ("reviews", set_to("label", 1, row=1), "its label 1 is another feature's"),
        ("reviews", set_to("verdict", "maybe", row=2), "breaks the rule ck_review_known_verdict"),
        ("pins", set_to("sense", 7), "its sense 7 did not come in"),
        ("groupings", set_to("labeling", 1), "its labeling 1 did not come in as a person's"),
        ("groupings", set_to("run", 99, row=1), "its run 99 did not come in"),
        ("second_opinions", set_to("account", ""), "its author is not named by 1 to 60"),
        ("second_opinions", set_to("index", 16, row=1), "index 16 is not one of its SAE's 16"),
        ("comments", set_to("mentions", ["\x07"]), "its author is not named by 1 to 60"),
        ("comment_versions", set_to("text", "a\x00b", row=1), "the dictionary cannot hold it"),
        ("tags", set_to("tag", "unheard"), "its tag 'unheard' is not in the vocabulary"),
        ("marks", set_to("context", 999), "its context 999 did not come in"),
        ("bulk_actions", set_to("action", "[]"), "action is JSON, but not an object"),
        ("lists", set_to("search", "{", row=1), "search is not a JSON document"),
        ("list_items", set_to("list", 99), "its list 99 did not come in"),
        ("list_items", set_to("place", float("nan"), row=1), "place is not a finite number"),
    ],
    [
        ("history", of_kind("review", slot="review:999:ben"), "its label 999 did not come in"),
        ("history", of_kind("pin", slot="label:1"), "its kind 'pin' does not change 'label:1'"),
        ("history", of_kind("grouping", slot="grouping:x"), "names 'x', which is no number"),
        ("history", of_kind("tag", slot="tag:"), "'tag:' is nothing that an entry changes"),
        ("history", of_kind("comment", rests=["moon:1"]), "'moon:1' is nothing that an entry"),
        ("history", of_kind("example", undoes=1), "it undoes nothing, or what came later"),
        ("history", of_kind("undo", undoes=99), "it undoes nothing, or what came later"),
        ("history", of_kind("second_opinion", after="7"), "after is JSON, but not an object"),
    ],
    [
        ("history", state("review", verdict="maybe"), "after holds no verdict that there is"),
        ("history", state("propose", label_id="1"), "after is not what an entry keeps of 'label'"),
        ("history", state("grouping", labeling_id=1), "its labeling 1 did not come in as a"),
        ("history", state("pin", label_id=999), "its label 999 did not come in"),
        (
            "history",
            of_kind("undo", undoes=1),
            "entry 1, which it undoes, did not come in, or is of",
        ),
        ("history", of_kind("comment", bulk=99), "action 99, of which it is a part, did not come"),
        ("history", of_kind("second_opinion", account=None), "its author is not named"),
        ("history", of_kind("example", slot="example:1:40000:1"), "place 40000, where no example"),
        ("history", set_to("version", 2**62, row=-1), "is not counted from 1"),
        ("lists", set_to("version", 2**31 - 1), "version 2147483647 is not counted from 1"),
        ("history", of_kind("tag", kind="sing"), "its kind 'sing' does not change"),
    ],
]


@pytest.mark.parametrize("wrong", _WRONG, ids=["people", "names", "states"])
def test_what_nobody_can_have_said_is_refused_and_the_rest_comes_in(
    instance: Instance, dump: Path, wrong: list[tuple[str, Change, str]]
) -> None:
    for table, change, _ in wrong:
        change_rows(dump, table, change)

    report = import_parquet(instance(), dump)

    assert report.equal is False
    refused = [
        json.loads(line) for line in Path(report.refusals_file or "").read_text().splitlines()
    ]
    for table, _, reason in wrong:
        found = [one["reason"] for one in refused if one["file"].startswith(f"{table}/")]
        assert any(reason in one for one in found), (table, reason, found)
        counts = report.tables[table]
        assert counts.read == counts.written + counts.refused + counts.known + counts.left_out


def test_a_comment_without_words_is_no_comment(instance: Instance, dump: Path) -> None:
    change_rows(dump, "comment_versions", set_to("number", 0))
    target = instance()

    report = import_parquet(target, dump)

    assert "1 comments without any words were left out." in report.notes
    refused = [one.reason for one in report.refusals if one.file.startswith("history/")]
    assert refused == ["its comment 1 did not come in"]
    with target() as session:
        assert len(session.scalars(select(Comment)).all()) == 1
