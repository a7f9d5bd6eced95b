"""Parts of scans that need no model: conditions, datasets, the report as a page."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from makers import feature_id, make_corpus, make_label, make_release, make_scan
from scopebook.corpora import find_corpus
from scopebook.db.account_tables import Account
from scopebook.db.list_tables import FeatureList, FeatureListItem
from scopebook.db.tables import Document
from scopebook.errors import InvalidInputError, NotFoundError
from scopebook.inventory import list_corpora, take_inventory
from scopebook.scan_conditions import holds, parse_condition, resolve_condition
from scopebook.scan_datasets import add_dataset, add_records
from scopebook.scan_html import scan_html
from scopebook.scan_plots import clean, forest
from scopebook.texts import Reading

HOSTILE = "</svg><script>alert(1)</script>\u202e\x00\"'&"


@pytest.mark.parametrize(
    ("text", "kind", "target", "comparison", "bound"),
    [
        ("Qwen/Q/3-res-w1k/7 > 0.05", "feature", "Qwen/Q/3-res-w1k/7", ">", 0.05),
        ("'legal language'>=5%", "label", "legal language", ">=", 0.05),
        ('"a > b" < .5', "label", "a > b", "<", 0.5),
        ("list:safety <= 1", "list", "safety", "<=", 1.0),
        ("list:'two words' < 80 %", "list", "two words", "<", 0.8),
    ],
)
def test_a_condition_says_what_share_of_what_fails(
    text: str, kind: str, target: str, comparison: str, bound: float
) -> None:
    found = parse_condition(text)

    assert (found.kind, found.target, found.comparison) == (kind, target, comparison)
    assert found.bound == pytest.approx(bound)


@pytest.mark.parametrize("text", ["", "x", "x > y", "> 0.5", "'a' > 1.5", "'a' > 120%", "a = 0.5"])
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="write MODEL/LAYER-SET/INDEX"):
        parse_condition(text)


def test_a_condition_holds_as_it_is_written() -> None:
    shares = [0.04, 0.05, 0.06]

    told = {
        sign: [holds(parse_condition(f"'a' {sign} 0.05"), share) for share in shares]
        for sign in ("<", ">", "<=", ">=")
    }

    assert told == {
        "<": [True, False, False],
        ">": [False, False, True],
        "<=": [True, True, False],
        ">=": [False, True, True],
    }


def test_a_condition_means_features_of_the_scanned_layers(session: Session) -> None:
    sae, other = make_release(session)
    for one, index in ((sae, 1), (sae, 2), (other, 3)):
        make_label(session, one, index, "Legal Language")
    owner = Account(name="ada", role="viewer")
    session.add(owner)
    session.flush()
    kept = FeatureList(owner_id=owner.id, name="law")
    session.add(kept)
    session.flush()
    session.add_all(
        FeatureListItem(
            list_id=kept.id, feature_id=feature_id(one, 5), place=place, added_by=owner.id
        )
        for place, one in enumerate((sae, other))
    )
    session.flush()

    def meant(text: str) -> list[int]:
        return list(resolve_condition(session, parse_condition(text), [sae], None).features)

    assert meant("'legal language' > 0") == [feature_id(sae, 1), feature_id(sae, 2)]
    assert meant("list:law > 0") == [feature_id(sae, 5)]
    assert meant("Tiny-Model/1-res-w1k-l0_8/5 > 0") == [feature_id(sae, 5)]
    for text, said in (
        ("'illegal' > 0", "labelled 'illegal'"),
        ("list:no > 0", "no list 'no'"),
        ("Tiny-Model/2-res-w1k-l0_8/5 > 0", "does not read"),
        ("nonsense > 0", "names no feature"),
    ):
        with pytest.raises((InvalidInputError, NotFoundError), match=said):
            meant(text)


def texts_of(session: Session, corpus_id: int) -> list[tuple[str | None, str, str]]:
    rows = session.execute(
        select(Document.tag, Document.name, Document.text)
        .where(Document.corpus_id == corpus_id)
        .order_by(Document.ordinal)
    )
    return [(row.tag, row.name, row.text) for row in rows]


def test_fields_of_records_become_parts_and_nothing_is_thrown_together(
    session: Session, tmp_path: Path
) -> None:
    talk = [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "yes"},
        {"role": "user", "content": "bye"},
    ]
    lines = [{"messages": talk, "note": "yes"}, {"messages": talk, "note": ""}, {"note": 5}]
    path = tmp_path / "talks.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))

    found = add_dataset(
        session, path, fields=["messages.user", "messages.assistant", "note"], reading=Reading()
    )

    assert texts_of(session, found.corpus_id) == [
        ("messages.user", "line 1 [messages.user]", "hello\n\nbye"),
        ("messages.user", "line 2 [messages.user]", "hello\n\nbye"),
        ("messages.assistant", "line 1 [messages.assistant]", "yes"),
        ("messages.assistant", "line 2 [messages.assistant]", "yes"),
        ("note", "line 1 [note]", "yes"),
        ("note", "line 2 [note]", ""),
    ]
    assert found.bad == 3


def test_messages_are_read_out_of_parquet_too(session: Session, tmp_path: Path) -> None:
    talks = [[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]]
    path = tmp_path / "talks.parquet"
    pq.write_table(pa.table({"messages": talks, "other": [[1]]}), path)

    by_role = add_dataset(session, path, fields=["messages.assistant"], reading=Reading())
    whole = add_dataset(session, path, fields=["messages"], reading=Reading())

    assert [text for _, _, text in texts_of(session, by_role.corpus_id)] == ["b"]
    assert [text for _, _, text in texts_of(session, whole.corpus_id)] == ["a\n\nb"]
    with pytest.raises(InvalidInputError, match="'other' holds list"):
        add_dataset(session, path, fields=["other"], reading=Reading())


def test_the_corpora_of_scans_are_not_among_those_of_people(session: Session) -> None:
    make_corpus(session, ["text"], name="mine")
    [sae, _] = make_release(session)
    found = add_records(session, "theirs", [{"text": "a"}, {"text": "a"}])
    again = add_records(session, "theirs", [{"text": "a"}, {"text": "a"}])
    make_scan(session, sae.release_id, found.corpus_id)

    assert again.corpus_id == found.corpus_id
    assert found.documents == 2
    assert [report.name for report in list_corpora(session)] == ["mine"]
    assert take_inventory(session).corpora == 1
    with pytest.raises(NotFoundError, match=r"there is mine\.$"):
        find_corpus(session, "other")


def hostile_scan() -> dict[str, Any]:
    """A scan in which every text is hostile."""
    feature = {
        **{"feature": HOSTILE, "layer": 1, "index": 2, "label": HOSTILE, "flags": [HOSTILE]},
        **{"tokens": 3, "documents": 2, "share": 0.5, "rate": 0.1, "other_rate": 0.01},
        **{"mean": 1.0, "max": 2.0, "log2": 3.0, "low": 1.0, "high": 40.0, "p": 0.0, "fdr": 0.01},
        "examples": [{"before": HOSTILE, "peak": HOSTILE, "after": HOSTILE, "document": HOSTILE}],
    }
    concept = {**feature, "count": 2, "features": [HOSTILE]}
    part = {"name": HOSTILE, "documents": 2, "tokens": 9, "empty": 1, "near_empty": 1}
    reference = {"layer": 1, "run": 1, "corpus": HOSTILE, "tokens": 5, "sae_sha256": HOSTILE}
    covered = {**feature, "parts": {HOSTILE: 0.5}}
    summary = {
        **{"release": HOSTILE, "model": HOSTILE, "caution": HOSTILE, "documents": 4, "tokens": 9},
        **{"sinks": {"1": 0}, "parts": [part, part], "references": [reference]},
        **{"tested": 3, "over_total": 1, "under_total": 1, "over": [feature] * 60},
        **{"under": [feature], "concepts_over": [concept], "concepts_under": [concept]},
        **{"flagged_total": 1, "flagged": [feature], "languages_unknown": 0},
        "languages": [{"language": HOSTILE, "documents": 1, "share": 0.2, "tokens": 4}],
        "near_empty": [{"document": HOSTILE, "part": HOSTILE, "tokens": 0, "informative": 0.0}],
        "coverage": {"name": HOSTILE, "documents": 1, "share": 0.5, "features": [covered]},
        "conditions": [{"condition": HOSTILE, "failed": True, "sentence": HOSTILE}],
        "compared": [
            {
                **{"one": HOSTILE, "other": HOSTILE, "tested": 1, "over_total": 1},
                **{"under_total": 0, "over": [feature], "under": []},
            }
        ],
        "parameters": {"fdr": 0.05, "layers": [1], "sink_factor": 10.0, "against": None},
    }
    return {"id": 1, "dataset": HOSTILE, "finished_at": "2026-01-01", "summary": summary}


def test_the_report_holds_no_script_and_asks_for_nothing() -> None:
    page = scan_html(hostile_scan())

    assert "<script" not in page
    assert "\x00" not in page
    assert "http:" not in page
    assert "https:" not in page
    assert page.count("</svg>") == page.count("<svg ")
    assert "default-src 'none'" in page
    assert "prefers-color-scheme:dark" in page


def test_text_stays_what_it_is() -> None:
    assert clean("<a href='x'>\n\x07&") == "&lt;a href=&#x27;x&#x27;&gt;  &amp;"
    assert forest([], "nothing") == ""
    assert "\u00d71/4" in forest([("a", -1.0, -2.0, 0.5)], "some")
