"""Three hosts work at one run: one is cut off, one is killed, the servers restart, and it ends.

The hosts are network namespaces of this machine, so that a cable can be pulled: packets vanish, and
nobody is told. They share the folder of artifacts by the file system, which is not cut.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Row, func, select
from tests.drills.test_cuts import MANY_TEXTS
from tests.drills.test_mishaps import planned
from tests.drills.workers import until
from tests.services.brokers import BROKERS, Broker
from tests.services.hosts import Database, Network, kill_whole
from tests.tiny_collections import RELEASE, ask_for_collection, do_all_steps, make_tiny
from tests.workers.conftest import _one_thread

from running import SCOPEBOOK, environment, free_port
from scopebook.db.jobs import Job, Step
from scopebook.db.migrate import upgrade
from scopebook.db.sessions import Sessions, sessions, unit_of_work
from scopebook.db.worker_tables import Worker
from scopebook.fingerprint import fingerprint
from scopebook.heartbeats import list_workers
from scopebook.jobs import COLLECT_SHARD
from scopebook.settings import Settings, settings, use_settings

__all__ = ["_one_thread"]

HOSTS = ("steady", "distant", "doomed")
TEXTS = MANY_TEXTS[:90]
LEASE_S = 6
#: Seconds at each report, of which a shard has two: whoever is to be hit is amid a shard for long.
PAUSE_S = {"steady": "0.2", "distant": "3600", "doomed": "3600"}
_SLOW = Path(__file__).with_name("slow")


@dataclass
class Site:
    """The network, its servers and the workers that were started."""

    network: Network
    database: Database
    broker: Broker
    folder: Path
    workers: dict[str, "subprocess.Popen[bytes]"]

    def start(self, host: str, name: str, *command: str, **variables: str) -> None:
        """Start a part on a host, with its log in the folder."""
        servers = {
            "SCOPEBOOK_DATABASE_URL": self.database.tcp_url,
            "SCOPEBOOK_BROKER_URL": self.broker.url(),
            "SCOPEBOOK_LEASE_S": str(LEASE_S),
            "SCOPEBOOK_SWEEP_INTERVAL_S": "0.5",
            "SCOPEBOOK_DEVICE": "cpu",
            "SCOPEBOOK_TORCH_THREADS": "1",
        }
        with self.log_of(name).open("wb") as log:
            self.workers[name] = self.network.start(
                host,
                [*SCOPEBOOK, *command],
                env=environment(self.folder, **servers, **variables),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def log_of(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def pause_of(self, host: str) -> Path:
        """Return the file that says for how long a host's steps pause."""
        return self.folder / f"{host}.pause"

    def said(self, name: str) -> str:
        return self.log_of(name).read_text(errors="replace")


@pytest.fixture(params=BROKERS)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A network with servers and hosts; the settings of this process lead to its database."""
    before, network = settings(), Network()
    folder = Path(tempfile.mkdtemp(prefix="scopebook-hosts-"))
    folder.chmod(0o755)  # so that the server, which root runs as nobody, can keep its data in it
    with ExitStack() as undo:
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        undo.callback(network.close)
        network.open()
        address = network.add("servers")
        database = Database(network, "servers", address, folder / "database", free_port())
        undo.callback(database.stop)
        database.start()
        broker = BROKERS[request.param](
            folder, host=address, start=lambda argv, **more: network.start("servers", argv, **more)
        )
        undo.callback(broker.stop)
        broker.start()
        upgrade(database.url)
        undo.callback(sessions.cache_clear)
        undo.callback(use_settings, before)
        use_settings(Settings(database_url=database.url, data_dir=folder, broker_url=None))
        sessions.cache_clear()
        undo.callback(sessions().kw["bind"].dispose)
        yield Site(network, database, broker, folder, {})


def taken(factory: Sessions) -> str:
    with unit_of_work(factory) as session:
        return fingerprint(session, RELEASE).fingerprint


def shard_steps(factory: Sessions) -> list[Row[int, str, int, str]]:
    """Return number, state, attempt and worker of the newest job's shards."""
    with factory() as session:
        newest = select(func.max(Job.id)).scalar_subquery()
        return list(
            session.execute(
                select(Step.id, Step.state, Step.attempt, func.coalesce(Step.worker, ""))
                .where(Step.kind == COLLECT_SHARD, Step.job_id == newest)
                .order_by(Step.id)
            )
        )


def running_on(factory: Sessions, host: str) -> int | None:
    """Return the shard that a host is at."""
    steps = shard_steps(factory)
    return next((n for n, state, _, by in steps if (state, _host(by)) == ("running", host)), None)


def _host(worker: str) -> str:
    return worker.partition(":")[0]


def taken_over(factory: Sessions, step_id: int, host: str) -> bool:
    """Tell whether another host has begun a shard anew."""
    attempt, by = next((a, by) for n, _, a, by in shard_steps(factory) if n == step_id)
    return attempt == 2 and _host(by) != host


def reads_notices(factory: Sessions, host: str) -> bool:
    with factory() as session:
        return any(w.host == host and w.alive and w.consuming for w in list_workers(session))


def forget_heartbeats(factory: Sessions) -> None:
    """What is there from now on was told after this moment."""
    with factory.begin() as session:
        session.query(Worker).delete()


@contextmanager
def telling(site: Site, host: str) -> Iterator[None]:
    """Let a failure tell what a worker has said, and where each of its threads stands."""
    try:
        yield
    except AssertionError:
        # Celery writes the stacks of its threads to its log at this signal.
        site.workers[host].send_signal(signal.SIGUSR1)
        time.sleep(5)
        sys.stderr.write(site.said(host)[-20_000:])
        raise


def state_of_job(factory: Sessions) -> str | None:
    with factory() as session:
        return session.scalar(select(Job.state).order_by(Job.id.desc()).limit(1))


def start_hosts(site: Site) -> None:
    site.start("servers", "sweep", "sweep")
    for host in HOSTS:
        site.network.add(host)
        site.pause_of(host).write_text(PAUSE_S[host])
        slow = os.pathsep.join([str(_SLOW), os.environ.get("PYTHONPATH", "")])
        variables = {"DRILL_PAUSE": str(site.pause_of(host)), "PYTHONPATH": slow}
        options = ("--queues", "cpu,gpu,llm", "--processes", "1", "--wait", "120")
        site.start(host, host, "worker", *options, **variables)


def test_a_run_ends_the_same_over_a_cut_host_a_killed_one_and_restarted_servers(
    site: Site,
) -> None:
    factory = sessions()
    make_tiny(factory, site.folder, TEXTS)
    ask_for_collection(factory)
    do_all_steps()
    wanted = taken(factory)
    use_settings(settings().model_copy(update={"shard_tokens": 1}))
    planned(factory)
    start_hosts(site)

    until(lambda: all(running_on(factory, host) for host in HOSTS))
    site.network.cut("distant")
    kill_whole(site.workers["doomed"])
    cut_amid, killed_amid = running_on(factory, "distant"), running_on(factory, "doomed")
    assert cut_amid is not None
    assert killed_amid is not None
    site.broker.kill()
    site.broker.start()
    site.database.restart()
    until(lambda: taken_over(factory, cut_amid, "distant"))
    forget_heartbeats(factory)
    site.network.mend("distant")
    site.pause_of("distant").write_text("0")
    until(lambda: "given to another worker" in site.said("distant"))
    with telling(site, "distant"):
        until(lambda: reads_notices(factory, "distant"))
    until(lambda: state_of_job(factory) not in ("queued", "running"))

    steps = {n: (state, attempt, _host(by)) for n, state, attempt, by in shard_steps(factory)}
    by = Counter(host for _, _, host in steps.values())
    sys.stderr.write(f"{len(steps)} shards, of which {cut_amid} was cut off, by {dict(by)}\n")
    assert state_of_job(factory) == "done"
    assert len(steps) > 20
    assert {state for state, _, _ in steps.values()} == {"done"}
    # Who was cut off may have done the shard of the one that was killed, once it was back.
    for hit, host in ((cut_amid, "distant"), (killed_amid, "doomed")):
        assert steps[hit][1] == 2
        assert steps[hit][2] != host
    assert taken(factory) == wanted
