"""Contrasts of features that really fire: a tiny model, a collection, a panel."""

from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select
from tests.tiny_collections import ask_for_collection, do_all_steps, make_tiny
from tests.workers.tasks.test_label import label
from tests.workers.tasks.test_panel import compute

from scopebook.db.label_tables import Labeling, LabelOutcome
from scopebook.db.sessions import Sessions
from scopebook.db.tables import Context, Document, Evidence, Run, Sae
from scopebook.packing import unpack_examples
from scopebook_workers.labeling.material import Material
from scopebook_workers.labeling.sampling import held_out_sides, may_contrast
from scopebook_workers.tasks.materials import MaterialReader

WORDS = ("the", "cat", "sat", "on", "dog", "ran", "der", "Hund", "und", "die", "Katze", "中文")


def texts() -> list[tuple[str, str | None]]:
    """Return short documents of one context each, none alike."""
    rng = np.random.default_rng(0)
    return [(" ".join(rng.choice(WORDS, 6)) + f" {n}", None) for n in range(150)]


@pytest.fixture
def run_id(worker: Sessions, tmp_path: Path) -> int:
    """A collection that keeps every context which fires a feature, sorted into senses."""
    make_tiny(worker, tmp_path, texts())
    run_id = ask_for_collection(worker, sample=500)
    do_all_steps()
    with worker() as session:
        sae = session.scalars(select(Sae).order_by(Sae.layer)).first()
        assert sae is not None
        run = session.get_one(Run, run_id)
    label(worker, sae, run)
    return run_id


def read(sessions: Sessions) -> dict[int, Material]:
    with sessions() as session:
        base = session.scalars(select(Labeling)).one()
        eligible = session.scalars(
            select(LabelOutcome.feature_id).where(LabelOutcome.status == "ok")
        ).all()
        return MaterialReader(base).read(session, eligible)


def test_contrasts_fire_nothing_and_nobody_who_scores_sees_them(
    worker: Sessions, run_id: int
) -> None:
    compute(worker, run_id, 10_000)

    materials = read(worker)

    with worker() as session:
        fired = {
            row.feature_id: set(unpack_examples(row.examples).context_id.tolist())
            for row in session.scalars(select(Evidence).where(Evidence.run_id == run_id))
        }
        hashes = {
            row.id: int.from_bytes(row.sha256[:8])
            for row in session.execute(
                select(Context.id, Document.sha256).join(
                    Document, Document.id == Context.document_id
                )
            )
        }
    shown = [
        (key, quiet.passage.id)
        for key, material in materials.items()
        for quiet in material.contrasts
    ]
    # So that each claim below speaks of many: some features fire nearly everywhere.
    assert len(shown) > 30
    assert not [pair for pair in shown if pair[1] in fired[pair[0]]]
    assert all(may_contrast(hashes[context]) for _, context in shown)
    for material in materials.values():
        sides = zip(material.firings, held_out_sides(material.firings), strict=True)
        held_out = {firing.passage.document_id for firing, side in sides if side}
        assert not held_out & {quiet.passage.document_id for quiet in material.contrasts}


def test_contrasts_are_the_same_each_time_and_none_without_a_panel(
    worker: Sessions, run_id: int
) -> None:
    bare = read(worker)
    compute(worker, run_id, 10_000)

    first, second = read(worker), read(worker)

    assert not any(material.contrasts for material in bare.values())
    for key, material in first.items():
        pairs = [(quiet.passage.id, quiet.center) for quiet in material.contrasts]
        assert pairs == [(q.passage.id, q.center) for q in second[key].contrasts]
