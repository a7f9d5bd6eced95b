"""Data sets are read by a process of its own, whose environment names the hub."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_server import DatasetHub, dataset_server

#: Reads each source and prints what came of it; retries without waiting.
_READER = """
import json, sys, time
time.sleep = lambda _seconds: None
from scopebook.errors import ScopebookError
from scopebook.text_sources import read_texts
from scopebook.texts import Reading
results = []
for source, reading in json.loads(sys.argv[1]):
    try:
        found = [vars(one) for one in read_texts(source, Reading(**reading))]
        results.append({"found": found})
    except ScopebookError as error:
        results.append({"error": type(error).__name__, "sentence": str(error)})
print(json.dumps([results, "torch" in sys.modules]))
"""


def write_datasets(root: Path) -> None:
    plain = root / "owner/plain/data"
    plain.mkdir(parents=True)
    for part in range(2):
        texts = [f"text {part}.{row}" for row in range(500)]
        columns = {"text": texts, "language": ["en"] * 500, "n": list(range(500))}
        pq.write_table(pa.table(columns), plain / f"train-0000{part}-of-00002.parquet")
    lines = root / "owner/lines"
    lines.mkdir()
    full = {"text": "full", "id": "x7", "tag": "law", "language": "en", "title": "A title",
            "source": "https://example.org", "licence": "CC0"}  # fmt: skip
    train = [full, {**full, "text": None}]
    (lines / "train.jsonl").write_text("".join(json.dumps(record) + "\n" for record in train))
    (lines / "test.jsonl").write_text(json.dumps({**full, "text": "z"}) + "\n")
    several = root / "owner/several"
    several.mkdir()
    (several / "README.md").write_text(
        "---\nconfigs:\n- config_name: one\n  data_files: one.jsonl\n"
        "- config_name: two\n  data_files: two.jsonl\n---\n"
    )
    for name in ("one", "two"):
        (several / f"{name}.jsonl").write_text(json.dumps({"body": f"of {name}"}) + "\n")
    (root / "owner/empty").mkdir()
    (root / "owner/empty/README.md").write_text("nothing here\n")
    (root / "owner/broken").mkdir()
    (root / "owner/broken/train.parquet").write_bytes(b"PAR1 this is none PAR1")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatasetHub]:
    root = tmp_path_factory.mktemp("datasets")
    write_datasets(root)
    with dataset_server(root) as served:
        yield served


@pytest.fixture(autouse=True)
def _whole(hub: DatasetHub) -> Iterator[None]:
    """Mend what a test broke."""
    yield
    hub.broken = None
    for broken in (hub.cuts, hub.gated, hub.private):
        broken.clear()


def read(
    hub_url: str, home: Path, *sources: tuple[str, dict[str, object]], **environment: str
) -> tuple[list[dict[str, object]], bool]:
    done = subprocess.run(
        [sys.executable, "-c", _READER, json.dumps(sources)],
        env={
            **{name: value for name, value in os.environ.items() if name != "HF_TOKEN"},
            **{"HF_ENDPOINT": hub_url, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0"},
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results, torch = json.loads(done.stdout)
    return results, torch


def sentences(results: list[dict[str, object]]) -> list[str]:
    return [f"{result['error']}: {result['sentence']}" for result in results]


def test_records_are_streamed_with_what_is_known_of_them(hub: DatasetHub, tmp_path: Path) -> None:
    (parquet, some, lines, test, config), torch = read(
        hub.url,
        tmp_path,
        ("hf:owner/plain", {}),
        ("hf:owner/plain", {"limit": 3}),
        ("hf:owner/lines", {}),
        ("hf:owner/lines", {"split": "test"}),
        ("hf:owner/several", {"config": "two", "text_field": "body"}),
    )

    texts = [f"text {part}.{row}" for part in range(2) for row in range(500)]
    assert [one["text"] for one in parquet["found"]] == texts
    assert [one["text"] for one in some["found"]] == texts[:3]
    assert lines["found"] == [
        {"name": "x7", "text": "full", "tag": "law", "language": "en", "title": "A title",
         "source": "https://example.org", "licence": "CC0"},
        {"where": "row 2", "reason": "the field 'text' holds nothing instead of text"},
    ]  # fmt: skip
    assert [one["text"] for one in test["found"]] == ["z"]
    assert [one["text"] for one in config["found"]] == ["of two"]
    assert not torch


def test_a_wrong_choice_is_answered_with_those_there_are(hub: DatasetHub, tmp_path: Path) -> None:
    results, _ = read(
        hub.url,
        tmp_path,
        ("hf:owner/unknown", {}),
        ("hf:not an id", {}),
        ("hf:owner/plain", {"split": "test"}),
        ("hf:owner/several", {}),
        ("hf:owner/several", {"config": "three"}),
        ("hf:owner/plain", {"text_field": "body"}),
        ("hf:owner/several", {"config": "one"}),
        ("hf:owner/empty", {}),
        ("hf:owner/broken", {}),
    )

    expected = [
        f"NotFoundError: datasets/owner/unknown does not exist at {hub.url} or is private: check",
        "InvalidInputError: 'datasets/not an id' is not a repository id: expected owner/name",
        "InvalidInputError: hf:owner/plain has no split 'test' but 'train'; name one by --split.",
        "InvalidInputError: hf:owner/several has several configs; name one of 'one', 'two' by",
        "InvalidInputError: hf:owner/several has no config 'three'; name one of 'one', 'two' by",
        "InvalidInputError: hf:owner/plain has no field 'body' but 'text', 'language', 'n'; name",
        "InvalidInputError: hf:owner/several has no field 'text' but 'body'; name the one that",
        "InvalidInputError: hf:owner/empty cannot be read as a data set (",
        "InvalidInputError: hf:owner/broken cannot be read as a data set (",
    ]
    for sentence, beginning in zip(sentences(results), expected, strict=True):
        assert sentence.startswith(beginning), sentence
        assert sentence.endswith("."), sentence
        assert "\n" not in sentence


def test_a_token_opens_what_is_gated_or_private(hub: DatasetHub, tmp_path: Path) -> None:
    hub.gated["owner/plain"] = hub.private["owner/lines"] = "right"
    sources: list[tuple[str, dict[str, object]]] = [("hf:owner/plain", {}), ("hf:owner/lines", {})]

    refused, _ = read(hub.url, tmp_path, *sources)
    opened, _ = read(hub.url, tmp_path, *sources, HF_TOKEN="right")

    gated, private = sentences(refused)
    assert gated.startswith(f"HubError: hf:owner/plain is gated: accept its terms at {hub.url}/")
    assert private.startswith(f"HubError: {hub.url} does not let you read datasets/owner/lines")
    assert [len(result["found"]) for result in opened] == [1000, 2]  # type: ignore[arg-type]


def test_a_transfer_that_keeps_breaking_off_is_one_sentence(
    hub: DatasetHub, tmp_path: Path
) -> None:
    hub.cuts["train-00001-of-00002.parquet"] = 100
    hub.cuts["train.jsonl"] = 20

    results, _ = read(hub.url, tmp_path, ("hf:owner/plain", {}), ("hf:owner/lines", {}))

    for name, sentence in zip(("plain", "lines"), sentences(results), strict=True):
        assert sentence.startswith(f"HubError: the connection to {hub.url} broke off while ")
        assert f"hf:owner/{name} was read: run the same command again" in sentence


def test_a_hub_that_is_down_or_broken_is_named(hub: DatasetHub, tmp_path: Path) -> None:
    hub.broken = 500

    broken, _ = read(hub.url, tmp_path, ("hf:owner/plain", {}))
    down, _ = read("http://127.0.0.1:9", tmp_path, ("hf:owner/plain", {}))

    assert f"HubError: {hub.url} answered 500 for datasets/owner/plain" in sentences(broken)[0]
    assert "HubError: http://127.0.0.1:9 cannot be reached for datasets" in sentences(down)[0]


def test_offline_reads_a_snapshot_of_the_cache_or_says_how_to_go_on(
    hub: DatasetHub, tmp_path: Path
) -> None:
    missing, _ = read(hub.url, tmp_path, ("hf:owner/plain", {}), HF_HUB_OFFLINE="1")
    commit = hub.commit("owner/lines")
    cache = tmp_path / "hub/datasets--owner--lines"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs/main").write_text(commit)
    (cache / "snapshots" / commit).mkdir(parents=True)
    for path in hub.files("owner/lines"):
        (cache / "snapshots" / commit / path.name).write_bytes(path.read_bytes())

    cached, _ = read(hub.url, tmp_path, ("hf:owner/lines", {"split": "test"}), HF_HUB_OFFLINE="1")

    assert "not in the local cache and the hub is switched off" in sentences(missing)[0]
    assert [one["text"] for one in cached[0]["found"]] == ["z"]  # type: ignore[attr-defined]
