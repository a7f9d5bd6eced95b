"""Senses found by other embedders than the one that needs no download."""

from collections.abc import Iterator

import pytest
from pydantic import SecretStr
from sqlalchemy import select
from sqlalchemy.orm import Session
from tests.embeddings_server import Embeddings, serve_embeddings
from tests.makers import feature_id
from tests.workers.tasks.test_label import N, make_dictionary

from scopebook.db.jobs import Job
from scopebook.db.label_tables import Labeling
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.db.tables import Run, Sae
from scopebook.jobs import LABEL_SAE, LABEL_SAE_BY_MODEL
from scopebook.labeling_methods import KEYWORDS
from scopebook.labels import current_labels, senses_of
from scopebook.settings import settings, use_settings
from scopebook.steps import NewStep, create_job
from scopebook_workers.claims import work_off

Dictionary = tuple[Sae, Run]


class Scripts(Embeddings):
    """Puts a text beside those of its script, apart from a few letters of its own."""

    def vector(self, text: str) -> list[float]:
        cyrillic = sum("\u0400" <= char < "\u0500" for char in text)
        chinese = sum(char >= "\u3000" for char in text)
        latin = sum(char.isascii() and char.isalpha() for char in text)
        return [float(cyrillic), float(chinese), float(latin), text.count("a") + 0.1]


@pytest.fixture
def dictionary(worker: Sessions) -> Dictionary:
    with unit_of_work(worker) as session:
        return make_dictionary(session)


@pytest.fixture
def server() -> Iterator[Embeddings]:
    with serve_embeddings(Scripts()) as state:
        yield state


def label(
    sessions: Sessions,
    dictionary: Dictionary,
    name: str,
    model: str | None = None,
    **wanted: object,
) -> Job:
    sae, run = dictionary
    kind = LABEL_SAE if "://" in name else LABEL_SAE_BY_MODEL
    parameters = {
        **{"sae_id": sae.id, "run_id": run.id, "embedder": {"name": name, "model": model}},
        **wanted,
    }
    with unit_of_work(sessions) as session:
        step = NewStep(kind=kind, stage=0, title="Label", parameters=parameters)
        job_id = create_job(session, "test", "Test", [step]).id
    work_off(kind)
    with sessions() as session:
        return session.get_one(Job, job_id)


def labelings(session: Session) -> list[Labeling]:
    return list(session.scalars(select(Labeling).order_by(Labeling.id)))


def test_a_servers_vectors_find_the_senses_and_the_labeling_says_so(
    worker: Sessions, dictionary: Dictionary, server: Embeddings
) -> None:
    sae, run = dictionary

    job = label(worker, dictionary, server.url, "m")

    assert (job.state, job.error) == ("done", None)
    with worker() as session:
        [labeling] = labelings(session)
        senses = senses_of(session, feature_id(sae, 4), run.id)
        labels = current_labels(session, [feature_id(sae, index) for index in range(5)])
    assert labeling.method == KEYWORDS
    assert labeling.parameters["embedder"] == f"m at {server.url}/embeddings, 4 numbers"
    assert labeling.parameters["asked_embedder"] == {"name": server.url, "model": "m"}
    chinese, russian = sorted((sense.members for sense in senses), key=min)
    assert set(chinese) < set(range(N))
    assert set(russian) < set(range(N, 2 * N))
    assert "Chinese text" in labels[feature_id(sae, 0)].text


def test_the_same_embedder_does_nothing_and_another_labels_anew(
    worker: Sessions, dictionary: Dictionary, server: Embeddings
) -> None:
    label(worker, dictionary, server.url, "m")
    asked = len(server.texts)

    label(worker, dictionary, server.url, "m")
    once = len(server.texts)
    label(worker, dictionary, server.url, "another")
    label(worker, dictionary, server.url, "m", anew=True)

    with worker() as session:
        found = labelings(session)
    # A server is asked for how many numbers its vectors have.
    assert once == asked + 1
    assert [labeling.parameters["asked_embedder"]["model"] for labeling in found] == [
        *("m", "another", "m")
    ]
    assert found[0].sha256 == found[2].sha256 != found[1].sha256


def test_named_features_get_the_same_vectors_and_threshold(
    worker: Sessions, dictionary: Dictionary, server: Embeddings
) -> None:
    sae, run = dictionary
    label(worker, dictionary, server.url, "m")
    with worker() as session:
        before = senses_of(session, feature_id(sae, 4), run.id)

    label(worker, dictionary, server.url, "m", anew=True, features=[4])

    with worker() as session:
        whole, named = labelings(session)
        after = senses_of(session, feature_id(sae, 4), run.id)
    for name in ("embedder", "threshold", "sample_windows", "asked_embedder"):
        assert named.parameters[name] == whole.parameters[name]
    assert named.parameters["features"] == [4]
    assert [sense.members for sense in after] == [sense.members for sense in before]


def test_a_key_goes_to_the_server_it_is_meant_for_alone(
    worker: Sessions, dictionary: Dictionary, server: Embeddings
) -> None:
    key = SecretStr("s3cret")
    update = {"window_embedder_url": f"{server.url}/", "window_embedder_api_key": key}
    use_settings(settings().model_copy(update=update))
    with serve_embeddings(Scripts()) as other:
        label(worker, dictionary, server.url, "m")
        label(worker, dictionary, other.url, "m")

    assert set(server.keys) == {"Bearer s3cret"}
    assert set(other.keys) == {None}


def test_a_server_that_refuses_fails_the_job_with_a_sentence(
    worker: Sessions, dictionary: Dictionary, server: Embeddings
) -> None:
    server.status = 401

    job = label(worker, dictionary, server.url, "m")

    assert job.state == "failed"
    assert "does not accept the key" in (job.error or "")
    with worker() as session:
        assert labelings(session) == []


def test_a_sentence_transformers_model_finds_the_senses(
    worker: Sessions, dictionary: Dictionary
) -> None:
    sae, run = dictionary

    job = label(worker, dictionary, "all-MiniLM-L6-v2")

    assert (job.state, job.error) == ("done", None)
    with worker() as session:
        [labeling] = labelings(session)
        senses = senses_of(session, feature_id(sae, 4), run.id)
    assert labeling.parameters["embedder"].startswith("all-MiniLM-L6-v2@53aa51172d142c89")
    assert len(senses) == 2


def test_a_model_that_is_none_fails_the_job_with_a_sentence(
    worker: Sessions, dictionary: Dictionary
) -> None:
    job = label(worker, dictionary, "/nowhere/model")

    assert job.state == "failed"
    assert "folder /nowhere/model does not exist" in (job.error or "")
