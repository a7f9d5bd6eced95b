import os
import signal
from pathlib import Path

import pytest
import redis
from tests.dictionary.embedded.processes import wait_for

from scopebook.embedded import binaries
from scopebook.embedded.binaries import valkey_server
from scopebook.embedded.valkey import EmbeddedValkey
from scopebook.errors import InstanceError
from scopebook.settings import Settings


def _client(server: EmbeddedValkey) -> redis.Redis:
    path = server.url().removeprefix("redis+socket://").split("?")[0]
    return redis.Redis(unix_socket_path=path, decode_responses=True)


def test_the_broker_keeps_every_message_in_memory_and_none_on_disk(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path)
    server.start()

    client = _client(server)
    client.set("x", "1")

    assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
    assert client.config_get("save")["save"] == ""
    assert client.config_get("port")["port"] == "0"
    server.stop()
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["valkey.log"]


def test_a_killed_broker_comes_back_at_the_same_address(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path)
    server.start()
    before = server.url()
    assert server.pid
    os.kill(server.pid, signal.SIGKILL)
    wait_for(lambda: not server.alive())

    server.start()

    assert server.url() == before
    assert _client(server).ping()
    server.stop()


def test_the_server_of_the_setting_must_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "settings", lambda: Settings(valkey_server=tmp_path / "none"))

    with pytest.raises(InstanceError, match="SCOPEBOOK_VALKEY_SERVER"):
        valkey_server()
