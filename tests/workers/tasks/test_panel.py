from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select
from tests.tiny_collections import D_SAE, ask_for_collection, do_all_steps, make_tiny

from scopebook.artifacts import open_artifact
from scopebook.db.label_tables import CoFiring, Panel
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.db.tables import Context, Evidence, Run, Sae
from scopebook.feature_page import read_feature
from scopebook.features import list_features
from scopebook.jobs import COMPUTE_PANEL
from scopebook.packing import unpack_examples
from scopebook.release_names import parse_feature_id
from scopebook.search_filters import Filters
from scopebook.steps import NewStep, create_job
from scopebook_workers.claims import work_off


def compute(sessions: Sessions, run_id: int, contexts: int) -> dict[int, dict[str, Any]]:
    """Return the arrays of each SAE's panel."""
    with unit_of_work(sessions) as session:
        parameters = {"run_id": run_id, "contexts": contexts}
        step = NewStep(kind=COMPUTE_PANEL, stage=0, title="Panel", parameters=parameters)
        create_job(session, "test", "Test", [step])
    work_off(COMPUTE_PANEL)
    with sessions() as session:
        panels = session.scalars(select(Panel).where(Panel.run_id == run_id)).all()
    found = {}
    for panel in panels:
        with open_artifact(panel.artifact) as file, np.load(file) as arrays:
            found[panel.sae_id] = dict(arrays)
        assert len(found[panel.sae_id]["context_ids"]) == panel.contexts
    return found


def test_a_panel_of_everything_says_of_each_feature_what_the_run_has_found(
    worker: Sessions, tmp_path: Path
) -> None:
    make_tiny(worker, tmp_path)
    # So many that every context which fires a feature is among its examples.
    run_id = ask_for_collection(worker, sample=500)
    do_all_steps()

    panels = compute(worker, run_id, 10_000)

    with worker() as session:
        run = session.get_one(Run, run_id)
        known = session.scalars(select(Context.id).where(Context.n_tokens > 1)).all()
        saes = session.scalars(select(Sae.id)).all()
        evidence = {
            row.feature_id: unpack_examples(row.examples)
            for row in session.scalars(select(Evidence).where(Evidence.run_id == run_id))
        }
    assert set(panels) == set(saes)
    for sae_id, panel in panels.items():
        assert panel["context_ids"].tolist() == sorted(known)
        for index in range(D_SAE):
            rows = slice(panel["starts"][index], panel["starts"][index + 1])
            examples = evidence[sae_id << 20 | index]
            order = np.argsort(examples.context_id, kind="stable")
            ids = panel["context_ids"][panel["contexts"][rows]]
            assert ids.tolist() == examples.context_id[order].tolist()
            np.testing.assert_array_equal(panel["peaks"][rows], examples.peak[order])
            np.testing.assert_allclose(
                panel["activations"][rows], examples.activation[order], rtol=1e-5
            )
    assert run.tokens_seen


def test_a_panel_says_which_features_fire_together(worker: Sessions, tmp_path: Path) -> None:
    make_tiny(worker, tmp_path)
    run_id = ask_for_collection(worker)
    do_all_steps()
    with worker() as session:
        [first, *_] = list_features(session, Filters(layers=(1,)))[0]
        assert read_feature(session, parse_feature_id(first.id)).co_firing is None

    panels = compute(worker, run_id, 10_000)

    with worker() as session:
        counts = {
            row.feature_id: row.count
            for row in session.scalars(select(Evidence).where(Evidence.run_id == run_id))
        }
        fires = {row.feature_id: row.fires for row in session.scalars(select(CoFiring))}
        assert fires == {feature_id: n for feature_id, n in counts.items() if n}
        found = read_feature(session, parse_feature_id(first.id)).co_firing
        listed = list_features(session, Filters())[0]
        views = [read_feature(session, parse_feature_id(one.id)).co_firing for one in listed]
    assert found is not None
    assert found.contexts == len(next(iter(panels.values()))["context_ids"])
    assert any(view and view.partners for view in views)


def test_a_panel_is_drawn_by_the_texts_alone_and_computed_again_in_place(
    worker: Sessions, tmp_path: Path
) -> None:
    make_tiny(worker, tmp_path)
    run_id = ask_for_collection(worker)
    do_all_steps()

    first, second = compute(worker, run_id, 7), compute(worker, run_id, 7)

    everything = compute(worker, run_id, 10_000)
    for sae_id, panel in first.items():
        assert len(panel["context_ids"]) == 7
        assert set(panel["context_ids"]) < set(everything[sae_id]["context_ids"])
        assert panel["context_ids"].tolist() != everything[sae_id]["context_ids"][:7].tolist()
        for name, array in panel.items():
            np.testing.assert_array_equal(array, second[sae_id][name])


def test_a_panel_leaves_out_what_the_run_has_not_read(worker: Sessions, tmp_path: Path) -> None:
    make_tiny(worker, tmp_path)
    run_id = ask_for_collection(worker, max_tokens=60)
    do_all_steps()

    panels = compute(worker, run_id, 10_000)

    with worker() as session:
        read = session.get_one(Run, run_id).contexts_seen
        ids = session.scalars(select(Context.id).order_by(Context.id).limit(read)).all()
    for panel in panels.values():
        assert set(panel["context_ids"].tolist()) <= set(ids)
