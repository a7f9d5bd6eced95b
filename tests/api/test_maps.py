"""The routes of maps, over a database of the test's own."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from makers import make_embedding, make_label, make_release
from scopebook.artifacts import write_artifact
from scopebook.db.map_tables import FeatureMap
from scopebook.db.sessions import Sessions
from scopebook.map_points import COLUMNS, MapPoints
from scopebook.maps import labels_state
from scopebook.settings import Settings, settings, use_settings

RELEASE = "SAE-Res-Tiny-Model-W1K-L0_8"


@pytest.fixture
def drawn(sessions: Sessions, tmp_path: Path) -> Iterator[int]:
    """A map of two features; its id."""
    before = settings()
    use_settings(Settings(data_dir=tmp_path))
    column = np.arange(2)
    points = MapPoints(*(column.astype(kind) for _, kind in COLUMNS))
    name = write_artifact("maps/test.bin", points.write)
    with sessions.begin() as session:
        saes = make_release(session)
        label = make_label(session, saes[0], 7, "names of rivers")
        feature_map = FeatureMap(
            release_id=saes[0].release_id,
            embedder_id=make_embedding(session, label, [1.0, 0.0]),
            layers=[1],
            labels_state=labels_state(session, [sae.id for sae in saes]),
            parameters={"method": "umap"},
            regions=[
                {
                    "name": "rivers",
                    "x": 0,
                    "y": 0.5,
                    "size": 2,
                    "features": [[label.feature_id, "a"]],
                }
            ],
            points=2,
            artifact=name,
        )
        session.add(feature_map)
        session.flush()
        map_id = feature_map.id
    yield map_id
    use_settings(before)


def test_the_newest_map_comes_with_its_regions(client: TestClient, drawn: int) -> None:
    answer = client.get("/api/maps/latest", params={"release": RELEASE}).json()

    assert (answer["release"], answer["labelled"], answer["job"]) == (RELEASE, 1, None)
    assert (answer["map"]["id"], answer["map"]["stale"]) == (drawn, False)
    assert answer["map"]["changed_at"] is None
    [region] = answer["map"]["regions"]
    assert region["features"] == [
        {"id": "Tiny-Model/1-res-w1k-l0_8/7", "text": "a", "unlabelled": None}
    ]


def test_points_come_as_bytes(client: TestClient, drawn: int) -> None:
    answer = client.get(f"/api/maps/{drawn}/points")

    assert answer.headers["content-type"] == "application/octet-stream"
    assert len(answer.content) == 2 * 16
    assert np.frombuffer(answer.content, "<f4", 4).tolist() == [0, 1, 0, 1]


def test_a_map_is_drawn_by_a_job_and_not_twice_at_once(client: TestClient, drawn: int) -> None:
    first = client.post("/api/maps", json={"release": RELEASE})
    second = client.post("/api/maps", json={"release": RELEASE})
    state = client.get("/api/maps/latest", params={"release": RELEASE}).json()

    assert (first.status_code, second.status_code) == (202, 409)
    assert first.json()["title"] == f"Map of {RELEASE}"
    assert state["job"]["id"] == first.json()["id"]
    assert f"Job {first.json()['id']}" in second.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/api/maps/latest", None, 422),
        ("GET", "/api/maps/latest?release=nothing", None, 404),
        ("GET", "/api/maps/999/points", None, 404),
        ("GET", "/api/maps/99999999999/points", None, 404),
        ("GET", "/api/maps/x/points", None, 422),
        ("POST", "/api/maps", {"release": "nothing"}, 404),
        ("POST", "/api/maps", {"release": RELEASE, "layers": [9]}, 404),
    ],
)
@pytest.mark.usefixtures("drawn")
def test_what_is_not_there_is_a_problem_in_one_sentence(
    client: TestClient, method: str, path: str, body: object, status: int
) -> None:
    answer = client.request(method, path, json=body)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.json()["detail"]) > 20
