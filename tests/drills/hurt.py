"""A real instance with a long collection, and ways to kill parts of it while it runs."""

import json
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil
from sqlalchemy import create_engine, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker
from tests.drills.workers import PATIENCE_S
from tests.qwen_scope_files import write_release
from tests.running import Running, run
from tests.tiny_models import save_tiny_model

from scopebook.db.jobs import Job, Step
from scopebook.db.sessions import unit_of_work
from scopebook.db.tables import Evidence, RunState
from scopebook.embedded.folder import DataFolder
from scopebook.jobs import COLLECT_SHARD
from scopebook.runs import request_collection

RELEASE: Final = "SAE-Res-Tiny-Model-W1K-L0_8"
LAYERS: Final = [1, 2]
WIDTH: Final = 1024
CORPUS: Final = "drill"
_WORDS: Final = (
    *("the", "cat", "sat", "on", "mat", "and", "dog", "ran", "to", "der", "Hund", "die", "Katze"),
    *("中文", "中国", "🎉", "seven", "green", "river", "x"),
)
#: Short leases and quick looks, so that a drill does not wait; the rest is as everybody has it.
VARIABLES: Final = {
    "SCOPEBOOK_LEASE_S": "3",
    "SCOPEBOOK_SWEEP_INTERVAL_S": "0.5",
    "SCOPEBOOK_SHARD_TOKENS": "1",
    "SCOPEBOOK_WORKERS": "2",
    "SCOPEBOOK_TORCH_THREADS": "1",
    "SCOPEBOOK_DEVICE": "cpu",
}


@dataclass
class Standing:
    """How far the collection is."""

    state: str
    done: int
    shards: int

    @property
    def share(self) -> float:
        return self.done / self.shards if self.shards else 0.0

    @property
    def over(self) -> bool:
        return self.state in ("done", "failed", "cancelled")


@dataclass
class HurtInstance:
    """`scopebook up` over a tiny release and a corpus of many shards."""

    running: Running
    job_id: int = 0
    _factory: Any = field(default=None, repr=False)

    def prepare(self, files: Path) -> None:
        """Register the model, the release and the corpus by the command line, then ask."""
        self.running.start()
        self.running.wait_for("/api/status", lambda _: True, within_s=PATIENCE_S)
        model, release = str(files / "Tiny-Model"), str(files / RELEASE)
        for arguments in (
            ("add", release, "--model", model),
            ("corpus", "add", CORPUS, str(files / "texts.jsonl")),
        ):
            done = run(self.running.data_dir, *arguments, **VARIABLES)
            assert done.returncode == 0, done.stderr
        self.ask()

    def ask(self) -> None:
        """Ask for the collection, and return at once."""
        with unit_of_work(self.sessions()) as session:
            self.job_id = request_collection(session, RELEASE, CORPUS, label=False).id

    def sessions(self) -> Any:
        """Return a session factory over one connection, which is made anew when it was cut."""
        if self._factory is None:
            instance = DataFolder(self.running.data_dir).running()
            assert instance is not None, self.running.log()
            engine = create_engine(instance.database_url, pool_size=1, pool_pre_ping=True)
            self._factory = sessionmaker(engine, expire_on_commit=False)
        return self._factory

    def look(self) -> Standing | None:
        """Return how far the collection is, or None while the database is away."""
        try:
            with self.sessions()() as session:
                state = session.scalar(select(Job.state).where(Job.id == self.job_id))
                done, shards = session.execute(
                    select(func.count().filter(Step.state == "done"), func.count()).where(
                        Step.job_id == self.job_id, Step.kind == COLLECT_SHARD
                    )
                ).one()
        except SQLAlchemyError:
            return None
        return Standing(state, done, shards)

    def wait_until(self, told: Callable[[Standing], bool], *, within_s: float) -> Standing:
        """Return the first standing that tells what is waited for, or that the job is over."""
        end = time.monotonic() + within_s
        while time.monotonic() < end:
            standing = self.look()
            if standing and (standing.over or told(standing)):
                return standing
            assert self.running.process is not None
            assert self.running.process.poll() is None, f"it ended early:\n{self.running.log()}"
            time.sleep(0.1)
        raise AssertionError(f"no such standing within {within_s:.0f} s: {self.look()}")

    def fingerprint(self) -> Any:
        """Return what the command line says."""
        done = run(self.running.data_dir, "fingerprint", RELEASE, "--json", **VARIABLES)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def read(self, read: Callable[[Session], Any]) -> Any:
        with self.sessions()() as session:
            return read(session)

    def states(self) -> list[str]:
        """Return the files that a later run can go on from, by the names in their rows."""
        return sorted(self.read(lambda session: list(session.scalars(select(RunState.artifact)))))

    def files(self) -> list[str]:
        """Return all files of runs, by the names that a row would give them."""
        root = self.running.data_dir / "artifacts"
        return sorted(
            path.relative_to(root).as_posix() for path in root.glob("runs/**/*") if path.is_file()
        )

    def evidence(self) -> int:
        """Return how many features have evidence."""
        return int(self.read(lambda s: s.scalar(select(func.count()).select_from(Evidence))))

    def parts(self) -> dict[str, list[psutil.Process]]:
        """Return the processes that a drill may kill, by what they are."""
        assert self.running.process is not None
        found: dict[str, list[psutil.Process]] = {}
        for process in psutil.Process(self.running.process.pid).children():
            try:
                words = " ".join(process.cmdline())
                children = process.children()
            except psutil.Error:
                continue
            if "valkey-server" in words:
                found["broker"] = [process]
            elif "celery" in words:
                found["worker"], found["pool process"] = [process], children
            elif "postgres" in words and children:
                found["postmaster"] = [process]
                found["backend"] = [c for c in children if _words(c).startswith("postgres: p")]
        return found

    def kill_one(self, kind: str, rng: random.Random) -> bool:
        """Send SIGKILL to one process of a kind; tell whether there was one."""
        if kind == "everything":
            self.running.kill_everything()
            self.running.start()
            # A start that loses its database says so and ends: who started it starts it again.
            self.running.wait_for("/api/status", lambda _: True, within_s=PATIENCE_S)
            return True
        there = self.parts().get(kind, [])
        if not there:
            return False
        try:
            rng.choice(there).kill()
        except psutil.NoSuchProcess:
            return False
        return True


def _words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def write_files(folder: Path, *, texts: int) -> None:
    """Write a tiny model, a release of two layers, and a corpus of so many texts."""
    save_tiny_model(folder / "Tiny-Model", "qwen3")
    write_release(folder / RELEASE, LAYERS, d_sae=WIDTH, d_model=32)
    rng = random.Random(0)
    with (folder / "texts.jsonl").open("w") as file:
        for number in range(texts):
            text = " ".join(rng.choices(_WORDS, k=rng.randrange(100, 900)))
            tag = rng.choice(["en", "de", "zh"])
            file.write(json.dumps({"text": f"{number} {text}", "tag": tag}) + "\n")


@contextmanager
def hurt_instance(files: Path) -> Iterator[HurtInstance]:
    """Start an instance over a new folder, with the collection asked for."""
    data_dir = Path(tempfile.mkdtemp(prefix="scopebook-drill-"))
    data_dir.chmod(0o755)  # so that the server, which root runs as nobody, keeps its data in it
    hurt = HurtInstance(Running(data_dir, arguments=("--no-demo",), variables=VARIABLES))
    try:
        hurt.prepare(files)
        yield hurt
        hurt.running.stop()
    finally:
        if hurt.running.process is not None and hurt.running.process.poll() is None:
            hurt.running.kill_everything()
        shutil.rmtree(data_dir, ignore_errors=True)
