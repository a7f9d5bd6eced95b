"""A dump holds everything, can be read by others, and is whole or not there."""

import json
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import duckdb
import pandas as pd
import pytest
from sqlalchemy.orm import Session

from dumps import RELEASE, make_dictionary
from full_disk import files_limited_to
from makers import make_label
from scopebook import db
from scopebook.db.base import Base
from scopebook.db.sessions import Sessions
from scopebook.errors import ConflictError, NotFoundError, UnavailableError
from scopebook.interchange.layout import TABLES
from scopebook.interchange.parquet_out import export_parquet

#: Columns of the database that no dump holds, and why.
NUMBERED = "row ids are another instance's; rows are named by content or counted"
OF_HERE = "where a file lies on this machine"
JOBS = "jobs are this instance's work, not content"
LEFT_OUT = {
    **dict.fromkeys(
        ("id", "model_id", "tokenizer_id", "release_id", "sae_id", "run_id", "feature_id"), NUMBERED
    ),
    **dict.fromkeys(("corpus_id", "document_id", "tokenisation_id", "label_id"), NUMBERED),
    **dict.fromkeys(("path", "artifact"), OF_HERE),
    **dict.fromkeys(("job_id", "deletion_job_id"), JOBS),
    "words": "computed from the text",
    "token": "by it a preview is found, by whom it was shown to",
    "features": "what a preview looked at; what was done stands in the history",
}
#: Columns of the database by the name that a dump gives them.
RENAMED = {
    "current_run_id": "shown_run",
    "base_run_id": "base_run",
    "last_document_id": "last_document",
    "near_id": "near",
    "spans": "starts",
    "first_context_id": "first_context",
    "last_context_id": "last_context",
    "labeling_id": "labeling",
    "base_id": "base",
    "sense_id": "sense",
    "supersedes_id": "supersedes",
    "account_id": "account",
    "comment_id": "comment",
    "tag_id": "tag",
    "context_id": "context",
    "undoes_id": "undoes",
    "bulk_id": "bulk",
    "owner_id": "account",
    "added_by": "account",
    "list_id": "list",
}
#: Each table of the database, and the tables of a dump that hold it.
HELD = {
    "tokenizer": {"models", "token_pieces"},
    "token_piece": {"token_pieces"},
    "model": {"models"},
    "release": {"releases"},
    "sae": {"saes"},
    "feature": {"features"},
    "corpus": {"corpora"},
    "document": {"documents"},
    "tokenisation": {"tokenisations"},
    "context": {"contexts"},
    "run": {"runs"},
    "evidence": {"statistics", "examples"},
    "labeling": {"labelings"},
    "sense": {"senses"},
    "label_outcome": {"outcomes"},
    "label_origin": {"origins"},
    "label": {"labels"},
    "label_choice": {"choices"},
    "label_score": {"scores"},
    "review": {"reviews"},
    "pin": {"pins"},
    "grouping_choice": {"groupings"},
    "second_opinion": {"second_opinions"},
    "comment": {"comments"},
    "comment_version": {"comment_versions"},
    "mention": {"comments"},
    "tag": {"vocabulary"},
    "feature_tag": {"tags"},
    "example_mark": {"marks"},
    "change": {"history"},
    "bulk_action": {"bulk_actions"},
    "feature_list": {"lists"},
    "feature_list_item": {"list_items"},
}
#: Tables that no dump holds.
NOT_HELD = {
    **dict.fromkeys(("job", "step"), JOBS),
    **dict.fromkeys(("shard", "run_state", "panel", "map"), "lies in artifacts; can be made again"),
    **dict.fromkeys(
        ("embedder", "label_embedding", "label_sketch", "window_vector"), "computed from texts"
    ),
    **dict.fromkeys(
        ("preset", "preset_version", "preset_decision"), "leave as preset.json, one by one"
    ),
    **dict.fromkeys(("preset_report", "preset_export", "residual_norm"), "can be made again"),
    **dict.fromkeys(("scan", "scan_shard"), "lies in artifacts; can be made again"),
    **dict.fromkeys(("feature_entry", "label_word"), "computed for searches"),
    **dict.fromkeys(("dump_import", "imported_row"), "how far imports have come"),
    **dict.fromkeys(
        ("account", "login_session", "one_time_link", "api_token", "webhook"),
        "secrets of this instance",
    ),
    "webhook_delivery": "told once, from here",
    "inference": "asked live, and forgotten within the hour",
    **dict.fromkeys(("worker", "meter"), "how this instance is doing"),
    "co_firing": "counted on a panel, which can be drawn again",
    "feature_version": "counted from the history",
    "queue_entry": "found again from what is said",
    **dict.fromkeys(("queue_skip", "presence"), "who does what here and now"),
    "kept_answer": "answers to what is sent twice",
    **dict.fromkeys(("audit_entry", "release_visibility"), "who may do what in this instance"),
}


def test_every_column_of_the_database_is_in_a_dump_or_left_out_with_a_reason() -> None:
    for module in iter_modules(db.__path__):
        import_module(f"scopebook.db.{module.name}")
    columns = {table.name: {column.name for column in table.columns} for table in TABLES}
    known_as = {"sha256": "tokenizer", "examples": "positions", "n_tokens": "tokens"}
    missing = [
        f"{table}.{column.name}"
        for table, held in HELD.items()
        for column in Base.metadata.tables[table].columns
        if column.name not in LEFT_OUT
        and not {RENAMED.get(column.name, column.name), known_as.get(column.name)}
        & set().union(*(columns[name] for name in held))
    ]

    assert missing == []
    assert set(Base.metadata.tables) == HELD.keys() | NOT_HELD.keys()


def test_pandas_and_duckdb_read_what_was_said_and_the_texts_that_fire(
    session: Session, tmp_path: Path
) -> None:
    make_dictionary(session)

    export_parquet(session, tmp_path / "dump")

    examples = pd.read_parquet(tmp_path / "dump/examples")
    first = examples[examples["feature"] == "Tiny-Model/1-res-w1k-l0_8/0"].iloc[0]
    assert list(first["tokens"]) == ["the"] * 4
    assert [round(float(one), 2) for one in first["activations"]] == [0.0, 4.0, 0.0, 0.0]
    assert (first["document"], first["corpus"], first["kind"]) == ("doc-0", "tiny texts", "best")
    said = duckdb.sql(
        f"SELECT l.text, l.author, l.source, s.value, s.null_value "
        f"FROM '{tmp_path}/dump/labels/*.parquet' l "
        f"LEFT JOIN '{tmp_path}/dump/scores/*.parquet' s USING (label) "
        f"WHERE l.layer = 1 AND l.index < 4 AND l.current ORDER BY l.label"
    ).fetchall()
    assert said == [
        ("sleeping cats", None, "llm", 0.8, 0.5),
        ("cats in Chinese", None, "llm", 0.6, None),
        ("barking dogs", "ada", "person", None, None),
    ]


def test_every_table_can_be_read_by_both_also_an_empty_one(
    session: Session, tmp_path: Path
) -> None:
    make_dictionary(session)
    session.execute(Base.metadata.tables["label_score"].delete())

    report = export_parquet(session, tmp_path / "dump")

    for table in TABLES:
        read = pd.read_parquet(tmp_path / "dump" / table.name)
        counted = duckdb.sql(f"SELECT count(*) FROM '{tmp_path}/dump/{table.name}/*.parquet'")
        assert len(read) == counted.fetchall()[0][0] == report.rows[table.name]
        assert list(read.columns) == [column.name for column in table.columns]
    assert report.rows["scores"] == 0
    assert min(n for table, n in report.rows.items() if table != "scores") > 0


def test_a_dump_names_what_it_holds_and_what_the_publisher_asks(
    session: Session, tmp_path: Path
) -> None:
    make_dictionary(session)

    report = export_parquet(session, tmp_path / "dump", release=RELEASE, layers=[2])

    manifest = json.loads((tmp_path / "dump/manifest.json").read_text())
    [release] = manifest["releases"]
    assert (release["name"], release["layers"]) == (RELEASE, [2])
    assert release["caution"] == "For research."
    assert len(release["fingerprints"]["2"]) == 64
    assert report.cautions == [f"{RELEASE}: For research."]
    assert set(pd.read_parquet(tmp_path / "dump/labels")["layer"]) == {2}


def test_two_dumps_of_one_content_have_the_same_bytes(session: Session, tmp_path: Path) -> None:
    make_dictionary(session)

    for name in ("one", "two"):
        export_parquet(session, tmp_path / name)

    one, two = (
        json.loads((tmp_path / name / "manifest.json").read_text()) for name in ("one", "two")
    )
    assert one["files"] == two["files"]


def test_one_more_label_changes_the_hash(session: Session, tmp_path: Path) -> None:
    sae, _ = make_dictionary(session)
    before = export_parquet(session, tmp_path / "before")

    make_label(session, sae, 3, "one more", source="person")

    after = export_parquet(session, tmp_path / "after")
    assert after.content_sha256 != before.content_sha256


def test_what_is_there_is_not_written_over(session: Session, tmp_path: Path) -> None:
    make_dictionary(session)
    (tmp_path / "notes").write_text("mine")

    with pytest.raises(ConflictError, match="is there already; choose another path"):
        export_parquet(session, tmp_path)

    assert [file.name for file in tmp_path.iterdir()] == ["notes"]


def test_nothing_is_left_where_the_disk_is_full(session: Session, tmp_path: Path) -> None:
    make_dictionary(session)

    with files_limited_to(1_000), pytest.raises(UnavailableError, match="could not be written"):
        export_parquet(session, tmp_path / "dump")

    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_export_left_is_replaced(session: Session, tmp_path: Path) -> None:
    make_dictionary(session)
    left = tmp_path / ".dump.partial"
    (left / "labels").mkdir(parents=True)
    (left / "labels/00000.parquet").write_bytes(b"half")

    export_parquet(session, tmp_path / "dump")

    assert [file.name for file in tmp_path.iterdir()] == ["dump"]
    assert not (tmp_path / "dump/.lock").exists()


def test_an_instance_without_releases_says_so(sessions: Sessions, tmp_path: Path) -> None:
    with sessions() as session, pytest.raises(NotFoundError, match="no release here to export"):
        export_parquet(session, tmp_path / "dump")


def test_every_table_and_column_stands_in_the_documentation() -> None:
    page = (Path(__file__).parents[3] / "docs/interchange.md").read_text()
    sections = {part.split("\n", 1)[0]: part for part in page.split("\n### ")[1:]}

    missing = [
        f"{table.name}.{column.name}"
        for table in TABLES
        for column in table.columns
        if f"| `{column.name}`{' *' if column.derived else ''} | " not in sections[table.name]
        or column.about not in sections[table.name]
    ]
    assert missing == []
