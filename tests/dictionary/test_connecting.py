"""What is connected to is waited for as long as was set, and not for ever."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from sqlalchemy.exc import OperationalError

from scopebook import notices
from scopebook.brokers import SENDER_S, WORKER_S, knock, transport_options
from scopebook.db.connecting import PATIENCE, patient
from scopebook.db.sessions import KEPT_CONNECTIONS, MOST_CONNECTIONS, sessions_for
from scopebook.jobs import COLLECT_SHARD
from scopebook.settings import Settings, settings, use_settings


def test_every_connection_to_the_database_has_limits(database_url: str) -> None:
    engine = sessions_for(database_url).kw["bind"]

    with engine.connect() as connection:
        set_ones = connection.connection.driver_connection.info.get_parameters()
    engine.dispose()

    assert set_ones | PATIENCE == set_ones


def test_most_connections_of_a_peak_are_kept(database_url: str) -> None:
    engine = sessions_for(database_url).kw["bind"]

    def peak(size: int) -> set[int]:
        """Return the server's processes behind so many connections at once."""
        with ExitStack() as all_of:
            held = [all_of.enter_context(engine.connect()) for _ in range(size)]
            return {one.connection.driver_connection.info.backend_pid for one in held}

    first, then = peak(MOST_CONNECTIONS), peak(MOST_CONNECTIONS)

    assert len(first) == len(then) == MOST_CONNECTIONS
    assert len(first & then) == KEPT_CONNECTIONS
    assert peak(KEPT_CONNECTIONS) == peak(KEPT_CONNECTIONS) <= then
    engine.dispose()


def test_what_the_address_of_a_database_says_itself_counts() -> None:
    url = patient("postgresql+psycopg://ada:x@db/scopebook?tcp_user_timeout=9&sslmode=require")

    assert url.query["tcp_user_timeout"] == "9"
    assert url.query["sslmode"] == "require"
    assert url.query["connect_timeout"] == PATIENCE["connect_timeout"]
    assert url.password == "x"


@pytest.fixture
def silent() -> Iterator[int]:
    """A port on which somebody listens and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_database_that_says_nothing_is_given_up(silent: int) -> None:
    engine = sessions_for(f"postgresql+psycopg://a:b@127.0.0.1:{silent}/c?connect_timeout=2")

    with pytest.raises(OperationalError, match="timeout"):
        engine.kw["bind"].connect()


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_says_nothing_is_given_up(silent: int, scheme: str) -> None:
    with pytest.raises(Exception, match=r"(?i)timed? ?out"):
        knock(f"{scheme}://a:b@127.0.0.1:{silent}", within_s=1)


def test_a_silent_rabbitmq_costs_a_sender_its_notice_and_no_more(
    silent: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = settings()
    monkeypatch.setattr(notices, "SENDER_S", 0.5)
    use_settings(Settings(broker_url=f"amqp://a:geheim@127.0.0.1:{silent}//"))
    notices._sender.cache_clear()

    notices.send(COLLECT_SHARD)

    use_settings(before)
    notices._sender.cache_clear()
    assert "No notice for shard.collect left" in caplog.text
    assert "geheim" not in caplog.text


@pytest.mark.parametrize("url", ["redis://h", "rediss://h", "amqp://h", "amqps://h"])
def test_who_sends_waits_for_less_than_who_works(url: str) -> None:
    def unacknowledged_ms(patience_s: float) -> int:
        options = transport_options(url, patience_s=patience_s)
        kernel = options.get("socket_settings") or options["socket_keepalive_options"]
        return int(kernel[socket.TCP_USER_TIMEOUT])

    assert unacknowledged_ms(SENDER_S) == 1000 * SENDER_S
    assert unacknowledged_ms(WORKER_S) == 1000 * WORKER_S
