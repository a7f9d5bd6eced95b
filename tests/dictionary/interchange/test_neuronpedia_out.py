"""What is written in Neuronpedia's layout is what its importer takes, and says what is missing."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from dictionary.interchange.conftest import Instance
from full_disk import files_limited_to
from neuronpedia_importer import make_tables, read_dump
from scopebook.db.sessions import Sessions
from scopebook.errors import UnavailableError
from scopebook.interchange.neuronpedia_out import NeuronpediaExport, export_neuronpedia

SOURCE = "v1/tiny-model/1-res-w1k-l0_8"


@pytest.fixture
def written(source: Sessions, tmp_path: Path) -> tuple[Path, NeuronpediaExport]:
    with source() as session:
        report = export_neuronpedia(session, tmp_path / "np")
    return tmp_path / "np", report


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]


def test_its_importer_takes_every_row_and_a_second_time_none(
    written: tuple[Path, NeuronpediaExport], instance: Instance
) -> None:
    dump, report = written
    engine = instance().kw["bind"]
    assert isinstance(engine, Engine)

    with engine.begin() as connection:
        make_tables(connection)
        for _ in range(2):
            read_dump(connection, dump)
        counted = {
            table: connection.execute(text(f'SELECT count(*) FROM "{name}"')).scalar_one()
            for table, name in (
                ("features", "Neuron"),
                ("activations", "Activation"),
                ("explanations", "Explanation"),
            )
        }
        [cat] = connection.execute(
            text(
                'SELECT e.description, e.notes, n.pos_str, a.tokens, a."maxValue" '
                'FROM "Explanation" e JOIN "Neuron" n USING ("modelId", layer, index) '
                'JOIN "Activation" a USING ("modelId", layer, index) '
                "WHERE e.description = 'sleeping cats' AND layer = '1-res-w1k-l0_8' "
                'ORDER BY a."maxValue" DESC LIMIT 1'
            )
        )

    assert counted == report.rows == {"features": 32, "activations": 20, "explanations": 9}
    assert (cat.pos_str, cat.tokens, cat.maxValue) == (["the", "\\xe4\\xb8"], ["the"] * 4, 4.0)
    assert json.loads(cat.notes)["method"] == "a-model"


def test_a_line_has_all_keys_of_the_first(written: tuple[Path, NeuronpediaExport]) -> None:
    dump, _ = written
    files = sorted(dump.rglob("*.jsonl.gz"))

    assert len(files) == 6
    for file in files:
        first, *others = lines_of(file)
        assert all(list(one) == list(first) for one in others)


def test_ids_look_like_its_own_and_are_each_others_alike_at_every_export(
    written: tuple[Path, NeuronpediaExport], source: Sessions, tmp_path: Path
) -> None:
    dump, _ = written
    with source() as session:
        export_neuronpedia(session, tmp_path / "again")

    files = [file.relative_to(dump) for file in sorted(dump.rglob("*.gz"))]
    assert all(
        (dump / one).read_bytes() == (tmp_path / "again" / one).read_bytes() for one in files
    )
    ids = [
        row["id"] for one in files if one.parts[-2] != "features" for row in lines_of(dump / one)
    ]
    assert len(set(ids)) == len(ids) == 29
    assert all(re.fullmatch("c[a-z0-9]{24}", one) for one in ids)


def test_best_examples_and_intervals_are_told_apart(
    written: tuple[Path, NeuronpediaExport],
) -> None:
    dump, _ = written

    rows = [
        row
        for row in lines_of(dump / SOURCE / "activations/batch-0.jsonl.gz")
        if row["index"] == "0"
    ]

    assert [(row["binMin"], row["binMax"], row["binContains"]) for row in rows] == [
        (-1.0, 4.0, -1.0),
        (-1.0, 4.0, -1.0),
        (2.0, 2.0, 0.2),
        (1.0, 1.0, 0.2),
    ]
    assert [row["dataIndex"] for row in rows] == ["doc-0", "doc-1", "doc-2", "doc-3"]


def test_the_report_lists_what_the_layout_cannot_hold_and_how_much_of_it_there_was(
    written: tuple[Path, NeuronpediaExport],
) -> None:
    _, report = written

    assert any("scores" in what for what in report.cannot_hold)
    assert report.not_written == {
        "labels not in force": 10,
        "scores": 4,
        "labels of senses, as labels of their features": 3,
    }
    assert report.cautions == ["SAE-Res-Tiny-Model-W1K-L0_8: For research."]


def test_every_word_of_what_it_cannot_hold_stands_in_the_documentation(
    written: tuple[Path, NeuronpediaExport],
) -> None:
    page = (Path(__file__).parents[3] / "docs/interchange.md").read_text()

    assert [what for what in written[1].cannot_hold if f"- {what}" not in page] == []


def test_nothing_is_left_where_the_disk_is_full(source: Sessions, tmp_path: Path) -> None:
    with source() as session, files_limited_to(400), pytest.raises(UnavailableError):
        export_neuronpedia(session, tmp_path / "np")

    assert list(tmp_path.iterdir()) == []
