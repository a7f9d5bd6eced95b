import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from scopebook import texts
from scopebook.errors import InvalidInputError, UnavailableError
from scopebook.text_sources import read_texts
from scopebook.texts import Problem, Reading, Text

LINES = b'{"text": "one", "id": "a"}\n{"text": 2}\n{"text": "three", "tag": "x"}\n'


def read(path: Path, **reading: object) -> tuple[list[tuple[str, str, str | None]], list[str]]:
    """Return each text with its name and tag, and each problem as a person reads it."""
    found = list(read_texts(path, Reading(**reading)))  # type: ignore[arg-type]
    return (
        [(one.name, one.text, one.tag) for one in found if isinstance(one, Text)],
        [str(one) for one in found if isinstance(one, Problem)],
    )


def write_parquet(path: Path, columns: dict[str, object], *, rows: int = 2) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=rows)
    return path


def test_parquet_gives_rows_in_order_with_known_fields(tmp_path: Path) -> None:
    path = write_parquet(
        tmp_path / "a.parquet",
        {"text": ["a", None, "c", "d\0", "e"], "language": ["en", "en", None, "de", "de"],
         "id": [7, 8, 9, 10, 11], "vector": [[1.0]] * 5},
    )  # fmt: skip

    found = list(read_texts(path, Reading()))

    assert found[0] == Text(name="7", text="a", language="en")
    assert found[1:3] == [
        Problem("row 2", "the field 'text' holds nothing instead of text"),
        Text(name="9", text="c"),
    ]
    assert [str(found[3]), found[4]] == [
        "row 4: holds a NUL character",
        Text(name="11", text="e", language="de"),
    ]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"body": ["a"]}, "has no column 'text' but 'body'; name the one that holds the text by"),
        ({"text": [5]}, "the column 'text' holds int64 instead of text"),
        ({"text": [["a"]]}, "the column 'text' holds list<element: string> instead of text"),
        ({"text": pa.nulls(1)}, "the column 'text' holds null instead of text"),
    ],
)
def test_a_parquet_column_that_holds_no_text_is_named(
    tmp_path: Path, columns: dict[str, object], reason: str
) -> None:
    found, problems = read(write_parquet(tmp_path / "a.parquet", columns))

    assert found == []
    assert len(problems) == 1
    assert problems[0].startswith(f"a.parquet: {reason}")


@pytest.mark.parametrize("kind", [pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_parquet_text_of_other_layouts_is_read(tmp_path: Path, kind: pa.DataType) -> None:
    column = pa.array(["a", "b"]).cast(kind)

    found, _ = read(write_parquet(tmp_path / "a.parquet", {"text": column}))

    assert [text for _, text, _ in found] == ["a", "b"]


def test_a_parquet_row_that_is_not_utf8_is_left_out(tmp_path: Path) -> None:
    raw = pa.array([b"good", b"caf\xe9", b"also"], type=pa.binary())
    column = pa.StringArray.from_buffers(3, *raw.buffers()[1:])

    found, problems = read(write_parquet(tmp_path / "a.parquet", {"text": column}, rows=3))

    assert [text for _, text, _ in found] == ["good", "also"]
    assert problems == ["row 2: not UTF-8 (byte 0xe9)"]


def test_a_damaged_row_group_is_left_out_and_reading_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"text": [f"text {number} " * 50 for number in range(6)]})
    pq.write_table(table, path, row_group_size=2, use_dictionary=False, write_page_checksum=True)
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    content = bytearray(path.read_bytes())
    end = column.data_page_offset + column.total_compressed_size
    content[end - 9 : end - 1] = b"\xff" * 8
    path.write_bytes(content)

    found, problems = read(path)

    assert [name for name, _, _ in found] == ["row 1", "row 2", "row 5", "row 6"]
    assert len(problems) == 1
    assert problems[0].startswith("rows 3 to 4: damaged (")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no parquet", bytes(range(256)) * 9])
def test_what_is_no_parquet_is_one_problem(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(content)

    found, problems = read(path)

    assert found == []
    assert len(problems) == 1
    assert problems[0].startswith("a.parquet: not a whole Parquet file (")


def test_a_parquet_file_that_was_cut_off_is_one_problem(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"text": ["a"] * 100})
    path.write_bytes(path.read_bytes()[:-20])

    assert read(path)[1][0].startswith("a.parquet: not a whole Parquet file (")


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="memory is told by Linux")
def test_parquet_is_read_in_memory_that_does_not_grow_with_the_file(tmp_path: Path) -> None:
    row = "0123456789" * 1000
    peaks = []
    for rows in (2_000, 20_000):
        path = tmp_path / f"{rows}.parquet"
        table = pa.table({"text": [f"{number} {row}" for number in range(rows)]})
        pq.write_table(table, path, row_group_size=rows, compression="none", use_dictionary=False)
        code = (
            "import sys; from pathlib import Path\n"
            "from scopebook.text_sources import read_texts; from scopebook.texts import Reading\n"
            "print(sum(1 for _ in read_texts(Path(sys.argv[1]), Reading())),"
            " Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
        )
        command = [sys.executable, "-c", code, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        number, peak_kb = done.stdout.split()
        assert int(number) == rows
        peaks.append(int(peak_kb))

    assert peaks[1] - peaks[0] < 60_000  # the larger file holds 180 MB more


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "zst": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("kind", PACK)
def test_compressed_lines_read_like_plain_ones(tmp_path: Path, kind: str) -> None:
    plain, packed = tmp_path / "a.jsonl", tmp_path / f"a.jsonl.{kind}"
    plain.write_bytes(LINES)
    half = len(LINES) // 2
    packed.write_bytes(PACK[kind](LINES[:half]) + PACK[kind](LINES[half:]))

    assert read(packed) == read(plain)


@pytest.mark.parametrize("kind", PACK)
def test_compressed_lines_before_a_break_are_kept(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.jsonl.{kind}"
    lines = b"".join(b'{"text": "%s"}\n' % os.urandom(40).hex().encode() for _ in range(20_000))
    path.write_bytes(PACK[kind](lines)[:-1000])

    found, problems = read(path)

    assert 10_000 < len(found) < 20_000
    assert f"after line {len(found) + len(problems) - 1}: compressed data that is cut off" in [
        *problems,
        *(problem.replace(f"line {len(found) + 1}", f"line {len(found)}") for problem in problems),
    ]


@pytest.mark.parametrize("kind", PACK)
def test_what_only_claims_to_be_compressed_is_one_problem(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.csv.{kind}"
    path.write_bytes(b"id,text\n1,a\n")

    found, problems = read(path)

    assert found == []
    assert len(problems) == 1
    assert "after line 0: compressed data that is damaged" in problems[0]


def test_tsv_is_cut_at_tabs(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("id\ttext\n1\ta, b\n2\n")

    assert read(path) == (
        [("1", "a, b", None)],
        ["line 3: the field 'text' holds nothing instead of text"],
    )


def test_a_quote_that_never_closes_takes_no_more_than_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('text\nfirst\n"second\nthird\n')

    assert [text for _, text, _ in read(path)[0]] == ["first", "second\nthird\n"]


def test_a_line_that_is_too_long_is_left_out_by_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("scopebook.texts", "scopebook.text_files"):
        monkeypatch.setattr(f"{module}.MAX_TEXT_BYTES", 100)
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in ("a", "b" * 3000, "c")))

    found, problems = read(path)

    assert [text for _, text, _ in found] == ["a", "c"]
    assert problems == [f"line 2: {texts.TOO_LONG}"]


def test_a_plain_text_that_is_too_long_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scopebook.text_files.MAX_TEXT_BYTES", 100)
    path = tmp_path / "a.txt"
    path.write_text("a line\n" * 50)

    assert read(path) == ([], [f"a.txt: {texts.TOO_LONG}"])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"\x00\x01\x02\xff", "not UTF-8 (byte 0xff)"),
        (b'{"text": "\xed\xa0\x80"}', "not UTF-8 (byte 0xed)"),
        (b"[" * 100_000, "JSON nested too deep"),
        (b'["text"]', "not a JSON object"),
        (b'{"text": "a", "tag": "\\u0000"}', "holds a NUL character"),
        (b'{"text": "a", "title": "\\ud83d"}', "not UTF-8, or half of a surrogate pair"),
        (b'{"text": {"a": 1}}', "the field 'text' holds dict instead of text"),
    ],
)
def test_a_bad_json_line_is_reported_and_reading_goes_on(
    tmp_path: Path, line: bytes, reason: str
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(line + b'\n{"text": "good"}\n')

    assert read(path) == ([("line 2", "good", None)], [f"line 1: {reason}"])


def test_a_folder_reads_every_known_kind_and_counts_the_others(tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    (folder / "law").mkdir(parents=True)
    (folder / "a.txt").write_text("plain")
    (folder / "law" / "b.jsonl").write_bytes(LINES)
    (folder / "law" / "c.csv.gz").write_bytes(gzip.compress(b"text\nrow\n"))
    (folder / "law" / "d.csv").write_text("body\nrow\n")
    write_parquet(folder / "law" / "e.parquet", {"text": ["cell"], "tag": ["own"]})
    for name in ("x.png", "y.png", "LICENSE"):
        (folder / name).write_bytes(b"?")

    found, problems = read(folder)

    assert found == [
        ("a.txt", "plain", None),
        ("a", "one", "law"),
        ("law/b.jsonl, line 3", "three", "x"),
        ("law/c.csv.gz, line 2", "row", "law"),
        ("law/e.parquet, row 1", "cell", "own"),
    ]
    assert problems == [
        "law/b.jsonl, line 2: the field 'text' holds int instead of text",
        "law/d.csv: has no column 'text' but 'body'; name the one that holds the text by "
        "--text-field",
        f"{folder}: 3 files of no kind that can be read (2 .png, 1 LICENSE)",
    ]


def unreadable(path: Path) -> Path:
    path.symlink_to("/proc/self/mem")  # opens, and fails when it is read, also for root
    return path


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="the file is Linux's")
def test_an_unreadable_file_is_refused_alone_and_reported_in_a_folder(tmp_path: Path) -> None:
    path = unreadable(tmp_path / "a.txt")
    (tmp_path / "b.txt").write_text("good")

    with pytest.raises(UnavailableError, match=r"a\.txt cannot be read \(Input/output error\)"):
        read(path)

    found, problems = read(tmp_path)
    assert [name for name, _, _ in found] == ["b.txt"]
    assert "cannot be read (Input/output error); make it readable" in problems[0]


def test_limit_counts_records(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(LINES)

    assert read(path, limit=1) == ([("a", "one", None)], [])


@pytest.mark.parametrize("option", ["split", "config"])
def test_splits_and_configs_are_for_data_sets_of_the_hub(tmp_path: Path, option: str) -> None:
    with pytest.raises(InvalidInputError, match="no data set of the hub, and only such have"):
        read(tmp_path, **{option: "train"})
