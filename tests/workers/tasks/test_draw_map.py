from collections.abc import Iterator

import numpy as np
import pytest
from sqlalchemy import select
from tests.embeddings_server import Embeddings, serve_embeddings
from tests.makers import (
    make_corpus,
    make_evidence,
    make_examples,
    make_label,
    make_release,
    make_run,
)

from scopebook.artifacts import list_artifacts
from scopebook.db.jobs import Job
from scopebook.db.map_tables import FeatureMap
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.jobs import EMBED_LABELS, MAP_RELEASE
from scopebook.map_points import FLAGS, SOURCES, MapPoints, unpack_points
from scopebook.maps import MapReport, read_map_state, read_points, request_map
from scopebook.settings import settings, use_settings
from scopebook_workers.claims import work_off
from scopebook_workers.tasks import embed

RELEASE = "SAE-Res-Tiny-Model-W1K-L0_8"
WORDS = ["aaaa river", "bbbb law", "cccc verse"]


@pytest.fixture
def labelled(worker: Sessions) -> Iterator[Sessions]:
    """Two layers of forty features; of each, thirty have a label that a server embeds."""
    with serve_embeddings(Embeddings(dimension=8)) as answers:
        update = {"embeddings_url": answers.url, "embeddings_model": "m"}
        use_settings(settings().model_copy(update=update))
        embed._server.cache_clear()
        with unit_of_work(worker) as session:
            saes = make_release(session, layers=[1, 2], d_sae=40)
            run = make_run(session, saes, make_corpus(session, ["text"]))
            make_evidence(
                session, run, saes[0], 4, examples=make_examples([1]), flags=["dense", "token"]
            )
            for sae in saes:
                for index in range(30):
                    source = "person" if index == 5 else "keywords"
                    text = f"{WORDS[index % 3]} {index % 10}"
                    make_label(session, sae, index, text, source=source)
        yield worker
        embed._server.cache_clear()


def draw(sessions: Sessions, layers: list[int] | None = None) -> MapReport:
    with unit_of_work(sessions) as session:
        job_id = request_map(session, RELEASE, layers)
    work_off(EMBED_LABELS)
    assert work_off(MAP_RELEASE) == 1
    with sessions() as session:
        job = session.get_one(Job, job_id)
        assert (job.state, job.error) == ("done", None)
        drawn = read_map_state(session, RELEASE).map
    assert drawn is not None
    assert drawn.job_id == job_id
    return drawn


def points_of(sessions: Sessions, map_id: int) -> MapPoints:
    with sessions() as session:
        return unpack_points(read_points(session, map_id))


def test_every_labelled_feature_has_its_place_layer_source_and_flags(labelled: Sessions) -> None:
    drawn = draw(labelled)

    points = points_of(labelled, drawn.id)
    assert (drawn.points, drawn.layers, drawn.embedder[:4]) == (60, [1, 2], "m at")
    assert points.index.tolist() == [*range(30), *range(30)]
    assert points.layer.tolist() == [0] * 30 + [1] * 30
    assert np.abs(np.stack([points.x, points.y])).max() <= 1
    person = SOURCES.index("person")
    assert np.flatnonzero(points.source == person).tolist() == [5, 35]
    [flagged] = np.flatnonzero(points.flags)
    named = [flag for bit, flag in enumerate(FLAGS) if points.flags[flagged] >> bit & 1]
    assert (flagged, named) == (4, ["dense", "token"])


def test_regions_count_their_features_and_show_some_with_their_labels(labelled: Sessions) -> None:
    drawn = draw(labelled)

    points = points_of(labelled, drawn.id)
    assert [region.size for region in drawn.regions] == np.bincount(points.region).tolist()
    assert len({region.name for region in drawn.regions}) == len(drawn.regions)
    first = drawn.regions[0].features[0]
    layer, index = first.id.split("/")[1].split("-")[0], int(first.id.split("/")[-1])
    at = drawn.layers.index(int(layer)) * 30 + index
    assert points.region[at] == 0
    assert first.text == f"{WORDS[index % 3]} {index % 10}"


def test_the_same_labels_are_drawn_the_same_again(labelled: Sessions) -> None:
    first, second = draw(labelled), draw(labelled)

    with labelled() as session:
        assert read_points(session, first.id) == read_points(session, second.id)
    assert first.regions == second.regions


def test_a_map_of_one_layer_shows_that_layer(labelled: Sessions) -> None:
    drawn = draw(labelled, [2])

    assert (drawn.layers, drawn.points) == ([2], 30)


def test_of_many_maps_the_newest_two_are_kept_and_their_points_too(labelled: Sessions) -> None:
    maps = [draw(labelled) for _ in range(4)]

    with labelled() as session:
        kept = session.scalars(select(FeatureMap.id).order_by(FeatureMap.id)).all()
    assert kept == [drawn.id for drawn in maps[-2:]]
    # The third attempt's are forgotten by the next one to draw.
    assert len(list_artifacts("maps")) <= 3
    assert len(points_of(labelled, kept[0]).x) == 60


def test_labels_that_lost_their_vectors_fail_the_job_with_one_sentence(labelled: Sessions) -> None:
    with unit_of_work(labelled) as session:
        job_id = request_map(session, RELEASE)
    work_off(EMBED_LABELS)
    use_settings(settings().model_copy(update={"embeddings_model": "another"}))

    work_off(MAP_RELEASE)

    with labelled() as session:
        job = session.get_one(Job, job_id)
        assert job.state == "failed"
        assert str(job.error).startswith("No embedder is ready")
        assert session.scalars(select(FeatureMap)).all() == []
    assert list_artifacts("maps") == []
