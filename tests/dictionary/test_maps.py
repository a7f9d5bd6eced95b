"""Maps: who may ask for one, what is told of it, and when it no longer fits the labels."""

from datetime import datetime, timedelta
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from sqlalchemy.orm import Session
from tests.makers import (
    make_corpus,
    make_embedding,
    make_label,
    make_labeling,
    make_origin,
    make_release,
    make_run,
)

from scopebook.db.jobs import Job, Step
from scopebook.db.label_tables import LabelChoice
from scopebook.db.map_tables import FeatureMap
from scopebook.db.tables import Sae
from scopebook.errors import ConflictError, InvalidInputError, NotFoundError, UnavailableError
from scopebook.jobs import EMBED_LABELS, MAP_RELEASE
from scopebook.map_points import BYTES, MapPoints, flag_bits, unpack_points
from scopebook.maps import labels_state, publish_map, read_map_state, read_points, request_map

RELEASE = "SAE-Res-Tiny-Model-W1K-L0_8"


def make_labelled(session: Session) -> list[Sae]:
    saes = make_release(session, layers=[1, 2])
    for sae in saes:
        make_label(session, sae, 3, "names of rivers")
    return saes


def make_map(session: Session, saes: list[Sae], **changes: Any) -> FeatureMap:
    label = make_label(session, saes[0], 7, "names of kings")
    values = {
        "release_id": saes[0].release_id,
        "embedder_id": make_embedding(session, label, [1.0, 0.0]),
        "layers": [sae.layer for sae in saes],
        "asked_layers": None,
        "labels_state": labels_state(session, [sae.id for sae in saes]),
        "parameters": {},
        "regions": [
            {"name": "names", "x": 0.5, "y": 0, "size": 3, "features": [[label.feature_id, "a"]]}
        ],
        "points": 3,
        "artifact": "maps/gone.bin",
    }
    drawn = FeatureMap(**(values | changes))
    publish_map(session, drawn)
    return drawn


def is_stale(session: Session) -> bool:
    drawn = read_map_state(session, RELEASE).map
    assert drawn is not None
    return drawn.stale


def changed_at(session: Session) -> datetime | None:
    drawn = read_map_state(session, RELEASE).map
    assert drawn is not None
    return drawn.changed_at


def test_a_map_is_asked_for_as_a_job_that_embeds_first(session: Session) -> None:
    saes = make_labelled(session)

    job_id = request_map(session, RELEASE)

    steps = session.query(Step).filter_by(job_id=job_id).order_by(Step.stage).all()
    assert [step.kind for step in steps] == [EMBED_LABELS, MAP_RELEASE]
    assert steps[0].parameters == {"sae_ids": [sae.id for sae in saes]}
    assert steps[1].parameters == {"release": RELEASE, "layers": None}


def test_two_maps_of_a_release_are_not_drawn_at_once(session: Session) -> None:
    make_labelled(session)
    job_id = request_map(session, RELEASE)

    with pytest.raises(ConflictError, match=f"Job {job_id} draws the map of {RELEASE}"):
        request_map(session, RELEASE)

    session.get_one(Job, job_id).state = "failed"
    assert request_map(session, RELEASE) > job_id


def test_a_release_without_labels_has_no_map(session: Session) -> None:
    make_release(session)

    with pytest.raises(InvalidInputError, match=f"label it with `scopebook label {RELEASE}`"):
        request_map(session, RELEASE)
    with pytest.raises(NotFoundError, match="Layer 9 is not registered"):
        request_map(session, RELEASE, [9])


def test_the_state_tells_of_labels_jobs_and_the_newest_map(session: Session) -> None:
    saes = make_labelled(session)
    before = read_map_state(session, RELEASE)
    job_id = request_map(session, RELEASE)
    make_map(session, saes)

    after = read_map_state(session, RELEASE)

    assert (before.labelled, before.job, before.map) == (2, None, None)
    assert after.labelled == 3
    assert after.job is not None
    assert after.job.id == job_id
    assert after.map is not None
    assert (after.map.layers, after.map.points, after.map.embedder) == ([1, 2], 3, "test")
    [region] = after.map.regions
    assert [(one.id, one.text) for one in region.features] == [("Tiny-Model/1-res-w1k-l0_8/7", "a")]


def test_a_map_is_stale_once_another_label_is_in_force(session: Session) -> None:
    saes = make_labelled(session)
    make_map(session, saes)
    assert not is_stale(session)

    make_label(session, saes[1], 9, "a draft", current=False)
    assert not is_stale(session)

    make_label(session, saes[1], 9, "names of ships")
    assert is_stale(session)


def test_a_job_that_failed_is_told_until_a_map_is_drawn(session: Session) -> None:
    saes = make_labelled(session)
    job_id = request_map(session, RELEASE)
    job = session.get_one(Job, job_id)

    def told() -> tuple[int, str] | None:
        session.flush()
        found = read_map_state(session, RELEASE).job
        return None if found is None else (found.id, found.state)

    job.state = "failed"
    assert told() == (job_id, "failed")
    drawn = make_map(session, saes)
    assert told() == (job_id, "failed")
    # What failed came after the map was there.
    drawn.job_id = job_id
    assert told() is None
    for state in ("done", "cancelled"):
        session.get_one(Job, request_map(session, RELEASE)).state = state
        assert told() is None


def test_a_stale_map_says_when_the_first_label_came_after_it(session: Session) -> None:
    saes = make_labelled(session)
    drawn = make_map(session, saes)
    assert changed_at(session) is None

    label = make_label(session, saes[1], 9, "names of ships")
    assert (is_stale(session), changed_at(session)) == (True, None)

    for hours in (-1, 2, 1):
        session.add(
            LabelChoice(
                label_id=label.id,
                chosen_by="test-1",
                created_at=drawn.created_at + timedelta(hours=hours),
            )
        )
    session.flush()
    assert changed_at(session) == drawn.created_at + timedelta(hours=1)


def test_a_region_tells_which_of_its_features_a_model_gave_no_label(session: Session) -> None:
    saes = make_labelled(session)
    run = make_run(session, saes, make_corpus(session, ["text"]))
    labeling = make_labeling(session, saes[0], run.id, source="llm")
    make_origin(session, labeling, 7, status="abstained")
    make_map(session, saes)

    drawn = read_map_state(session, RELEASE).map

    assert drawn is not None
    [feature] = drawn.regions[0].features
    assert feature.unlabelled is not None
    assert feature.unlabelled.status == "abstained"


def test_a_map_of_some_layers_does_not_mind_the_others(session: Session) -> None:
    saes = make_labelled(session)
    drawn = make_map(session, saes, layers=[1], asked_layers=[1])
    drawn.labels_state = labels_state(session, [saes[0].id])
    session.flush()

    make_label(session, saes[1], 9, "names of ships")
    assert not is_stale(session)

    make_label(session, saes[0], 9, "names of ships")
    assert is_stale(session)


def test_points_survive_being_packed() -> None:
    n = 5
    rng = np.random.default_rng(0)
    points = MapPoints(
        x=rng.normal(size=n).astype(np.float32),
        y=rng.normal(size=n).astype(np.float32),
        index=rng.integers(2**20, size=n).astype(np.uint32),
        **{
            name: rng.integers(255, size=n).astype(np.uint8)
            for name in ("layer", "source", "flags", "region")
        },
    )
    file = BytesIO()

    points.write(file)

    packed = file.getvalue()
    assert len(packed) == n * BYTES == n * 16
    for name, column in vars(unpack_points(packed)).items():
        assert column.tolist() == getattr(points, name).tolist(), name


def test_flags_are_bits_and_unknown_ones_are_left_out() -> None:
    assert flag_bits(["dead", "token", "later"]) == 0b101
    assert flag_bits(None) == 0


def test_points_that_are_not_there_say_what_to_do(session: Session) -> None:
    drawn = make_map(session, make_labelled(session))

    with pytest.raises(UnavailableError, match="draw the map again"):
        read_points(session, drawn.id)
    for map_id in (drawn.id + 1, -1, 2**40):
        with pytest.raises(NotFoundError, match=f"There is no map {map_id}"):
            read_points(session, map_id)
