import logging
import math
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select, table
from sqlalchemy.orm import Session
from tests.embeddings_server import Embeddings, serve_embeddings
from tests.makers import make_label, make_release

from scopebook import embedding
from scopebook.db.label_tables import LabelEmbedding
from scopebook.db.sessions import Sessions, sessions_for, unit_of_work
from scopebook.db.tables import Release
from scopebook.embedders import (
    count_without_vector,
    current_embedder,
    embedder_name,
    register_embedder,
    server_sha256,
    store_vectors,
    texts_without_vector,
)
from scopebook.embedding import load_export, query_embedder
from scopebook.embeddings_server import EmbeddingsServer
from scopebook.errors import UnavailableError
from scopebook.settings import Settings, settings, use_settings


@pytest.fixture
def server() -> Iterator[Embeddings]:
    with serve_embeddings() as answers:
        yield answers


@pytest.fixture(autouse=True)
def settings_kept() -> Iterator[None]:
    before = settings()
    yield
    use_settings(before)


def test_a_server_gives_unit_vectors_in_the_order_of_the_texts(server: Embeddings) -> None:
    texts = ["legal text", "中文", ""]

    vectors = EmbeddingsServer(server.url, model="m").embed(texts)

    for vector, text in zip(vectors, texts, strict=True):
        raw = server.vector(text)
        assert vector == pytest.approx([number / math.hypot(*raw) for number in raw])
    assert server.asked == [{"input": texts, "encoding_format": "float", "model": "m"}]


def test_the_key_is_sent_and_never_logged(
    server: Embeddings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.status = 401

    with pytest.raises(UnavailableError, match="answered 401") as refused:
        EmbeddingsServer(server.url, api_key=SecretStr("s3cret")).embed(["x"])

    assert server.keys == ["Bearer s3cret"]
    assert "s3cret" not in caplog.text + str(refused.value)


def test_a_server_that_runs_another_model_is_named(server: Embeddings) -> None:
    with pytest.raises(UnavailableError, match=r"answered with 8 numbers.*have 384"):
        EmbeddingsServer(server.url).embed(["x"], dimension=384)


def test_a_server_that_is_down_is_named() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://user:pass@127.0.0.1:{free.getsockname()[1]}/v1"

    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:\d+/v1/embeddings cannot") as refused:
        EmbeddingsServer(url).embed(["x"])

    assert "pass" not in str(refused.value)


def test_a_server_that_hangs_is_given_up() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"

        with pytest.raises(UnavailableError, match="did not answer in time"):
            EmbeddingsServer(url, timeout_s=0.2).embed(["x"])


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b'{"data": []}',
        b'{"data": [{"index": 0, "embedding": "abc"}]}',
        b'{"data": [{"index": 0, "embedding": [0.0, 0.0]}]}',
        b'{"data": [{"index": 0, "embedding": [NaN]}]}',
        b'{"data": [{"index": "first", "embedding": [1.0]}]}',
    ],
)
def test_an_answer_of_another_shape_is_refused(server: Embeddings, body: bytes) -> None:
    server.body = body

    with pytest.raises(UnavailableError, match="must speak the OpenAI protocol"):
        EmbeddingsServer(server.url).embed(["x"])


def test_queries_are_embedded_by_the_settings_server(
    server: Embeddings, sessions: Sessions
) -> None:
    chosen = Settings(embeddings_url=server.url, embeddings_model="m")
    use_settings(chosen)
    with unit_of_work(sessions) as session:
        embedder = register_embedder(
            session,
            name=embedder_name(chosen),
            sha256=server_sha256(chosen),
            dimension=8,
            artifact=None,
        )

    vector = query_embedder(sessions)("legal text")

    assert vector is not None
    assert vector.embedder_id == embedder.id
    assert len(vector.vector) == 8


def test_an_embedder_that_is_ready_later_is_found(
    server: Embeddings, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = Settings(embeddings_url=server.url, embeddings_model="m")
    use_settings(chosen)
    embed = query_embedder(sessions)
    now = 1_000.0
    monkeypatch.setattr(embedding.time, "monotonic", lambda: now)

    before = embed("legal text")
    first = _register(sessions, chosen, sha256="1" * 64)
    at_once = embed("legal text")
    second = _register(sessions, chosen, sha256="2" * 64)
    still = embed("legal text")
    now += 1.5
    later = embed("legal text")

    assert before is None
    assert [one and one.embedder_id for one in (at_once, still, later)] == [first, first, second]


def _register(sessions: Sessions, chosen: Settings, *, sha256: str) -> int:
    with unit_of_work(sessions) as session:
        return register_embedder(
            session, name=embedder_name(chosen), sha256=sha256, dimension=8, artifact=None
        ).id


def test_without_an_embedder_nothing_is_embedded(sessions: Sessions) -> None:
    use_settings(Settings(embedder="not-exported"))

    vector = query_embedder(sessions)("legal text")

    assert vector is None


def test_a_damaged_export_is_named(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "model.onnx").write_bytes(b"no model")

    with pytest.raises(UnavailableError, match=f"export in {tmp_path} cannot be read"):
        load_export(str(tmp_path))


def test_the_newest_weights_of_a_name_are_the_current_ones(session: Session) -> None:
    chosen = Settings(embedder="/models/mine")
    for sha256 in ("1" * 64, "2" * 64):
        register_embedder(
            session, name="/models/mine", sha256=sha256, dimension=4, artifact="/nowhere"
        )

    embedder = current_embedder(session, chosen)

    assert embedder is not None
    assert embedder.sha256 == "2" * 64


def test_an_embedder_that_is_not_exported_is_not_ready(session: Session) -> None:
    register_embedder(session, name="mine", sha256="1" * 64, dimension=4, artifact=None)

    assert current_embedder(session, Settings(embedder="mine")) is None


def test_equal_texts_share_a_vector_and_old_labels_get_none(session: Session) -> None:
    first, second = make_release(session)
    embedder = register_embedder(session, name="e", sha256="1" * 64, dimension=2, artifact="/x")
    make_label(session, first, 0, "rivers")
    make_label(session, second, 0, "rivers")
    make_label(session, first, 1, "old", current=False)
    saes = [first.id, second.id]
    texts = texts_without_vector(session, embedder.id, saes, limit=10)

    stored = store_vectors(session, embedder.id, saes, {"rivers": [0.6, 0.8]})

    assert texts == ["rivers"]
    assert stored == 2
    assert count_without_vector(session, embedder.id, saes) == 0
    assert store_vectors(session, embedder.id, saes, {"rivers": [0.6, 0.8]}) == 0
    vectors = session.scalars(select(LabelEmbedding.embedding)).all()
    assert [list(vector) for vector in vectors] == [pytest.approx([0.6, 0.8], abs=1e-3)] * 2


def test_looking_the_embedder_up_forgets_no_prepared_statement(database_url: str) -> None:
    factory = sessions_for(database_url)
    prepared = select(func.count()).select_from(table("pg_prepared_statements"))
    embed = query_embedder(factory)

    for _ in range(10):  # psycopg prepares what it has sent five times
        with unit_of_work(factory) as session:
            session.execute(select(Release.id))
    embed("a query")

    with unit_of_work(factory) as session:
        assert session.scalar(prepared) == 1
    factory.kw["bind"].dispose()
