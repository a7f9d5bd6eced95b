"""How work spreads over more and more workers, and what a shard costs database and broker.

usage: python -m benchmarks.scale [--processes 1,2,4,8,16] [--seconds S] [--rounds N]

A shard's compute is sleep (`benchmarks/scale_worker.py`), so that sixteen workers fit two cores
and what is left is the path around it: notices, claims, leases, progress, the end. Each row of the
table is a job of its own over the servers of an embedded instance, with a sweep.
Throughput is shards by the time from the request, before anybody is told, until the last shard is
done. It fails where the efficiency, throughput(n) / (n x throughput(1)), is below 0.9.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
import redis
from sqlalchemy import select, text
from tests.makers import make_corpus, make_model, make_release, make_run

from scopebook.db.jobs import Job
from scopebook.db.migrate import upgrade
from scopebook.db.sessions import sessions, unit_of_work
from scopebook.db.tables import Release, Run, Shard, Tokenisation
from scopebook.embedded.postgres import EmbeddedPostgres
from scopebook.embedded.valkey import EmbeddedValkey
from scopebook.heartbeats import list_workers
from scopebook.jobs import COLLECT_SHARD, GPU
from scopebook.settings import Settings, settings, use_settings
from scopebook.steps import NewStep, add_steps, create_job
from scopebook.sweep import sweep

LEAST_EFFICIENCY: Final = 0.9
#: Contexts that a shard's rows are read for.
CONTEXTS: Final = 64
#: The server tells its statistics to others a second after a transaction at the latest.
_SETTLED_S: Final = 2.0


@dataclass(frozen=True)
class Load:
    """What servers have done since they started, as far as it counts here."""

    transactions: int
    rows: int
    wal_bytes: int
    database_cpu_s: float
    commands: int
    broker_in: int
    broker_out: int

    def since(self, before: "Load", shards: int) -> dict[str, float]:
        """Return what each shard took since then."""
        return {
            name: (getattr(self, name) - getattr(before, name)) / shards
            for name in self.__dataclass_fields__
        }


@dataclass
class Servers:
    """The database and the broker."""

    postgres: EmbeddedPostgres
    valkey: EmbeddedValkey

    def load(self) -> Load:
        """Read the counters of both."""
        time.sleep(_SETTLED_S)
        with unit_of_work(sessions()) as session:
            row = session.execute(text(_COUNTERS)).one()
        path = self.valkey.url().removeprefix("redis+socket://").partition("?")[0]
        with redis.Redis(unix_socket_path=path) as client:
            told: Mapping[str, Any] = client.info("stats")  # type: ignore[assignment]
        return Load(
            transactions=int(row.transactions),
            rows=int(row.rows),
            wal_bytes=int(row.wal_bytes),
            database_cpu_s=_cpu_s(self.postgres.pid or 0),
            commands=int(told["total_commands_processed"]),
            broker_in=int(told["total_net_input_bytes"]),
            broker_out=int(told["total_net_output_bytes"]),
        )


_COUNTERS: Final = """
SELECT xact_commit + xact_rollback AS transactions,
       tup_inserted + tup_updated + tup_deleted AS rows,
       pg_current_wal_lsn() - '0/0'::pg_lsn AS wal_bytes
FROM pg_stat_database WHERE datname = current_database()
"""


def _cpu_s(pid: int) -> float:
    """Return the processor seconds of a server, its living children and those that ended."""
    server = psutil.Process(pid)
    times = [process.cpu_times() for process in (server, *server.children())]
    ended = times[0].children_user + times[0].children_system
    return sum(one.user + one.system for one in times) + ended


@contextmanager
def servers(folder: Path) -> Iterator[Servers]:
    """Run both over a new folder, which the settings of this process lead to."""
    postgres, valkey = EmbeddedPostgres(folder), EmbeddedValkey(folder / "valkey")
    try:
        postgres.start()
        valkey.start()
        upgrade(postgres.url())
        use_settings(
            Settings(database_url=postgres.url(), broker_url=valkey.url(), data_dir=folder)
        )
        sessions.cache_clear()
        yield Servers(postgres, valkey)
    finally:
        valkey.stop()
        postgres.stop()
        postgres.remove()


def make_rows() -> None:
    """Add a model, a release of one layer and a corpus whose contexts all shards read."""
    with unit_of_work(sessions()) as session:
        saes = make_release(session, model=make_model(session), layers=[1])
        texts = [f"text {number}" for number in range(CONTEXTS)]
        make_run(session, saes, make_corpus(session, texts))


def ask(shards: int) -> int:
    """Ask for a job of so many shards; return its id."""
    with unit_of_work(sessions()) as session:
        job = create_job(session, "collect", "Collect by sleeping", [])
        run = Run(
            job_id=job.id,
            release_id=session.scalars(select(Release.id)).one(),
            tokenisation_id=session.scalars(select(Tokenisation.id)).one(),
            layers=[1],
            parameters={},
        )
        session.add(run)
        session.flush()
        rows = [
            Shard(run_id=run.id, ordinal=number, first_context_id=0, last_context_id=2**62)
            for number in range(shards)
        ]
        session.add_all(rows)
        session.flush()
        add_steps(session, job.id, [_step(row.id) for row in rows])
        return job.id


def _step(shard_id: int) -> NewStep:
    return NewStep(
        kind=COLLECT_SHARD,
        stage=0,
        title="Collect by sleeping",
        parameters={"shard_id": shard_id},
        total=1_000_000,
        unit="tokens",
    )


@contextmanager
def workers(processes: int, seconds: float, log: Path) -> Iterator[None]:
    """Run so many pool processes; they are there when the block begins."""
    argv = [sys.executable, "-m", "celery", "-A", "benchmarks.scale_worker:app", "worker"]
    argv += ["-Q", GPU, "-c", str(processes), "-n", "scale@%h", "-l", "WARNING"]
    argv += ["--without-mingle", "--without-gossip"]
    with log.open("ab") as output:
        process = subprocess.Popen(argv, env=_variables(seconds), stdout=output, stderr=output)
    try:
        while _alive() < processes:
            if process.poll() is not None:
                raise SystemExit(f"The workers ended:\n{log.read_text()[-3000:]}")
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait(60)


def _variables(seconds: float) -> dict[str, str]:
    chosen = settings()
    return {
        **os.environ,
        "SCOPEBOOK_DATABASE_URL": str(chosen.database_url),
        "SCOPEBOOK_BROKER_URL": str(chosen.broker_url),
        "SCOPEBOOK_DEVICE": "cpu",
        "SCALE_SECONDS": str(seconds),
    }


def _alive() -> int:
    with unit_of_work(sessions()) as session:
        return sum(worker.alive and worker.consuming for worker in list_workers(session))


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one number of processes came to."""

    processes: int
    shards: int
    took_s: float
    load: dict[str, float]

    @property
    def throughput(self) -> float:
        """Shards a second."""
        return self.shards / self.took_s


def measure(made: Servers, processes: int, seconds: float, rounds: int, log: Path) -> Row:
    """Let so many processes do `rounds` shards each; return how long it took, and the load."""
    shards = processes * rounds
    with workers(processes, seconds, log):
        before = made.load()
        begun = time.monotonic()
        job_id = ask(shards)
        while (state := _state(job_id)) in ("queued", "running"):
            time.sleep(0.1)
        took_s = time.monotonic() - begun
        if state != "done":
            raise SystemExit(f"The job has ended as {state}:\n{log.read_text()[-3000:]}")
        load = made.load().since(before, shards)
    return Row(processes=processes, shards=shards, took_s=took_s, load=load)


def _state(job_id: int) -> str:
    with unit_of_work(sessions()) as session:
        return session.scalars(select(Job.state).where(Job.id == job_id)).one()


def tell(rows: list[Row], seconds: float) -> bool:
    """Print both tables; tell whether all were efficient enough."""
    say = sys.stdout.write
    one = rows[0].throughput / rows[0].processes
    say(f"Shards that sleep {seconds:g} s each:\n\n")
    say("| processes | shards | seconds | shards/s | efficiency |\n|---|---|---|---|---|\n")
    efficient = True
    for row in rows:
        efficiency = row.throughput / (row.processes * one)
        efficient &= efficiency >= LEAST_EFFICIENCY
        say(f"| {row.processes} | {row.shards} | {row.took_s:.1f} | {row.throughput:.3f} ")
        say(f"| {efficiency:.3f} |\n")
    say("\nA shard's share of the load:\n\n| processes | " + " | ".join(_TOLD.values()) + " |\n")
    say("|---" * (len(_TOLD) + 1) + "|\n")
    for row in rows:
        told = " | ".join(f"{row.load[name]:,.3g}" for name in _TOLD)
        say(f"| {row.processes} | {told} |\n")
    return efficient


_TOLD: Final = {
    "transactions": "transactions",
    "rows": "rows written",
    "wal_bytes": "bytes of WAL",
    "database_cpu_s": "PostgreSQL, CPU s",
    "commands": "broker's commands",
    "broker_in": "bytes in",
    "broker_out": "bytes out",
}


def main() -> int:
    """Measure all rows; return 1 where one is not efficient enough."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Verbatim)
    parser.add_argument("--processes", default="1,2,4,8,16", help="how many, the least first")
    parser.add_argument("--seconds", type=float, default=4.0, help="that a shard sleeps")
    parser.add_argument("--rounds", type=int, default=10, help="shards for each process")
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="scopebook-scale-"))
    folder.chmod(0o755)  # so that the server, which root runs as nobody, can keep its data in it
    stop = threading.Event()
    try:
        with servers(folder) as made:
            make_rows()
            looks = {"interval_s": settings().sweep_interval_s, "stop": stop}
            threading.Thread(target=sweep, args=(sessions(),), kwargs=looks, daemon=True).start()
            rows = [
                measure(made, int(count), chosen.seconds, chosen.rounds, folder / "workers.log")
                for count in chosen.processes.split(",")
            ]
            stop.set()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if tell(rows, chosen.seconds) else 1


class _Verbatim(argparse.RawDescriptionHelpFormatter):
    """Help with the lines of the docstring."""


if __name__ == "__main__":
    sys.exit(main())
