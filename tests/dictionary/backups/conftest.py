"""Instances with a database and a data folder of their own, one of them with something of all."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, insert, text
from sqlalchemy.orm import Session, sessionmaker

from conftest import _administer, copy_template
from dumps import make_dictionary
from makers import make_embedding, make_scan
from scopebook.artifacts import write_artifact
from scopebook.backups.making import make_backup
from scopebook.db.account_tables import (
    Account,
    ApiToken,
    AuditEntry,
    LoginSession,
    OneTimeLink,
    ReleaseVisibility,
)
from scopebook.db.answer_tables import KeptAnswer
from scopebook.db.entry_tables import LabelWord
from scopebook.db.import_tables import DumpImport, ImportedRow
from scopebook.db.inference_tables import Inference
from scopebook.db.jobs import Job, Step
from scopebook.db.label_tables import (
    CoFiring,
    Embedder,
    Label,
    LabelEmbedding,
    LabelSketch,
    Panel,
    WindowVector,
)
from scopebook.db.map_tables import FeatureMap
from scopebook.db.preset_tables import (
    Preset,
    PresetDecision,
    PresetExport,
    PresetReport,
    PresetVersion,
    ResidualNorm,
)
from scopebook.db.review_tables import Presence, QueueSkip
from scopebook.db.scan_tables import ScanShard
from scopebook.db.sessions import Sessions
from scopebook.db.tables import Evidence, Run, RunState, Sae, Shard
from scopebook.db.webhook_tables import Webhook, WebhookDelivery
from scopebook.db.worker_tables import Meter, Worker
from scopebook.embedded.postgres import EmbeddedPostgres
from scopebook.settings import settings, use_settings

#: Every table's rows as text, in an order that is of the rows alone.
_ROWS = "SELECT coalesce(md5(string_agg(t::text, E'\\n' ORDER BY t::text)), '') FROM \"{}\" t"


@dataclass
class Instance:
    """A database and a data folder."""

    url: str
    data_dir: Path
    sessions: Sessions

    def enter(self) -> Sessions:
        """Let this process work in it; nobody else is connected then."""
        chosen = {"data_dir": self.data_dir, "database_url": self.url, "artifacts_url": None}
        use_settings(settings().model_copy(update=chosen))
        self.leave()
        return self.sessions

    def leave(self) -> None:
        """Close all connections."""
        self.sessions.kw["bind"].dispose()

    def hashes(self, *, but: tuple[str, ...] = ()) -> dict[str, str]:
        """Return a hash of each table's rows."""
        with self.sessions() as session:
            tables = session.scalars(
                text("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
            ).all()
            found = {
                table: session.scalars(text(_ROWS.format(table))).one()
                for table in tables
                if table not in but
            }
        self.leave()
        return found

    def files(self) -> dict[str, bytes]:
        """Return the files of the instance by their names in its data folder."""
        return {
            path.relative_to(self.data_dir).as_posix(): path.read_bytes()
            for path in sorted(self.data_dir.rglob("*"))
            if path.is_file()
        }


Make = Callable[[str], Instance]


def _new(postgres: EmbeddedPostgres, template: str, data_dir: Path) -> Instance:
    database = f"test_{os.urandom(6).hex()}"
    copy_template(postgres, template, database)
    data_dir.mkdir()
    url = postgres.url(database)
    return Instance(url, data_dir, sessionmaker(create_engine(url), expire_on_commit=False))


def _drop(postgres: EmbeddedPostgres, one: Instance) -> None:
    one.leave()
    _administer(postgres, f"DROP DATABASE {one.sessions.kw['bind'].url.database} WITH (FORCE)")


@pytest.fixture(autouse=True)
def settings_of_before() -> Iterator[None]:
    """Let settings be what they were after each test."""
    before = settings()
    yield
    use_settings(before)


@pytest.fixture
def instance(postgres: EmbeddedPostgres, template: str, tmp_path: Path) -> Iterator[Make]:
    """Make empty instances."""
    made: list[Instance] = []

    def make(name: str) -> Instance:
        made.append(_new(postgres, template, tmp_path / name))
        return made[-1]

    yield make
    for one in made:
        _drop(postgres, one)


@pytest.fixture(scope="session")
def empty(
    postgres: EmbeddedPostgres, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Instance]:
    """An instance that nothing is ever restored into."""
    made = _new(postgres, template, tmp_path_factory.mktemp("instances") / "empty")
    yield made
    _drop(postgres, made)


@pytest.fixture(scope="session")
def original(
    postgres: EmbeddedPostgres, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Instance]:
    """An instance with something of everything, which tests only make backups of."""
    made = _new(postgres, template, tmp_path_factory.mktemp("instances") / "full")
    before = settings()
    with made.enter().begin() as session:
        saes = make_dictionary(session)
        _fill(session, saes, made.data_dir)
    made.leave()
    use_settings(before)
    yield made
    _drop(postgres, made)


@pytest.fixture
def full(original: Instance, postgres: EmbeddedPostgres, tmp_path: Path) -> Iterator[Instance]:
    """An instance like it, to be changed."""
    original.leave()
    name = original.sessions.kw["bind"].url.database
    made = _new(postgres, name, tmp_path / "full")
    shutil.copytree(original.data_dir, made.data_dir, dirs_exist_ok=True)
    with made.sessions.begin() as session:
        for table in ("sae", "embedder"):
            moved = f"UPDATE {table} SET artifact = replace(artifact, :before, :now)"
            places = {"before": str(original.data_dir), "now": str(made.data_dir)}
            session.execute(text(moved), places)
    made.leave()
    yield made
    _drop(postgres, made)


@pytest.fixture(scope="session")
def any_backup(original: Instance, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup that lies in a folder; nobody changes it."""
    before = settings()
    path = tmp_path_factory.mktemp("backups") / "backup"
    make_backup(original.enter(), path)
    original.leave()
    use_settings(before)
    return path


def _artifact(name: str) -> str:
    return write_artifact(name, lambda file: file.write(f"what is in {name}\n".encode() * 50))  # type: ignore[arg-type, return-value]


def _fill(session: Session, saes: list[Sae], data_dir: Path) -> None:
    """Add rows to the tables that no dump holds."""
    account = Account(name="ada@work", role="admin", password_hash="$argon2id$not-a-real-one")
    session.add(account)
    session.flush()
    later = datetime.now(UTC) + timedelta(hours=1)
    session.add_all(
        [
            LoginSession(sha256=b"l" * 32, account_id=account.id, expires_at=later),
            OneTimeLink(sha256=b"o" * 32, account_id=account.id, expires_at=later),
            ApiToken(account_id=account.id, name="ci", sha256=b"t" * 32, hint="sb_1", scope="read"),
            AuditEntry(
                account_id=account.id, account_name="ada@work", action="a", target="t", details={}
            ),
            KeptAnswer(
                account_id=account.id,
                key="k",
                request="POST /api",
                request_sha256=b"r" * 32,
                status=201,
                headers={},
                body=bytes(range(256)) * 4,
            ),
            Inference(
                account_id=account.id,
                release_id=saes[0].release_id,
                kind="inspect",
                parameters={},
                deadline=later,
            ),
            Presence(feature_id=saes[0].id << 20, viewer="v", account_id=account.id, seen_at=later),
            QueueSkip(feature_id=saes[0].id << 20, account_id=account.id, until=later),
            DumpImport(sha256="d" * 64, format="parquet", source="/dump", progress={}),
            WindowVector(embedder=b"e" * 16, window=b"w" * 16, vector=b"\0\x01\\N\n\t"),
        ]
    )
    session.add_all(LabelWord(word=word, lexeme=word) for word in ("back\\slash", "tab\there"))
    session.flush()
    session.add(ReleaseVisibility(release_id=saes[0].release_id, role="viewer"))
    session.add(Worker(name="host:1", host="host", pid=1, queues=["gpu"], consuming=True))
    session.execute(insert(Meter).values(name="llm_usd_total", labels={"a": "\\N"}, value=0.1))
    session.add(ImportedRow(import_id=1, kind="sae", number=1, row_id=2))
    webhook = Webhook(
        account_id=account.id, url="https://example.org", events=["label"], secret="whsec_x"
    )
    session.add(webhook)
    session.flush()
    session.add(WebhookDelivery(webhook_id=webhook.id, event="label", payload={"a": "\\N"}))
    _fill_work(session, saes, data_dir)
    _fill_presets(session, saes, account)


def _fill_work(session: Session, saes: list[Sae], data_dir: Path) -> None:
    run = session.query(Run).order_by(Run.id.desc()).first()
    assert run is not None
    feature_id = session.query(Evidence.feature_id).limit(1).scalar()
    for sae in saes:
        path = data_dir / "saes" / "release" / f"{sae.layer}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(300_000))
        sae.artifact = str(path)
    session.add_all(
        [
            RunState(
                run_id=run.id, sae_id=saes[0].id, artifact=_artifact("runs/1/state.npz"),
                last_context_id=0,
            ),
            Shard(
                run_id=run.id, ordinal=0, first_context_id=1, last_context_id=2,
                artifact=_artifact("runs/1/shard-0.npz"),
            ),
            Panel(
                run_id=run.id, sae_id=saes[0].id, artifact=_artifact("panels/1.npz"), contexts=1,
                tokens=5,
            ),
            CoFiring(run_id=run.id, feature_id=feature_id, fires=1, partners=b"\\x00"),
        ]
    )  # fmt: skip
    embedded = session.query(Label).first()
    assert embedded is not None
    embedder_id = make_embedding(session, embedded, [0.25] * 8)
    _artifact("embedders/abc/model.onnx")
    _artifact("embedders/abc/manifest.json")
    session.get_one(Embedder, embedder_id).artifact = f"{settings().artifacts}/embedders/abc"
    session.flush()
    label_id = session.query(LabelEmbedding.label_id).limit(1).scalar()
    session.add(
        LabelSketch(
            embedder_id=embedder_id, feature_id=feature_id, label_id=label_id, sketch="10110"
        )
    )
    scan = make_scan(session, saes[0].release_id, 1)
    scan.guide = _artifact("scans/1/guide.npz")
    scan.features_artifact = _artifact("scans/1/features.parquet")
    session.add(ScanShard(scan_id=scan.id, ordinal=0, first_context_id=1, last_context_id=2))
    session.add(
        FeatureMap(
            release_id=saes[0].release_id, embedder_id=embedder_id, layers=[1], labels_state="s",
            parameters={}, regions=[], points=0, artifact=_artifact("maps/release1-job1-1.bin"),
        )
    )  # fmt: skip
    job = Job(kind="test", title="At work", parameters={}, state="running")
    session.add(job)
    session.flush()
    until = datetime.now(UTC) + timedelta(days=9)
    for state in ("running", "cancelling", "queued"):
        session.add(
            Step(
                job_id=job.id, stage=0, kind="run.tidy", title="t", parameters={}, state=state,
                attempt=1, worker="w", lease_until=until,
            )
        )  # fmt: skip


def _fill_presets(session: Session, saes: list[Sae], account: Account) -> None:
    preset = Preset(key="k" * 32, owner_id=account.id, release_id=saes[0].release_id, name="Calm")
    session.add(preset)
    session.flush()
    version = PresetVersion(
        preset_id=preset.id, number=1, author_id=account.id, name="Calm", document={},
        sha256="p" * 64,
    )  # fmt: skip
    session.add(version)
    session.flush()
    preset.forked_from = version.id
    job = session.query(Job.id).limit(1).scalar()
    run = session.query(Run).first()
    assert run is not None
    model_id = session.execute(text("SELECT id FROM model")).scalar_one()
    session.add_all(
        [
            PresetDecision(version_id=version.id, account_id=account.id, status="approved"),
            PresetReport(version_id=version.id, kind="test", job_id=job, found={"x": 1.5}),
            PresetExport(
                version_id=version.id, target="peft", job_id=job,
                artifact=_artifact("presets/1-peft.zip"),
            ),
            ResidualNorm(
                model_id=model_id, tokenisation_id=run.tokenisation_id, layer=1, norm=1 / 3
            ),
        ]
    )  # fmt: skip
