"""Scans against plainer ways to count, against collections, and against each other."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from numpy.testing import assert_allclose
from sqlalchemy import select
from tests.tiny_collections import (
    D_SAE,
    LAYERS,
    Tiny,
    ask_for_collection,
    do_all_steps,
    make_tiny,
)
from tests.tiny_scans import ask_for_scan, do_scan_steps, scan_of

from scopebook.artifacts import list_artifacts, open_artifact
from scopebook.db.jobs import Job
from scopebook.db.label_tables import Label
from scopebook.db.scan_tables import Scan
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.db.tables import FEATURE_BITS, Context, Document, Evidence, Sae
from scopebook.errors import NotFoundError
from scopebook.packing import unpack_ints
from scopebook.scan_files import read_features_page, read_hits_page
from scopebook.settings import settings, use_settings
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


@pytest.fixture
def tiny(worker: Sessions, tmp_path: Path) -> Tiny:
    """A tiny release with a collection that scans are held against."""
    made = make_tiny(worker, tmp_path)
    ask_for_collection(worker)
    do_all_steps()
    return made


def table_of(artifact: str | None) -> list[dict[str, Any]]:
    with open_artifact(artifact or "") as file:
        rows: list[dict[str, Any]] = pq.read_table(file).to_pylist()
    return rows


def plain_counts(
    sessions: Sessions, tiny: Tiny, tokenisation_id: int
) -> dict[tuple[int, int], dict[int, list[tuple[float, int, int]]]]:
    """Return (activation, context, position) of each firing by layer and index, and document."""
    cpu = torch.device("cpu")
    model = load_model(tiny.model_path, cpu)
    saes = {layer: read_converted(path, cpu) for layer, path in tiny.sae_paths.items()}
    found: dict[tuple[int, int], dict[int, list[tuple[float, int, int]]]]
    found = defaultdict(lambda: defaultdict(list))
    with sessions() as session:
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


def test_a_scan_counts_what_a_plain_loop_counts(worker: Sessions, tiny: Tiny) -> None:
    watched = "Tiny-Model/1-res-w1k-l0_8/3 > 0.5"
    scan_id = ask_for_scan(worker, TALKS, fields=["prompt", "response"], fail_if=[watched])
    do_scan_steps()

    scan = scan_of(worker, scan_id)

    wanted = plain_counts(worker, tiny, scan.tokenisation_id)
    with worker() as session:
        part_of = dict(session.execute(select(Document.id, Document.tag)).tuples().all())
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
    assert {hit["feature"] for hit in every} == {"Tiny-Model/1-res-w1k-l0_8/3"}
    assert {hit["document_id"] for hit in every} == set(wanted[1, 3])
    for hit in hits:
        firings = wanted[int(hit["feature"].split("/")[1][0]), hit["feature_id"] % 2**FEATURE_BITS]
        fired_here = firings[hit["document_id"]]
        assert hit["tokens"] == len(fired_here)
        assert_allclose(hit["max"], max(fired_here)[0], rtol=1e-4)
        assert (hit["context_id"], hit["peak"]) in {place[1:] for place in fired_here}


def test_a_scan_of_the_reference_itself_finds_what_the_collection_found(
    worker: Sessions, tiny: Tiny
) -> None:
    scan_id = ask_for_scan(worker, "tiny", against="tiny")
    do_scan_steps()

    scan = scan_of(worker, scan_id)

    with worker() as session:
        counts = dict(session.execute(select(Evidence.feature_id, Evidence.count)).tuples().all())
    rows = table_of(scan.features_artifact)
    assert {row["feature_id"]: row["tokens"] for row in rows} == counts
    assert {row["feature_id"]: row["other_tokens"] for row in rows} == counts
    assert_allclose([row["log2"] for row in rows], 0, atol=1e-9)
    assert (scan.summary["over"], scan.summary["under"]) == ([], [])  # type: ignore[index]


def test_what_is_found_does_not_depend_on_how_the_text_was_cut(
    worker: Sessions, tiny: Tiny
) -> None:
    found = []
    for shard_tokens in (1, 10**6):
        use_settings(settings().model_copy(update={"shard_tokens": shard_tokens}))
        scan_id = ask_for_scan(worker, TALKS, fields=["prompt", "response"])
        do_scan_steps()
        scan = scan_of(worker, scan_id)
        found.append((scan.summary, table_of(scan.features_artifact), table_of(scan.hits_artifact)))

    assert found[0] == found[1]


def test_what_fires_more_than_in_the_reference_comes_first(worker: Sessions, tiny: Tiny) -> None:
    with unit_of_work(worker) as session:
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
        worker,
        [{"text": "中国 " * 20 + "中文" * i} for i in range(12)],
        fail_if=["'ANYTHING' >= 1"],
    )
    do_scan_steps()

    summary: Any = scan_of(worker, scan_id).summary

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


def test_fields_are_parts_that_are_compared_and_empty_texts_are_counted(
    worker: Sessions, tiny: Tiny
) -> None:
    scan_id = ask_for_scan(worker, TALKS, fields=["prompt", "response"])
    do_scan_steps()

    scan = scan_of(worker, scan_id)

    summary: Any = scan.summary
    prompt, response = summary["parts"]
    assert (prompt["name"], prompt["documents"], prompt["empty"]) == ("prompt", 7, 0)
    assert (response["name"], response["documents"], response["empty"]) == ("response", 7, 1)
    assert [row["document"] for row in summary["near_empty"]][:1] == ["talk 2 [response]"]
    [compared] = summary["compared"]
    assert (compared["one"], compared["other"]) == ("prompt", "response")
    assert compared["over_total"] > 0
    assert compared["under_total"] > 0
    assert compared["over"][0]["rate"] > compared["over"][0]["other_rate"]


def test_features_and_hits_come_page_by_page(worker: Sessions, tiny: Tiny) -> None:
    scan_id = ask_for_scan(worker, TALKS, fields=["prompt", "response"])
    do_scan_steps()
    scan = scan_of(worker, scan_id)
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


def test_only_the_results_are_left_and_the_same_text_is_kept_once(
    worker: Sessions, tiny: Tiny
) -> None:
    first, second = (ask_for_scan(worker, TALKS, fields=["response"]) for _ in range(2))
    do_scan_steps()

    with worker() as session:
        scans = session.scalars(select(Scan).order_by(Scan.id)).all()
        states = session.scalars(select(Job.state).where(Job.kind == "scan")).all()
    assert states == ["done", "done"]
    assert [scan.id for scan in scans] == [first, second]
    assert scans[0].corpus_id == scans[1].corpus_id
    for scan in scans:
        assert list_artifacts(f"scans/{scan.id}") == [scan.features_artifact, scan.hits_artifact]


def test_a_release_without_a_collection_is_refused_with_the_command(
    worker: Sessions, tmp_path: Path
) -> None:
    make_tiny(worker, tmp_path)

    with pytest.raises(NotFoundError, match="scopebook collect SAE-Res-Tiny-Model-W1K-L0_5 CORPUS"):
        ask_for_scan(worker, TALKS, fields=["prompt"])
