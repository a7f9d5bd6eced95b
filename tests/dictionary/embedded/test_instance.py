from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from scopebook.commands import up
from scopebook.embedded import instance as module
from scopebook.embedded import sizing
from scopebook.embedded.instance import Instance
from scopebook.embedded.programs import Program, Programs, environment, programs
from scopebook.errors import InstanceError, NotFoundError
from scopebook.jobs import QUEUES
from scopebook.settings import Settings

NOTES: list[str] = []


class Recorded:
    """A part that only notes what is asked of it."""

    def __init__(self, name: object, *_: object) -> None:
        self.name = str(name)
        self.log = Path("/nowhere")
        self.pid = 1

    def start(self) -> None:
        NOTES.append(f"start {self.name}")
        if self.name == "broken":
            raise InstanceError("it does not start")

    def stop(self) -> None:
        NOTES.append(f"stop {self.name}")
        if self.name == "sweep":
            raise RuntimeError("it does not stop in good order")

    def kill(self) -> None:
        NOTES.append(f"kill {self.name}")

    def alive(self) -> bool:
        return True

    def url(self) -> str:
        return f"{self.name}-url"


@pytest.fixture(autouse=True)
def recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    NOTES.clear()
    monkeypatch.setattr(module, "EmbeddedPostgres", lambda _: Recorded("database"))
    monkeypatch.setattr(module, "EmbeddedValkey", lambda _: Recorded("broker"))
    monkeypatch.setattr(module, "Child", Recorded)
    monkeypatch.setattr(module, "require_free_port", lambda *_, **__: None)


def _table(*api: str) -> Programs:
    return Programs(
        work=(Program("workers", []), Program("sweep", [])), api=[Program(n, []) for n in api]
    )


def _instance(tmp_path: Path, *api: str, **settings: object) -> Instance:
    return Instance(
        Settings.model_validate({"data_dir": tmp_path, **settings}),
        migrate=lambda url: NOTES.append(f"migrate {url}"),
        table=lambda _: _table(*api),
    )


def test_parts_start_in_order_and_stop_in_the_opposite_one(tmp_path: Path) -> None:
    with _instance(tmp_path, "api"):
        started = list(NOTES)
        NOTES.clear()

    assert started == [
        "start database",
        "migrate database-url",
        "start broker",
        "start workers",
        "start sweep",
        "start api",
    ]
    stopped = [note for note in NOTES if note.startswith("stop")]
    assert stopped == [
        "stop api",
        "stop sweep",
        "stop workers",
        "stop broker",
        "stop database",
    ]


def test_a_part_that_does_not_stop_in_good_order_is_killed(tmp_path: Path) -> None:
    with _instance(tmp_path):
        pass

    assert "kill sweep" in NOTES
    assert NOTES[-1] == "stop database"


def test_what_was_started_is_stopped_when_a_later_part_fails(tmp_path: Path) -> None:
    instance = _instance(tmp_path, "broken")

    with pytest.raises(InstanceError, match="it does not start"):
        instance.start()

    assert NOTES[-1] == "stop database"
    assert not (tmp_path / "instance.json").exists()
    assert not instance.folder.held()


def test_external_servers_are_used_and_not_started(tmp_path: Path) -> None:
    urls = {"database_url": "postgresql+psycopg://db/x", "broker_url": "redis://broker/0"}

    with _instance(tmp_path, "api", **urls) as instance:
        running = instance.running

    assert "start database" not in NOTES
    assert "start broker" not in NOTES
    assert running.database_url == urls["database_url"]
    assert running.broker_url == urls["broker_url"]


def test_programs_get_the_callers_settings_and_the_addresses_of_the_servers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SCOPEBOOK_EMBEDDER", "own-embedder")
    settings = Settings(port=8123, embeddings_api_key="secret")

    variables = environment(settings, "database-url", "broker-url")

    assert variables["SCOPEBOOK_EMBEDDER"] == "own-embedder"
    assert variables["SCOPEBOOK_PORT"] == "8123"
    assert variables["SCOPEBOOK_EMBEDDINGS_API_KEY"] == "secret"
    assert variables["SCOPEBOOK_DATABASE_URL"] == "database-url"
    assert variables["SCOPEBOOK_BROKER_URL"] == "broker-url"


def test_the_workers_take_from_every_queue() -> None:
    workers = programs(Settings()).work[0]

    queues = workers.argv[list(workers.argv).index("-Q") + 1]

    assert queues.split(",") == list(QUEUES)


@pytest.mark.parametrize(
    ("memory_gb", "shared_buffers", "maintenance_work_mem"),
    [(1, "128MB", "128MB"), (4, "512MB", "512MB"), (64, "4096MB", "4096MB")],
)
def test_the_database_takes_its_share_of_the_memory(
    monkeypatch: pytest.MonkeyPatch,
    memory_gb: int,
    shared_buffers: str,
    maintenance_work_mem: str,
) -> None:
    monkeypatch.setattr(sizing, "memory_bytes", lambda: memory_gb * 2**30)
    monkeypatch.setattr(sizing, "_shared_memory_bytes", lambda: 2**40)

    options = sizing.postgres_settings(free_disk_bytes=2**40)

    assert options["shared_buffers"] == shared_buffers
    assert options["maintenance_work_mem"] == maintenance_work_mem
    assert options["max_wal_size"] == "4096MB"


def test_an_instance_without_its_demo_says_so_and_stays_up(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_session: Session) -> None:
        raise NotFoundError("The demo bundle is missing.")

    said: list[str] = []
    monkeypatch.setattr(up, "request_demo", refuse)
    monkeypatch.setattr(up, "_say", said.append)
    monkeypatch.setattr(up, "use_settings", lambda _: None)

    with _instance(tmp_path, database_url=database_url) as instance:
        up._ask_for_demo(instance)

    assert said == ["The demo dictionary is not built: The demo bundle is missing."]
