"""What is wrong with a dump is said in one sentence, and nothing of it comes in unseen."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import func, select

from dictionary.interchange.conftest import Instance
from dictionary.interchange.damage import (
    change_manifest,
    change_rows,
    change_table,
    vouch_for,
)
from full_disk import files_limited_to
from makers import make_model, make_release
from scopebook.db.label_tables import Label
from scopebook.db.sessions import Sessions
from scopebook.db.tables import Evidence, Feature, Model, Release
from scopebook.errors import ConflictError, InvalidInputError, UnavailableError
from scopebook.interchange import dump_files
from scopebook.interchange.import_report import ImportReport
from scopebook.interchange.parquet_in import import_parquet
from scopebook.packing import BINS

Rows = list[dict[str, Any]]


def assert_empty(factory: Sessions) -> None:
    with factory() as session:
        for table in (Model, Release, Feature, Label):
            assert session.scalar(select(func.count()).select_from(table)) == 0


def drop(name: str) -> Callable[[Any], Any]:
    return lambda table: table.drop_columns([name])


def retype(name: str, kind: Any) -> Callable[[Any], Any]:
    def change(table: Any) -> Any:
        at = table.schema.get_field_index(name)
        return table.set_column(at, name, table.column(name).cast(kind))

    return change


def test_a_folder_without_a_manifest_is_no_dump(instance: Instance, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"holds no manifest\.json: expected a folder"):
        import_parquet(instance(), tmp_path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "is not the manifest of a dump"),
        ("[]", "is not the manifest of a dump"),
        ('{"format": "other"}', "is not the manifest of a dump"),
    ],
)
def test_a_manifest_that_is_none_is_named(
    instance: Instance, dump: Path, content: str, sentence: str
) -> None:
    (dump / "manifest.json").write_text(content)
    with pytest.raises(InvalidInputError, match=sentence):
        import_parquet(instance(), dump)


def test_a_newer_format_says_to_upgrade(instance: Instance, dump: Path) -> None:
    change_manifest(dump, lambda manifest: manifest.update(version=3))

    with pytest.raises(InvalidInputError, match=r"version 3, but this Scopebook reads .* 2"):
        import_parquet(instance(), dump)


@pytest.mark.parametrize(
    "name", ["../outside/00000.parquet", "/etc/passwd", "labels/../../x.parquet", "labels\\x"]
)
def test_a_manifest_that_names_files_elsewhere_is_refused(
    instance: Instance, dump: Path, name: str
) -> None:
    change_manifest(dump, lambda manifest: manifest["files"][0].update(name=name))
    target = instance()

    with pytest.raises(InvalidInputError, match=r"names the file .* below its own folder"):
        import_parquet(target, dump)
    assert_empty(target)


def test_a_link_out_of_the_folder_is_not_followed(
    instance: Instance, dump: Path, tmp_path: Path
) -> None:
    path = dump / "labels/00000.parquet"
    path.rename(tmp_path / "elsewhere.parquet")
    path.symlink_to(tmp_path / "elsewhere.parquet")

    with pytest.raises(InvalidInputError, match="is a link that leads out of the dump's folder"):
        import_parquet(instance(), dump)


def test_a_missing_file_is_named(instance: Instance, dump: Path) -> None:
    (dump / "scores/00000.parquet").unlink()

    with pytest.raises(InvalidInputError, match=r"scores/00000\.parquet is missing"):
        import_parquet(instance(), dump)


def test_a_changed_file_is_told_by_its_checksum(instance: Instance, dump: Path) -> None:
    path = dump / "labels/00000.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    target = instance()

    with pytest.raises(InvalidInputError, match=r"is not the file that was exported \(SHA-256"):
        import_parquet(target, dump)
    assert_empty(target)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 zip", b"PAR1 cut off", b"\x1f\x8b gzip"])
def test_a_file_that_is_no_parquet_is_named(instance: Instance, dump: Path, content: bytes) -> None:
    path = dump / "features/00000.parquet"
    path.write_bytes(content)
    vouch_for(dump, path)

    with pytest.raises(InvalidInputError, match="is not a whole Parquet file"):
        import_parquet(instance(), dump)


def test_a_page_that_is_damaged_behind_right_checksums_stops_the_import(
    instance: Instance, dump: Path
) -> None:
    path = dump / "documents/00000.parquet"
    table = pq.read_table(path)
    pq.write_table(
        table,
        path,
        compression="none",
        use_dictionary=False,
        write_statistics=False,
        write_page_checksum=True,
    )
    content = bytearray(path.read_bytes())
    at = content.index(b"der Hund")
    content[at] ^= 0x20
    path.write_bytes(content)
    vouch_for(dump, path)

    with pytest.raises(InvalidInputError, match="is damaged inside"):
        import_parquet(instance(), dump)


def test_a_missing_column_is_named(instance: Instance, dump: Path) -> None:
    change_table(dump, "labels", drop("text"))
    target = instance()

    with pytest.raises(InvalidInputError, match=r"has no column text: expected label, release"):
        import_parquet(target, dump)
    assert_empty(target)


def test_columns_for_readers_may_be_missing_and_others_are_left_out(
    instance: Instance, dump: Path
) -> None:
    change_table(dump, "examples", drop("tokens"))
    change_table(
        dump, "labels", lambda table: table.append_column("mood", pa.array(["!"] * len(table)))
    )

    report = import_parquet(instance(), dump)

    assert report.equal is True
    assert report.notes[0] == (
        "labels.mood is not known to this Scopebook and was left out; upgrade it."
    )


@pytest.mark.parametrize(
    ("table", "column", "kind", "found"),
    [
        ("labels", "label", pa.string(), "string"),
        ("features", "decoder_norm", pa.float32(), "float"),
        ("examples", "context", pa.int32(), "int32"),
    ],
)
def test_a_column_of_another_type_is_named(
    instance: Instance, dump: Path, table: str, column: str, kind: Any, found: str
) -> None:
    change_table(dump, table, retype(column, kind))

    with pytest.raises(InvalidInputError, match=rf"holds {found} in the column {column}: expected"):
        import_parquet(instance(), dump)


def test_more_rows_than_the_manifest_says_are_not_read(instance: Instance, dump: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        [scores] = [file for file in manifest["files"] if file["name"].startswith("scores/")]
        scores["rows"] = 3

    change_manifest(dump, change)

    with pytest.raises(InvalidInputError, match="has 4 rows, and the manifest says 3"):
        import_parquet(instance(), dump)


def test_a_row_group_that_unpacks_to_too_much_is_not_read(
    instance: Instance, dump: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dump_files, "LARGEST_GROUP", 1 << 20)
    change_table(dump, "documents", lambda table: pa.concat_tables([table, _zeros(table)]))

    with pytest.raises(InvalidInputError, match="in one row group, which is not read at once"):
        import_parquet(instance(), dump)


def _zeros(table: Any) -> Any:
    """Return two rows of a megabyte each that pack to almost nothing."""
    rows = [row | {"text": "0" * (1 << 20)} for row in table.slice(0, 2).to_pylist()]
    return pa.Table.from_pylist(rows, schema=table.schema)


def set_to(column: str, value: Any, *, row: int = 0) -> Callable[[Rows], None]:
    def change(rows: Rows) -> None:
        rows[row][column] = value

    return change


@pytest.mark.parametrize(
    ("table", "change", "reason"),
    [
        ("features", set_to("decoder_norm", float("nan")), "decoder_norm is not a finite number"),
        ("features", set_to("index", 16), "index 16 is not one of its SAE's 16 features"),
        ("features", set_to("index", -1), "index -1 is not one of its SAE's 16 features"),
        ("features", set_to("layer", 7), "layer 7 of .* is not among the dump's SAEs"),
        ("features", set_to("index", 1), "it is there twice"),
        ("features", set_to("promoted", None), "promoted is missing"),
        ("documents", set_to("text", "another"), "its text is not the one that its SHA-256"),
        ("documents", set_to("sha256", "no hash"), "sha256 is not a SHA-256 of 64"),
        ("contexts", set_to("tokens", []), "it has no tokens, too many, or not one place"),
        ("contexts", set_to("ends", [99] * 11), "its tokens lie outside of its document"),
        ("statistics", set_to("histogram", [1]), f"its histogram has not {BINS} bins"),
        ("statistics", set_to("max", float("inf")), "max is not a finite number"),
        ("statistics", set_to("run", 99), "its run 99 did not come in"),
        ("statistics", set_to("first_context", 99), "context 99, to which it points, did not"),
        ("examples", set_to("peak", 99), "its tokens lie outside of its context of 11"),
        ("examples", set_to("positions", [0, 99]), "it fires outside of its context of 11"),
        ("examples", set_to("shares", [0.5, float("nan")]), "shares is not a finite number"),
        ("examples", set_to("context", 99), "its context 99 did not come in"),
        ("labels", set_to("text", "a\x00b"), "the dictionary cannot hold it"),
        ("labels", set_to("text", None), "breaks the rule text"),
        ("labels", set_to("source", "oracle"), "breaks the rule ck_label_known_source"),
        ("labels", set_to("provenance", "[1"), "provenance is not a JSON document"),
        ("labels", set_to("provenance", "[]"), "provenance is JSON, but not an object"),
        ("labels", set_to("labeling", 99), "its labeling 99 did not come in"),
        ("labels", set_to("supersedes", 99), "label 99, which it follows, did not come in"),
        ("senses", set_to("labeling", 99), "its labeling 99 did not come in"),
        ("choices", set_to("label", 99), "label 99 did not come in"),
        ("scores", set_to("value", float("-inf")), "value is not a finite number"),
        ("scores", set_to("details", '{"a": NaN}'), "details is not a JSON document"),
    ],
)
def test_a_row_that_is_wrong_is_refused_with_its_reason_and_the_others_come_in(
    instance: Instance, dump: Path, table: str, change: Callable[[Rows], None], reason: str
) -> None:
    change_rows(dump, table, change)

    report = import_parquet(instance(), dump)

    assert_refused(report, "statistics" if table == "examples" else table, reason)
    assert report.equal is False
    kept = report.tables[table]
    assert kept.written > 0
    assert kept.read == kept.written + kept.refused + kept.known + kept.left_out


def assert_refused(report: ImportReport, table: str, reason: str) -> None:
    found = [one for one in report.refusals if one.file.startswith(f"{table}/")]
    assert any(re.search(reason, one.reason) for one in found), report.refusals
    assert all(one.row >= 1 for one in found)
    assert report.refusals_file is not None
    assert len(Path(report.refusals_file).read_text().splitlines()) == report.refused


def test_a_feature_whose_example_is_wrong_has_no_evidence_and_others_have(
    instance: Instance, dump: Path
) -> None:
    change_rows(dump, "examples", set_to("end", 99))
    target = instance()

    report = import_parquet(target, dump)

    assert (report.tables["statistics"].written, report.tables["statistics"].refused) == (9, 1)
    assert (report.tables["examples"].written, report.tables["examples"].left_out) == (18, 4)
    with target() as session:
        assert session.scalar(select(func.count()).select_from(Evidence)) == 9


def test_examples_beside_no_statistics_are_refused(instance: Instance, dump: Path) -> None:
    change_rows(dump, "statistics", lambda rows: rows.pop(0))

    report = import_parquet(instance(), dump)

    assert_refused(report, "examples", "out of order, or beside no statistics")
    assert report.tables["examples"].refused == 4


def test_a_label_named_in_force_that_is_suspect_is_refused(instance: Instance, dump: Path) -> None:
    def change(rows: Rows) -> None:
        next(row for row in rows if row["status"] == "suspect")["current"] = True

    change_rows(dump, "labels", change)

    report = import_parquet(instance(), dump)

    assert_refused(report, "labels", "it is in force although it is suspect")


def test_of_two_labels_in_force_for_one_feature_one_is(instance: Instance, dump: Path) -> None:
    change_rows(dump, "labels", set_to("current", True))
    target = instance()

    report = import_parquet(target, dump)

    assert report.refusals == []
    assert report.differing == ["labels"]


@pytest.mark.parametrize(
    ("table", "change", "sentence"),
    [
        ("saes", set_to("d_sae", 1 << 21), "has no release, or not 1 to 1,048,576 features"),
        ("saes", set_to("kind", "magic"), "in a way that the dictionary cannot hold"),
        ("releases", set_to("model", "other"), "names a model that the dump does not hold"),
        ("models", set_to("tokenizer", "0" * 64), "holds no vocabulary 000000000000"),
    ],
)
def test_a_dump_whose_ground_is_wrong_is_refused_as_a_whole(
    instance: Instance, dump: Path, table: str, change: Callable[[Rows], None], sentence: str
) -> None:
    change_rows(dump, table, change)
    target = instance()

    with pytest.raises(InvalidInputError, match=sentence):
        import_parquet(target, dump)
    assert_empty(target)


def test_an_sae_of_another_width_is_refused(instance: Instance, dump: Path) -> None:
    target = instance()
    with target.begin() as session:
        make_release(session, d_sae=32)

    with pytest.raises(ConflictError, match=r"here has 32 features a layer, .* the dump's has 16"):
        import_parquet(target, dump)


def test_an_sae_of_other_weights_is_refused(instance: Instance, dump: Path) -> None:
    change_rows(dump, "saes", set_to("sha256", "f" * 64))
    target = instance()
    with target.begin() as session:
        make_release(session)

    with pytest.raises(ConflictError, match="labels of the one do not hold for the other"):
        import_parquet(target, dump)


def test_another_model_of_the_same_name_is_refused(instance: Instance, dump: Path) -> None:
    target = instance()
    with target.begin() as session:
        make_model(session, layers=9)

    with pytest.raises(ConflictError, match="is not the one of the dump"):
        import_parquet(target, dump)


def test_a_release_that_was_not_asked_for_is_refused(instance: Instance, dump: Path) -> None:
    with pytest.raises(InvalidInputError, match="leave --release out"):
        import_parquet(instance(), dump, release="another")


def test_a_full_disk_stops_the_report_of_refusals_and_the_import_goes_on_later(
    instance: Instance, dump: Path, data_dir: Path
) -> None:
    change_rows(dump, "features", set_to("decoder_norm", float("nan")))
    target = instance()

    with files_limited_to(10), pytest.raises(UnavailableError, match="could not be noted"):
        import_parquet(target, dump)
    report = import_parquet(target, dump)

    assert report.resumed
    assert report.tables["features"].refused == 1
    assert report.tables["features"].written == 31
