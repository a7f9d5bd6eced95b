"""Three hosts work at one run: one is cut off, one is killed, the servers restart, and it ends.

The hosts are network namespaces of this machine, so that a cable can be pulled: packets vanish, and
nobody is told. They share the folder of artifacts by the file system, which is not cut.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Row, func, select
from tests.drills.test_cuts import MANY_TEXTS, plan_run
from tests.drills.workers import until
from tests.services.brokers import BROKERS, Broker
from tests.services.hosts import Database, Network, kill_whole
from tests.tiny_collections import RELEASE, do_all_steps, make_tiny

from running import SCOPEBOOK, environment, free_port
from scopebook.db.jobs import Job, Step
from scopebook.db.migrate import upgrade
from scopebook.db.sessions import Sessions, sessions, unit_of_work
from scopebook.db.worker_tables import Worker
from scopebook.fingerprint import fingerprint
from scopebook.heartbeats import list_workers
from scopebook.jobs import COLLECT_SHARD
from scopebook.settings import Settings, settings, use_settings

HOSTS = ("steady", "distant", "doomed")
SHARDS = 60
LEASE_S = 6
#: At each of its reports, of which a shard has two: whoever is to be hit is amid a shard for long.
PAUSE_S = {"steady": 0.2, "distant": 15.0, "doomed": 15.0}
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

    def said(self, name: str) -> str:
        return self.log_of(name).read_text(errors="replace")


@pytest.fixture(params=BROKERS)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A network with servers and hosts; the settings of this process lead to its database."""
    before, network = settings(), Network()
    folder = Path(tempfile.mkdtemp(prefix="scopebook-hosts-"))
    folder.chmod(0o755)  # so that the server, which root runs as nobody, can keep its data in it
    network.open()
    address = network.add("servers")
    database = Database(network, "servers", address, folder / "database", free_port())
    broker = BROKERS[request.param](
        folder, host=address, start=lambda argv, **more: network.start("servers", argv, **more)
    )
    try:
        database.start()
        broker.start()
        upgrade(database.url)
        use_settings(Settings(database_url=database.url, data_dir=folder, broker_url=None))
        sessions.cache_clear()
        yield Site(network, database, broker, folder, {})
    finally:
        sessions().kw["bind"].dispose()
        broker.stop()
        database.stop()
        network.close()
        use_settings(before)
        sessions.cache_clear()
        shutil.rmtree(folder, ignore_errors=True)


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
            ).tuples()
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


def state_of_job(factory: Sessions) -> str | None:
    with factory() as session:
        return session.scalar(select(Job.state).order_by(Job.id.desc()).limit(1))


def start_hosts(site: Site) -> None:
    site.start("servers", "sweep", "sweep")
    for host in HOSTS:
        site.network.add(host)
        slow = os.pathsep.join([str(_SLOW), os.environ.get("PYTHONPATH", "")])
        variables = {"DRILL_PAUSE_S": str(PAUSE_S[host]), "PYTHONPATH": slow}
        options = ("--queues", "cpu,gpu,llm", "--processes", "1", "--wait", "120")
        site.start(host, host, "worker", *options, **variables)


def test_a_run_ends_the_same_over_a_cut_host_a_killed_one_and_restarted_servers(
    site: Site,
) -> None:
    factory = sessions()
    make_tiny(factory, site.folder, MANY_TEXTS)
    plan_run(factory, 7)
    do_all_steps()
    wanted = taken(factory)
    plan_run(factory, SHARDS)
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
    until(lambda: "given to another worker" in site.said("distant"))
    until(lambda: reads_notices(factory, "distant"))
    until(lambda: state_of_job(factory) not in ("queued", "running"))

    steps = {n: (state, attempt, _host(by)) for n, state, attempt, by in shard_steps(factory)}
    sys.stderr.write(f"shard {cut_amid} was cut off, {killed_amid} killed: {steps}\n")
    assert state_of_job(factory) == "done"
    assert len(steps) == SHARDS
    assert {state for state, _, _ in steps.values()} == {"done"}
    for hit in (cut_amid, killed_amid):
        assert steps[hit][1] == 2
        assert steps[hit][2] not in ("distant", "doomed")
    assert taken(factory) == wanted
