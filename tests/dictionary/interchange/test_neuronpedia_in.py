"""Dumps as Neuronpedia and others write them come in, and what is wrong in them is named."""

import gzip
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from dictionary.interchange.conftest import Instance
from makers import feature_id, make_corpus, make_evidence, make_examples, make_release, make_run
from scopebook.db.label_tables import Label
from scopebook.db.sessions import Sessions
from scopebook.db.tables import Context, Document, Evidence, Sae
from scopebook.errors import ConflictError, InvalidInputError, NotFoundError
from scopebook.feature_page import read_feature
from scopebook.interchange import json_lines, neuronpedia_in
from scopebook.interchange.neuronpedia_in import import_neuronpedia
from scopebook.interchange.neuronpedia_out import export_neuronpedia
from scopebook.packing import unpack_examples
from scopebook.release_names import parse_feature_id

SOURCE = "1-res-w1k-l0_8"
Row = dict[str, Any]


def feature(index: int | str, **more: Any) -> Row:
    return {
        "modelId": "tiny-model",
        "layer": SOURCE,
        "index": index,
        "maxActApprox": 4.0,
        "frac_nonzero": 0.01,
        "freq_hist_data_bar_heights": [5.0, 1.0],
        "freq_hist_data_bar_values": [0.5, 3.0],
        "unknown_key": {"deep": []},
        **more,
    }


def activation(index: int | str, tokens: list[str], values: list[float], **more: Any) -> Row:
    return {
        "id": "c" + "0" * 24,
        "modelId": "tiny-model",
        "layer": SOURCE,
        "index": index,
        "tokens": tokens,
        "values": values,
        "maxValue": max(values),
        "binMin": -1,
        "binMax": 4.0,
        "binContains": -1,
        **more,
    }


def explanation(index: int | str, description: str, **more: Any) -> Row:
    return {
        "id": "e",
        "modelId": "tiny-model",
        "layer": SOURCE,
        "index": index,
        "authorId": "clkht01d40000jv08hvalcvly",
        "description": description,
        "typeName": "np_max-act-logits",
        "explanationModelName": "gemini-2.0-flash",
        **more,
    }


FEATURES = [feature(i) for i in range(16)]
ACTIVATIONS = [
    activation(0, ["the", " der"], [0.0, 4.0]),
    activation("0", ["the", "中", "\n"], [1.0, 0.0, 2.0], binMin=1, binMax=3, binContains=0.2),
    activation(1, ["the", "the"], [3.0, 0.0]),
]
EXPLANATIONS = [explanation(0, "German articles"), explanation("1", "the word the")]


def write(folder: Path, table: str, rows: Iterable[Row | str], number: int = 0) -> Path:
    path = folder / table / f"batch-{number}.jsonl.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_bytes(gzip.compress("\n".join(lines).encode() + b"\n"))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dump of one source, as its exporter writes it."""
    source = tmp_path / "np/v1/tiny-model" / SOURCE
    for table, rows in (
        ("features", FEATURES),
        ("activations", ACTIVATIONS),
        ("explanations", EXPLANATIONS),
    ):
        write(source, table, rows)
    row = {"id": SOURCE, "modelId": "tiny-model", "num_prompts": 100, "num_tokens_in_prompt": 10}
    (source / "source.jsonl").write_text(json.dumps(row) + "\n")
    return source


@pytest.fixture
def target(instance: Instance) -> Sessions:
    """An instance with the release, in which nothing was collected."""
    factory = instance()
    with factory.begin() as session:
        make_release(session)
    return factory


def page(factory: Sessions, index: int = 0) -> Any:
    with factory() as session:
        return read_feature(session, parse_feature_id(f"Tiny-Model/{SOURCE}/{index}"))


def test_explanations_are_imported_labels_with_their_method(target: Sessions, folder: Path) -> None:
    report = import_neuronpedia(target, folder.parents[2])

    assert report.refusals == []
    assert report.tables["explanations"].written == 2
    label = page(target).label
    assert (label.text, label.source) == ("German articles", "import")
    assert (label.method, label.author) == ("np_max-act-logits (gemini-2.0-flash)", None)
    origin = label.provenance["import"]
    assert (origin["tool"], origin["type"], origin["ranks_as"]) == (
        *("neuronpedia", "np_max-act-logits"),
        "llm",
    )


def test_activations_become_examples_that_a_page_shows(target: Sessions, folder: Path) -> None:
    report = import_neuronpedia(target, folder)

    assert report.layers_new == {report.releases[0]: [1]}
    shown = page(target)
    assert [[piece.text for piece in one.tokens] for one in shown.examples] == [
        ["the", " der"],
        ["the", "中", "\n"],
    ]
    assert [one.kind for one in shown.examples] == ["best", "sample"]
    assert [piece.activation for piece in shown.examples[0].tokens] == [0.0, 4.0]
    statistics = shown.statistics
    assert (statistics.count, statistics.density, statistics.max) == (10, 0.01, 4.0)
    assert statistics.mean == pytest.approx((5 * 0.5 + 3.0) / 6)
    assert sum(statistics.histogram.counts) == 6
    assert [one.text for one in statistics.top_tokens][:1] == [" der"]


def test_padding_and_repetitions_are_dropped_and_counted(target: Sessions, folder: Path) -> None:
    write(
        folder,
        "activations",
        [
            *ACTIVATIONS,
            activation(0, ["the", "the"], [0.0, 0.0]),
            activation(0, ["the", " der"], [0.0, 4.0], binContains=0.2),
        ],
    )

    report = import_neuronpedia(target, folder)

    counts = report.tables["activations"]
    assert (counts.read, counts.written, counts.known, counts.left_out) == (5, 3, 1, 1)
    with target() as session:
        rows = session.scalars(select(Evidence.examples).order_by(Evidence.feature_id)).all()
        assert [len(unpack_examples(row)) for row in rows][:3] == [2, 1, 0]


def test_one_text_of_many_features_is_one_document(target: Sessions, folder: Path) -> None:
    rows = [activation(i, ["the", " der"], [0.0, 1.0 + i]) for i in range(8)]
    write(folder, "activations", rows[:4])
    write(folder, "activations", rows[4:], number=1)

    import_neuronpedia(target, folder)

    with target() as session:
        for table in (Document, Context):
            assert session.scalar(select(func.count()).select_from(table)) == 1


def test_a_source_with_a_suffix_and_a_set_of_another_name_is_found_by_the_release(
    target: Sessions, folder: Path
) -> None:
    name = "1-qwenscope-res-32k__32k"
    other = folder.parent / name
    folder.rename(other)
    (other / "source.jsonl").write_text(json.dumps({"id": name, "modelId": "other-pt"}))
    for table, rows in (("features", FEATURES), ("activations", ACTIVATIONS)):
        write(other, table, [row | {"layer": name, "modelId": "other-pt"} for row in rows])
    write(other, "explanations", [EXPLANATIONS[0] | {"layer": name, "modelId": "other-pt"}])

    report = import_neuronpedia(target, other, release="SAE-Res-Tiny-Model-W1K-L0_8")

    assert report.refusals == []
    assert page(target).label.text == "German articles"


def test_nuls_become_spaces_as_its_own_importer_does(target: Sessions, folder: Path) -> None:
    write(folder, "explanations", [explanation(0, "a\x00b"), explanation(1, "a \\u0000 b")])

    report = import_neuronpedia(target, folder)

    assert report.refusals == []
    assert page(target, 0).label.text == "a b"
    assert page(target, 1).label.text == "a \\u0000 b"


@pytest.mark.parametrize(
    ("table", "row", "reason"),
    [
        ("features", feature("x"), "its index is not one of the SAE's 16 features"),
        ("features", feature(True), "its index is not one of the SAE's 16 features"),
        ("features", feature(3), "it is there twice"),
        ("features", feature(3, frac_nonzero="many"), "frac_nonzero is no finite number"),
        ("features", feature(3, frac_nonzero=2), "frac_nonzero is no share"),
        ("features", feature(3, freq_hist_data_bar_values=[1]), "not one height for each bar"),
        ("features", feature(3, layer="2-other"), "its layer is '2-other', and the source's"),
        ("features", '{"index": NaN}', "the line is not a JSON document"),
        ("features", "[1]", "the line is JSON, but not an object"),
        ("features", "[" * 100_000, "the line is not a JSON document"),
        ("activations", activation(0, ["the"], [1.0, 2.0]), "not one value for each token"),
        ("activations", activation(0, ["??"], [1.0]), r"token '\?\?' is not in the model's vocab"),
        ("activations", activation(0, [7], [1.0]), "its tokens are no list of texts"),  # type: ignore[list-item]
        ("activations", '{"index": 0, "tokens": ["the"], "values": [1e999]}', "no finite number"),
        ("explanations", explanation(0, "  "), "its description is no text"),
        ("explanations", explanation(99, "far"), "its index is not one of the SAE's 16"),
        ("explanations", explanation(0, None), "its description is no text"),  # type: ignore[arg-type]
    ],
)
def test_a_line_that_is_wrong_is_refused_with_its_reason_and_the_others_come_in(
    target: Sessions, folder: Path, table: str, row: Row | str, reason: str
) -> None:
    good: list[Row | str] = {
        "features": list(FEATURES),
        "activations": list(ACTIVATIONS),
        "explanations": list(EXPLANATIONS),
    }[table]  # type: ignore[assignment]
    write(folder, table, [row], number=1)

    report = import_neuronpedia(target, folder)

    [refusal] = report.refusals
    assert refusal.file == f"{SOURCE}/{table}/batch-1.jsonl.gz"
    assert refusal.row == 1
    assert re.search(reason, refusal.reason)
    assert report.tables[table].written == len(good)


def test_leaked_reasoning_comes_in_as_suspect_and_is_not_in_force(
    target: Sessions, folder: Path
) -> None:
    write(
        folder,
        "explanations",
        [explanation(0, "<think>Okay, so I need to"), explanation(1, "long " * 200)],
    )

    import_neuronpedia(target, folder)

    with target() as session:
        labels = session.execute(select(Label.status, Label.current, Label.provenance)).all()
    assert [(row.status, row.current) for row in labels] == [("suspect", False)] * 2
    assert "reasoning" in labels[0].provenance["import"]["suspect"]


def test_a_layer_with_a_collection_keeps_it_and_takes_the_labels(
    target: Sessions, folder: Path
) -> None:
    with target.begin() as session:
        sae = session.scalars(select(Sae).order_by(Sae.layer)).first()
        assert sae is not None
        run = make_run(session, [sae], make_corpus(session, ["own text"]))
        make_evidence(session, run, sae, 0, examples=make_examples([]))

    report = import_neuronpedia(target, folder)

    assert "has examples of its own" in report.notes[0]
    assert report.tables["activations"].left_out == 3
    with target() as session:
        assert session.scalar(select(func.count()).select_from(Evidence)) == 1
        assert session.scalar(select(func.count()).select_from(Label)) == 2


def test_a_dump_read_twice_adds_nothing_the_second_time(target: Sessions, folder: Path) -> None:
    import_neuronpedia(target, folder)

    again = import_neuronpedia(target, folder)

    assert (again.tables["explanations"].written, again.tables["explanations"].known) == (0, 2)
    with target() as session:
        assert session.scalar(select(func.count()).select_from(Label)) == 2
        assert session.scalar(select(func.count()).select_from(Evidence)) == 16


def test_what_we_wrote_comes_back_with_authors_methods_and_examples(
    source: Sessions, target: Sessions, tmp_path: Path
) -> None:
    with source() as session:
        export_neuronpedia(session, tmp_path / "ours")

    report = import_neuronpedia(target, tmp_path / "ours")

    assert report.refusals == []
    assert report.tables["explanations"].written == 6
    mine = page(target, 1).label
    assert (mine.text, mine.author, mine.source) == ("barking dogs", "ada", "import")
    here, there = page(source), page(target)
    assert len(there.examples) == len(here.examples) == 4
    assert [one.activation for one in there.examples] == [one.activation for one in here.examples]


def test_a_truncated_file_is_refused_before_anything_comes_in(
    target: Sessions, folder: Path
) -> None:
    path = folder / "activations/batch-0.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-20])

    with pytest.raises(InvalidInputError, match=r"is not a whole gzip file .*copy it anew"):
        import_neuronpedia(target, folder)
    assert_nothing_came_in(target)


def test_a_file_that_is_no_gzip_is_refused(target: Sessions, folder: Path) -> None:
    (folder / "features/batch-0.jsonl.gz").write_bytes(b"PK\x03\x04 a zip")

    with pytest.raises(InvalidInputError, match="is not a whole gzip file"):
        import_neuronpedia(target, folder)
    assert_nothing_came_in(target)


def test_a_file_that_unpacks_beyond_measure_is_refused(
    target: Sessions, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_lines, "SUSPICIOUS_BYTES", 4 << 20)
    (folder / "explanations/batch-0.jsonl.gz").write_bytes(gzip.compress(b"\n" * (8 << 20)))

    with pytest.raises(InvalidInputError, match="unpacks to more than 200 times its size"):
        import_neuronpedia(target, folder)
    assert_nothing_came_in(target)


def test_a_line_that_is_too_long_is_refused_and_not_held(
    target: Sessions, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_lines, "LONGEST_LINE", 3 << 20)
    long = json.dumps(explanation(3, "x" * (4 << 20)))
    write(folder, "explanations", [EXPLANATIONS[0], long, EXPLANATIONS[1]])

    report = import_neuronpedia(target, folder)

    assert [(one.row, one.reason) for one in report.refusals] == [
        (2, "the line is longer than 3 MiB")
    ]
    assert report.tables["explanations"].written == 2


def assert_nothing_came_in(factory: Sessions) -> None:
    with factory() as session:
        for table in (Evidence, Label, Document):
            assert session.scalar(select(func.count()).select_from(table)) == 0


def test_one_feature_beyond_the_sae_tells_that_it_is_another(
    target: Sessions, folder: Path
) -> None:
    write(folder, "features", [feature(3), feature("4000")])

    with pytest.raises(ConflictError, match="is for an SAE of 4,001 features"):
        import_neuronpedia(target, folder)


@pytest.mark.parametrize("width", [8, 32])
def test_a_source_of_another_width_is_another_sae(
    target: Sessions, folder: Path, width: int
) -> None:
    write(folder, "features", [feature(i) for i in range(width)])

    with pytest.raises(ConflictError, match=f"is for an SAE of {width} features, and layer 1"):
        import_neuronpedia(target, folder)


def test_a_release_that_is_not_here_is_asked_for(instance: Instance, folder: Path) -> None:
    with pytest.raises(NotFoundError, match="add the release with `scopebook add` first"):
        import_neuronpedia(instance(), folder)


def test_a_layer_that_is_not_here_is_named(target: Sessions, folder: Path) -> None:
    other = folder.parent / "7-res-w1k-l0_8"
    folder.rename(other)
    (other / "source.jsonl").unlink()

    with pytest.raises(NotFoundError, match=r"Layer 7 of .* is not registered here"):
        import_neuronpedia(target, other)


def test_a_folder_without_sources_is_named(target: Sessions, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="holds no source of Neuronpedia's layout"):
        import_neuronpedia(target, tmp_path)


@pytest.mark.parametrize("table", ["_write_features", "write_examples", "_write_explanations"])
def test_an_import_that_broke_off_goes_on_and_adds_nothing_twice(
    target: Sessions, folder: Path, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    write(folder, "activations", [activation(2, ["the"], [1.0])], number=1)
    write(folder, "explanations", [explanation(2, "the end")], number=1)
    monkeypatch.setattr(neuronpedia_in, "TOGETHER", 1)
    real, calls = getattr(neuronpedia_in, table), iter(range(2))

    def breaking(*arguments: Any) -> Any:
        done = real(*arguments)
        if next(calls, None) is not None:
            return done
        raise KeyboardInterrupt

    monkeypatch.setattr(neuronpedia_in, table, breaking)
    if table == "write_examples":
        calls = iter(range(1))
    with pytest.raises(KeyboardInterrupt):
        import_neuronpedia(target, folder)
    monkeypatch.setattr(neuronpedia_in, table, real)

    report = import_neuronpedia(target, folder)

    assert report.resumed
    counts = {name: (one.read, one.written) for name, one in report.tables.items()}
    assert counts == {"features": (16, 16), "activations": (4, 4), "explanations": (3, 3)}
    with target() as session:
        assert session.scalar(select(func.count()).select_from(Label)) == 3
        examples = session.scalars(select(Evidence.examples).order_by(Evidence.feature_id)).all()
        assert [len(unpack_examples(one)) for one in examples][:3] == [2, 1, 1]
        sae = session.scalars(select(Sae).order_by(Sae.layer)).first()
        assert sae is not None
        assert session.get_one(Evidence, (sae.current_run_id, feature_id(sae, 0))).contexts == 2
