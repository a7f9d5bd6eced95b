"""The real workers, but for what a shard computes: they sleep instead, and import no torch.

`celery -A benchmarks.scale_worker:app` starts them. All else of a shard is as ever: its claim, the
reading of its rows, the lease and the progress, the file, and the transaction that ends it.
"""

import os
import time
from typing import BinaryIO, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.artifacts import write_artifact
from scopebook.db.tables import Context, Document, Release, Run, Sae, Shard
from scopebook.jobs import COLLECT_SHARD
from scopebook.steps import Claim
from scopebook_workers.app import app
from scopebook_workers.claims import Finish, Progress, step_task
from scopebook_workers.outages import read_patiently

__all__ = ["app"]

#: How long a shard computes, as which many batches, and what it leaves.
SECONDS: Final = float(os.environ.get("SCALE_SECONDS", "4"))
BATCHES: Final = 24
ARTIFACT_BYTES: Final = int(os.environ.get("SCALE_ARTIFACT_BYTES", "1000000"))


@step_task(COLLECT_SHARD)
def sleep_instead(claim: Claim, progress: Progress) -> Finish:
    """Read what a shard reads, sleep, and leave what a shard leaves."""
    shard_id = claim.parameters["shard_id"]
    run_id, ordinal = read_patiently(lambda session: _read_plan(session, shard_id))
    for batch in range(BATCHES):
        progress(batch, BATCHES, "tokens")
        time.sleep(SECONDS / BATCHES)
    name = f"runs/{run_id}/shard-{ordinal:05d}-{claim.fence}.npz"
    write_artifact(name, _write)

    def write(session: Session) -> None:
        session.get_one(Shard, shard_id).artifact = name

    return write


def _write(file: BinaryIO) -> None:
    file.write(os.urandom(ARTIFACT_BYTES))


def _read_plan(session: Session, shard_id: int) -> tuple[int, int]:
    """Read the rows that `scopebook_workers.tasks.shards` reads."""
    shard = session.get_one(Shard, shard_id)
    run = session.get_one(Run, shard.run_id)
    release = session.get_one(Release, run.release_id)
    session.scalars(select(Sae).where(Sae.release_id == release.id, Sae.layer.in_(run.layers)))
    session.execute(
        select(Context.id, Context.tokens, Document.sha256)
        .join(Document, Document.id == Context.document_id)
        .where(
            Context.tokenisation_id == run.tokenisation_id,
            Context.id.between(shard.first_context_id, shard.last_context_id),
        )
        .order_by(Context.id)
    ).all()
    return run.id, shard.ordinal
