"""Scans against plainer ways to count, against collections, and against each other."""

import io
import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import typer
from numpy.testing import assert_allclose
from sqlalchemy import select
from tests.api.test_client import ToTheApp
from tests.conftest import copy_template
from tests.makers import make_corpus
from tests.people import client_of
from tests.tiny_collections import (
    D_SAE,
    LAYERS,
    RELEASE,
    Tiny,
    ask_for_collection,
    do_all_steps,
    make_tiny,
)
from tests.tiny_scans import ask_for_scan, do_scan_steps, scan_of
from typer.testing import CliRunner

from scopebook import Client
from scopebook.artifacts import list_artifacts, open_artifact
from scopebook.commands import scans
from scopebook.db.label_tables import Label
from scopebook.db.sessions import Sessions, sessions, unit_of_work
from scopebook.db.tables import FEATURE_BITS, Context, Document, Evidence, Sae
from scopebook.embedded.postgres import EmbeddedPostgres
from scopebook.errors import NotFoundError
from scopebook.packing import unpack_ints
from scopebook.scan_files import read_features_page, read_hits_page
from scopebook.settings import Settings, settings, use_settings
from scopebook_workers.qwen.capture import capture_rows
from scopebook_workers.qwen.model import load_model
from scopebook_workers.sae.collect import find_sinks
from scopebook_workers.sae.encode import active_features
from scopebook_workers.sae.weights import read_converted

#: Answers in Chinese, one of them empty and two the same; the prompts are in English.
ANSWERS = [
    *("中国 " * 12, "中文 中国 中国 🎉", "", "中国 " * 9),
    *("中国 中文 " * 8, "中国 " * 9, "中文 中国 " * 7),
]
TALKS = [
    {"id": f"talk {i}", "prompt": f"the cat sat on the mat {i} and the dog ran", "response": text}
    for i, text in enumerate(ANSWERS)
]


@dataclass(frozen=True)
class Scanned:
    """A tiny release that was collected and with which the talks were scanned."""

    sessions: Sessions
    tiny: Tiny
    #: Of the fields prompt and response, with one feature watched.
    scan_id: int


WATCHED = "Tiny-Model/1-res-w1k-l0_8/3"


@pytest.fixture(scope="module")
def scanned(
    postgres: EmbeddedPostgres, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scanned]:
    """One database for all tests here: none of them changes what another looks at."""
    before = settings()
    copy_template(postgres, template, "scanned")
    folder = tmp_path_factory.mktemp("scanned")
    url = postgres.url("scanned")
    use_settings(Settings(database_url=url, data_dir=folder, broker_url=None))
    sessions.cache_clear()
    tiny = make_tiny(sessions(), folder)
    ask_for_collection(sessions())
    do_all_steps()
    fields = ["prompt", "response"]
    scan_id = ask_for_scan(sessions(), TALKS, fields=fields, fail_if=[f"{WATCHED} > 0.5"])
    do_scan_steps()
    yield Scanned(sessions(), tiny, scan_id)
    sessions().kw["bind"].dispose()
    use_settings(before)
    sessions.cache_clear()


def table_of(artifact: str | None) -> list[dict[str, Any]]:
    with open_artifact(artifact or "") as file:
        rows: list[dict[str, Any]] = pq.read_table(file).to_pylist()
    return rows


def plain_counts(
    scanned: Scanned, tokenisation_id: int
) -> dict[tuple[int, int], dict[int, list[tuple[float, int, int]]]]:
    """Return (activation, context, position) of each firing by layer and index, and document."""
    cpu = torch.device("cpu")
    model = load_model(scanned.tiny.model_path, cpu)
    saes = {layer: read_converted(path, cpu) for layer, path in scanned.tiny.sae_paths.items()}
    found: dict[tuple[int, int], dict[int, list[tuple[float, int, int]]]]
    found = defaultdict(lambda: defaultdict(list))
    with scanned.sessions() as session:
        contexts = session.scalars(
            select(Context).where(Context.tokenisation_id == tokenisation_id).order_by(Context.id)
        ).all()
    for context in contexts:
        ids = [unpack_ints(context.tokens)]
        residuals = capture_rows(model, list(LAYERS), ids, [0]).residuals
        for layer, sae in saes.items():
            sinks = find_sinks(residuals[layer], [context.n_tokens], 10.0)
            active = active_features(residuals[layer], sae)
            for token, feature, value in zip(
                *(column.tolist() for column in (active.token, active.feature, active.value)),
                strict=True,
            ):
                if token > 0 and not sinks[token]:
                    found[layer, feature][context.document_id].append((value, context.id, token))
    return found


def test_a_scan_counts_what_a_plain_loop_counts(scanned: Scanned) -> None:
    scan = scan_of(scanned.sessions, scanned.scan_id)

    wanted = plain_counts(scanned, scan.tokenisation_id)
    with scanned.sessions() as session:
        part_of = {row.id: row.tag for row in session.execute(select(Document.id, Document.tag))}
    rows = {
        (row["layer"], row["index"], row["part"]): row for row in table_of(scan.features_artifact)
    }
    assert len(rows) == len(LAYERS) * D_SAE * 3
    hits = table_of(scan.hits_artifact)
    for layer in LAYERS:
        for index in range(D_SAE):
            by_document = wanted[layer, index]
            for part in ("", "prompt", "response"):
                of_part = {d: f for d, f in by_document.items() if part in ("", part_of[d])}
                row = rows[layer, index, part]
                assert row["tokens"] == sum(len(fired) for fired in of_part.values())
                assert row["documents"] == len(of_part)
                fired = [value for firings in of_part.values() for value, _, _ in firings]
                assert_allclose(row["max"], max(fired, default=0.0), rtol=1e-4)
                assert_allclose(row["mean"], np.mean(fired) if fired else 0.0, rtol=1e-4)
    every = [hit for hit in hits if hit["complete"]]
    assert {hit["feature"] for hit in every} == {WATCHED}
    assert {hit["document_id"] for hit in every} == set(wanted[1, 3])
    for hit in hits:
        firings = wanted[int(hit["feature"].split("/")[1][0]), hit["feature_id"] % 2**FEATURE_BITS]
        fired_here = firings[hit["document_id"]]
        assert hit["tokens"] == len(fired_here)
        assert_allclose(hit["max"], max(fired_here)[0], rtol=1e-4)
        assert (hit["context_id"], hit["peak"]) in {place[1:] for place in fired_here}


def test_a_scan_of_the_reference_itself_finds_what_the_collection_found(scanned: Scanned) -> None:
    scan_id = ask_for_scan(scanned.sessions, "tiny", against="tiny")
    do_scan_steps()

    scan = scan_of(scanned.sessions, scan_id)

    with scanned.sessions() as session:
        counts = {
            row[0]: row[1] for row in session.execute(select(Evidence.feature_id, Evidence.count))
        }
    rows = table_of(scan.features_artifact)
    assert {row["feature_id"]: row["tokens"] for row in rows} == counts
    assert {row["feature_id"]: row["other_tokens"] for row in rows} == counts
    assert_allclose([row["log2"] for row in rows], 0, atol=1e-9)
    assert (scan.summary["over"], scan.summary["under"]) == ([], [])  # type: ignore[index]


def test_what_is_found_does_not_depend_on_how_the_text_was_cut(scanned: Scanned) -> None:
    before = settings()
    use_settings(before.model_copy(update={"shard_tokens": 1}))
    fields = ["prompt", "response"]
    cut_small = ask_for_scan(scanned.sessions, TALKS, fields=fields, fail_if=[f"{WATCHED} > 0.5"])
    do_scan_steps()
    use_settings(before)

    one, other = (scan_of(scanned.sessions, each) for each in (scanned.scan_id, cut_small))

    assert one.summary == other.summary
    assert table_of(one.features_artifact) == table_of(other.features_artifact)
    assert table_of(one.hits_artifact) == table_of(other.hits_artifact)
    assert one.corpus_id == other.corpus_id  # the same texts are kept once
    for scan in (one, other):
        assert list_artifacts(f"scans/{scan.id}") == [scan.features_artifact, scan.hits_artifact]


def test_what_fires_more_than_in_the_reference_comes_first(scanned: Scanned) -> None:
    with unit_of_work(scanned.sessions) as session:
        sae = session.scalars(select(Sae).where(Sae.layer == 1)).one()
        session.add_all(
            Label(
                feature_id=(sae.id << FEATURE_BITS) + index,
                sae_id=sae.id,
                text="Anything" if index % 2 else "anything ",
                source="person",
                method="test",
                provenance={},
                current=True,
            )
            for index in range(4, D_SAE)
        )
    scan_id = ask_for_scan(
        scanned.sessions,
        [{"text": "中国 " * 20 + "中文" * i} for i in range(12)],
        fail_if=["'ANYTHING' >= 1"],
    )
    do_scan_steps()

    summary: Any = scan_of(scanned.sessions, scan_id).summary

    lows = [row["low"] for row in summary["over"]]
    assert lows == sorted(lows, reverse=True)
    assert lows[0] > 0
    assert all(row["fdr"] <= 0.05 for row in summary["over"])
    assert all(row["high"] < 0 for row in summary["under"])
    best = summary["over"][0]["examples"][0]
    assert best["document"].startswith("record ")
    assert {"dense"} <= {flag for row in summary["flagged"] for flag in row["flags"]}
    [condition] = summary["conditions"]
    assert (condition["share"], condition["failed"]) == (1.0, True)
    assert [row["label"] for row in summary["concepts_over"] + summary["concepts_under"]] in (
        [],
        ["anything "],
        ["Anything"],
    )


def test_fields_are_parts_that_are_compared_and_empty_texts_are_counted(scanned: Scanned) -> None:
    scan = scan_of(scanned.sessions, scanned.scan_id)

    summary: Any = scan.summary
    prompt, response = summary["parts"]
    assert (prompt["name"], prompt["documents"], prompt["empty"]) == ("prompt", 7, 0)
    assert (response["name"], response["documents"], response["empty"]) == ("response", 7, 1)
    assert [row["document"] for row in summary["near_empty"]][:1] == ["talk 2 [response]"]
    languages = {row["language"]: row["documents"] for row in summary["languages"]}
    assert languages.keys() <= {"English", "German", "Chinese"}
    assert sum(languages.values()) + summary["languages_unknown"] == 14
    assert {"Chinese", "English"} <= languages.keys()
    [compared] = summary["compared"]
    assert (compared["one"], compared["other"]) == ("prompt", "response")
    assert compared["over_total"] > 0
    assert compared["over"][0]["rate"] > compared["over"][0]["other_rate"]


def test_features_and_hits_come_page_by_page(scanned: Scanned) -> None:
    scan = scan_of(scanned.sessions, scanned.scan_id)
    features, hits = scan.features_artifact or "", scan.hits_artifact or ""

    first, cursor = read_features_page(features, part="response", sort="share", limit=5)
    second, _ = read_features_page(features, part="response", sort="share", limit=5, cursor=cursor)
    everything, end = read_features_page(features, part="response", sort="share", limit=500)
    strongest, _ = read_hits_page(hits, feature_id=first[0]["feature_id"], limit=3)

    assert first + second == everything[:10]
    assert end is None
    assert [row["share"] for row in everything] == sorted(
        (row["share"] for row in everything), reverse=True
    )
    assert [hit["max"] for hit in strongest] == sorted(
        (hit["max"] for hit in strongest), reverse=True
    )
    assert {hit["feature"] for hit in strongest} == {first[0]["feature"]}


def test_a_corpus_without_a_collection_is_refused_with_the_command(scanned: Scanned) -> None:
    with scanned.sessions.begin() as session:
        make_corpus(session, ["never collected"], name="never")

    with pytest.raises(NotFoundError, match="scopebook collect SAE-Res-Tiny-Model-W1K-L0_5 never"):
        ask_for_scan(scanned.sessions, TALKS, fields=["prompt"], against="never")


def test_a_scan_is_asked_for_and_read_over_http(scanned: Scanned) -> None:
    with client_of(scanned.sessions) as app:
        client = Client(transport=ToTheApp(app))
        asked = client.ask_scan(
            RELEASE,
            texts=["中国 " * 20, "the cat", "中国 中文 " * 9] * 4,
            fail_if=[f"{WATCHED} > 1"],
        )
        do_scan_steps()
        scan = client.scan(asked["scan"]["id"])
        listed = [one["id"] for one in client.scans(limit=1)]
        features = list(client.scan_features(scan["id"], sort="share", limit=60))
        hits = list(client.scan_hits(scan["id"], feature=WATCHED))
        files = {
            form: client.export_scan(scan["id"], form=form) for form in ("parquet", "csv", "html")
        }
        [best, *_] = hits
        document = client.scan_document(scan["id"], best["document_id"])
        part = client.scan_document(scan["id"], best["document_id"], start=3, length=4)
        with scanned.sessions() as session:
            foreign = session.scalars(
                select(Document.id).where(
                    Document.corpus_id != scan_of(scanned.sessions, scan["id"]).corpus_id
                )
            ).first()
        missing = app.get(f"/api/scans/{scan['id']}/documents/{foreign}")
        none = app.get(f"/api/scans/{scan['id']}/hits")
        both = app.post("/api/scans", json={"release": RELEASE, "corpus": "tiny", "texts": ["a"]})

    summary = scan["summary"]
    assert summary is not None
    assert (scan["state"], scan["failed"], listed) == ("done", False, [scan["id"]])
    assert summary["documents"] == 12
    assert [row["share"] for row in features] == sorted(
        (row["share"] for row in features), reverse=True
    )
    assert all(hit["complete"] and hit["peak"] for hit in hits)
    assert len(hits) == summary["conditions"][0]["documents"]
    assert pq.read_table(io.BytesIO(files["parquet"])).num_rows == len(LAYERS) * D_SAE
    assert files["csv"].count(b"\n") >= len(LAYERS) * D_SAE + 1
    assert b"<svg" in files["html"]
    assert best["before"] + best["peak"] in document["text"]
    assert (document["name"], document["characters"]) == (best["document"], len(document["text"]))
    assert (part["start"], part["text"]) == (3, document["text"][3:7])
    assert f"has no document {foreign}" in missing.json()["detail"]
    assert (none.status_code, both.status_code) == (422, 422)


def test_the_command_ends_with_one_if_a_condition_holds(
    scanned: Scanned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def here(*, work: bool = False) -> Iterator[Sessions]:
        yield scanned.sessions

    def do_steps(factory: Sessions, job_id: int) -> None:
        do_scan_steps()

    monkeypatch.setattr(scans, "dictionary", here)
    monkeypatch.setattr(scans, "watch_job", do_steps)
    path, page = tmp_path / "talks.jsonl", tmp_path / "report.html"
    path.write_text("\n".join(map(json.dumps, TALKS)))
    given = [RELEASE, str(path), "--fields", "response", "--out", str(page), "--json"]
    app = typer.Typer()
    app.command()(scans.scan)

    ended = CliRunner().invoke(app, [*given, "--fail-if", f"{WATCHED} >= 0.5"])
    passed = CliRunner().invoke(app, [*given, "--fail-if", f"{WATCHED} < 0.5"])

    assert (ended.exit_code, passed.exit_code) == (1, 0)
    assert "fires in 6 of 7 documents (85.71%), as >= 0.5 says." in ended.stderr
    report = json.loads(ended.stdout)
    assert (report["failed"], report["parts"]) == (True, ["response"])
    assert "Scan of talks.jsonl" in page.read_text()
