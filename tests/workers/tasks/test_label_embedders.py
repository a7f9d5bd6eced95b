"""Senses found by other embedders than the one that needs no download."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydantic import SecretStr
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from tests.drills.workers import LoneWorker, until
from tests.embeddings_server import Embeddings, serve_embeddings
from tests.makers import feature_id, make_corpus, make_evidence, make_release, make_run
from tests.tiny_collections import LAYERS, ask_for_collection, do_all_steps, make_tiny
from tests.workers.labeling.planted import GERMAN
from tests.workers.tasks.test_label import N, examples, make_dictionary

from scopebook.db.jobs import Job
from scopebook.db.label_tables import Labeling, Sense, WindowVector
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.db.tables import Context, Run, Sae
from scopebook.jobs import LABEL_SAE, LABEL_SAE_BY_MODEL
from scopebook.labeling_methods import KEYWORDS
from scopebook.labels import current_labels, senses_of
from scopebook.settings import settings, use_settings
from scopebook.steps import NewStep, create_job
from scopebook_workers.claims import work_off
from scopebook_workers.labeling.encoding import text_keys
from scopebook_workers.labeling.server_encoder import BATCH as REQUEST
from scopebook_workers.tasks.kept_windows import BATCH

Dictionary = tuple[Sae, Run]


class Scripts(Embeddings):
    """Puts a text beside those of its script, apart from a few letters of its own."""

    def vector(self, text: str) -> list[float]:
        cyrillic = sum("\u0400" <= char < "\u0500" for char in text)
        chinese = sum(char >= "\u3000" for char in text)
        latin = sum(char.isascii() and char.isalpha() for char in text)
        return [float(cyrillic), float(chinese), float(latin), text.count("a") + 0.1]


class Gate(Scripts):
    """Answers the first question, then one batch of windows, and no more until it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = threading.Event()

    def vector(self, text: str) -> list[float]:
        if len(self.asked) > 1 + BATCH // REQUEST:
            self.opened.wait(120)
        return super().vector(text)


@pytest.fixture
def gate() -> Iterator[Gate]:
    state = Gate()
    with serve_embeddings(state):
        yield state
        state.opened.set()


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
    job_id = ask(sessions, dictionary, name, model, **wanted)
    work_off(LABEL_SAE)
    work_off(LABEL_SAE_BY_MODEL)
    with sessions() as session:
        return session.get_one(Job, job_id)


def ask(
    sessions: Sessions, dictionary: Dictionary, name: str, model: str | None, **wanted: object
) -> int:
    sae, run = dictionary
    kind = LABEL_SAE if "://" in name else LABEL_SAE_BY_MODEL
    embedder = {"name": name, "model": model}
    parameters = {"sae_id": sae.id, "run_id": run.id, "embedder": embedder, **wanted}
    with unit_of_work(sessions) as session:
        step = NewStep(kind=kind, stage=0, title="Label", parameters=parameters)
        return create_job(session, "test", "Test", [step]).id


def make_many(session: Session, *, features: int) -> Dictionary:
    """Add an SAE whose features each fire in texts of their own."""
    [sae] = make_release(session, layers=[1])
    rng = np.random.default_rng(1)
    texts = [" ".join(rng.choice(GERMAN, 40)) for _ in range(features * N)]
    run = make_run(session, [sae], make_corpus(session, texts))
    contexts = session.scalars(select(Context.id).order_by(Context.document_id)).all()
    for index in range(features):
        firing = contexts[index * N : (index + 1) * N]
        make_evidence(session, run, sae, index, examples=examples(firing))
    return sae, run


def state_of(sessions: Sessions, job_id: int) -> str:
    with sessions() as session:
        return session.get_one(Job, job_id).state


def count_vectors(sessions: Sessions) -> int:
    with sessions() as session:
        return session.execute(select(func.count()).select_from(WindowVector)).scalar_one()


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


def test_windows_that_were_embedded_are_not_sent_again(
    worker: Sessions, dictionary: Dictionary, server: Embeddings
) -> None:
    label(worker, dictionary, server.url, "m")
    sent = server.texts[1:]

    label(worker, dictionary, server.url, "m", anew=True)

    with worker() as session:
        first, second = labelings(session)
        outcomes = {
            labeling.id: [
                (sense.feature_id, sense.members, sense.medoid, sense.held_out)
                for sense in session.scalars(
                    select(Sense)
                    .where(Sense.labeling_id == labeling.id)
                    .order_by(Sense.feature_id, Sense.ordinal)
                )
            ]
            for labeling in (first, second)
        }
    assert len(sent) == len(set(sent)) > 3 * N
    assert len(server.texts) == len(sent) + 2
    assert outcomes[first.id] == outcomes[second.id]
    assert first.parameters == second.parameters


def test_a_killed_worker_goes_on_from_the_windows_that_were_embedded(
    worker: Sessions, gate: Gate, tmp_path: Path
) -> None:
    with unit_of_work(worker) as session:
        dictionary = make_many(session, features=16)
    first, second = (LoneWorker(tmp_path / f"{name}.log") for name in ("first", "second"))
    job_id = ask(worker, dictionary, gate.url, "m")
    try:
        first.start(kind=LABEL_SAE, lease_s=2)
        until(lambda: count_vectors(worker) >= BATCH)
        first.kill()
        with worker() as session:
            kept = set(session.scalars(select(WindowVector.window)))
        before = len(gate.texts)
        gate.opened.set()
        second.start(kind=LABEL_SAE, lease_s=2)
        until(lambda: state_of(worker, job_id) in ("done", "failed"))
    finally:
        first.kill()
        second.kill()

    again = [text for text in gate.texts[before:] if text_keys([text])[0] in kept]
    assert state_of(worker, job_id) == "done"
    assert BATCH <= len(kept) < count_vectors(worker)
    assert again == []


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


def test_the_models_own_residual_finds_senses_and_is_kept(worker: Sessions, tmp_path: Path) -> None:
    make_tiny(worker, tmp_path)
    run_id = ask_for_collection(worker)
    do_all_steps()
    with worker() as session:
        run = session.get_one(Run, run_id)
        sae = session.scalars(select(Sae).where(Sae.layer == LAYERS[0])).one()

    first = label(worker, (sae, run), "residual")
    vectors = count_vectors(worker)
    again = label(worker, (sae, run), "residual", anew=True)
    named = label(worker, (sae, run), "residual", anew=True, features=[3])

    assert [job.error for job in (first, again, named)] == [None] * 3
    assert 0 < vectors == count_vectors(worker)
    with worker() as session:
        found = labelings(session)
    embedders = {labeling.parameters["embedder"] for labeling in found}
    assert len(found) == 3
    [embedder] = embedders
    assert embedder.startswith("residual of ")
    assert f"after layer {LAYERS[0]}" in embedder
    assert {labeling.parameters["threshold"] for labeling in found} == {
        found[0].parameters["threshold"]
    }
