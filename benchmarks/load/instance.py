"""The instance under load: the large dictionary and the demo's model, run by `scopebook up`."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load.plan import PEOPLE
from sqlalchemy import create_engine, text

from running import Running, run
from scopebook.demo import bundle_path
from scopebook.vector_index import index_name


@dataclass(frozen=True)
class Loaded:
    """An instance that is up, with the tokens of those who use it."""

    url: str
    #: Of `scopebook up`.
    pid: int
    database_url: str
    tokens: list[str]

    def warm(self) -> None:
        """Read what searches go through into PostgreSQL's buffers, as days of use would."""
        engine = create_engine(self.database_url)
        with engine.begin() as connection:
            connection.execute(text("CREATE EXTENSION IF NOT EXISTS pg_prewarm"))
            for name in (index_name(1), "feature_entry", "label_sketch", "label"):
                connection.execute(text("SELECT pg_prewarm(to_regclass(:name))"), {"name": name})
        engine.dispose()

    def database_bytes(self) -> int:
        """Return the size of the database."""
        engine = create_engine(self.database_url)
        with engine.connect() as connection:
            size = connection.execute(text("SELECT pg_database_size(current_database())"))
            found: int = size.scalar_one()
        engine.dispose()
        return found


@contextmanager
def instance(dictionary: Path, data_dir: Path, *, processes: int) -> Iterator[Loaded]:
    """Run over a fresh copy of the dictionary, so that every run begins with the same rows.

    `processes` are those that answer the API.
    """
    _copy(dictionary, data_dir)
    variables = {"SCOPEBOOK_API_PROCESSES": str(processes)}
    running = Running(data_dir, arguments=("--no-demo",), variables=variables)
    running.start()
    try:
        running.wait_for("/api/health/ready", lambda _: True, within_s=300)
        _add_model(data_dir)
        tokens = [_token(data_dir, f"load-{number}") for number in range(PEOPLE)]
        told = json.loads((data_dir / "instance.json").read_text())
        yield Loaded(running.url, told["pid"], told["database_url"], tokens)
    finally:
        running.stop()
    shutil.rmtree(data_dir / "postgres")  # 7 GB; the logs stay


def _copy(dictionary: Path, data_dir: Path) -> None:
    shutil.rmtree(data_dir, ignore_errors=True)
    data_dir.mkdir(parents=True)
    data_dir.chmod(0o755)  # so that the server, which root runs as nobody, can keep its data in it
    sys.stderr.write("Copying the dictionary ...\n")
    # Keeps owners, and costs nothing where the file system can share blocks.
    copy = ["cp", "-a", "--reflink=auto"]
    subprocess.run([*copy, f"{dictionary / 'postgres'}/.", str(data_dir)], check=True)
    subprocess.run([*copy, str(dictionary / "artifacts"), str(data_dir)], check=True)


def _add_model(data_dir: Path) -> None:
    """Register the demo's release, without a collection: a text is run through it and its SAEs."""
    bundle = bundle_path()
    [release], [model] = (bundle / "releases").iterdir(), (bundle / "models").iterdir()
    _done(data_dir, "add", str(release), "--model", str(model))


def _token(data_dir: Path, name: str) -> str:
    _done(data_dir, "user", "add", name, "--role", "annotator")
    asked = ("token", "create", name, "--account", name, "--scope", "annotate", "--json")
    secret: str = json.loads(_done(data_dir, *asked))["secret"]
    return secret


def _done(data_dir: Path, *command: str) -> str:
    done = run(data_dir, *command)
    if done.returncode:
        raise SystemExit(f"scopebook {' '.join(command)} failed: {done.stderr}")
    return done.stdout
