"""The demo dictionary: one job that registers the bundle, collects, labels and embeds it."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from scopebook.corpora import add_corpus
from scopebook.db.jobs import Job
from scopebook.db.tables import Corpus
from scopebook.errors import NotFoundError
from scopebook.jobs import ADD_RELEASE, EXPORT_EMBEDDER
from scopebook.steps import NewStep, create_job, retry_job

DEMO_JOB: Final = "demo"
CORPUS: Final = "demo"
#: The database lock of those who ask; the number is ours alone.
_ONE_AT_A_TIME: Final = 7_263_012


def bundle_path() -> Path:
    """Return the folder of the bundle that ships with Scopebook."""
    path = Path(str(files("scopebook_demo"))) / "bundle"
    if not (path / "bundle.json").exists():
        raise NotFoundError(
            f"The demo bundle is missing from {path}; install Scopebook from its repository, "
            "or start with `--no-demo`."
        )
    return path


def request_demo(session: Session) -> Job:
    """Ask for the demo dictionary once: again returns the same job, and retries a failed one."""
    session.execute(select(func.pg_advisory_xact_lock(_ONE_AT_A_TIME)))
    job = session.scalar(select(Job).where(Job.kind == DEMO_JOB).order_by(Job.id.desc()).limit(1))
    if job is not None:
        if job.state in ("failed", "cancelled"):
            retry_job(session, job.id)
        return job
    bundle = bundle_path()
    manifest = json.loads((bundle / "bundle.json").read_text())
    if session.scalar(select(Corpus.id).where(Corpus.name == CORPUS)) is None:
        add_corpus(session, CORPUS, bundle / manifest["corpus"]["path"])
    registering = [
        NewStep(
            kind=ADD_RELEASE,
            stage=0,
            title=f"Register {release['id']}",
            parameters={
                "source": str(bundle / release["path"]),
                "model": str(bundle / manifest["model"]["path"]),
                "collect": {"corpus": CORPUS},
            },
        )
        for release in manifest["releases"]
    ]
    exporting = NewStep(kind=EXPORT_EMBEDDER, stage=0, title="Prepare search by meaning")
    return create_job(session, DEMO_JOB, "Build the demo dictionary", [*registering, exporting])
