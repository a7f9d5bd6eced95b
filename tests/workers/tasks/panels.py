"""A panel of the features that `test_label.make_dictionary` makes."""

from typing import BinaryIO

import numpy as np
from sqlalchemy import select
from tests.workers.tasks.test_label import N

from scopebook.artifacts import write_artifact
from scopebook.db.label_tables import Panel
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.db.tables import Context, Run, Sae


def make_panel(sessions: Sessions, sae: Sae, run: Run) -> None:
    """Write a panel of all contexts, which says of each feature what its examples say."""
    with unit_of_work(sessions) as session:
        contexts = session.scalars(select(Context.id).order_by(Context.id)).all()
        fired = [list(range(index * N, (index + 1) * N)) for index in range(4)]
        fired.append([*fired[0], *fired[2]])
        counts = [len(places) for places in fired] + [0] * (sae.d_sae - 5)
        rows = np.concatenate([np.asarray(places) for places in fired]).astype(np.int32)

        def write(file: BinaryIO) -> None:
            np.savez(
                file,
                allow_pickle=False,
                context_ids=np.asarray(contexts),
                starts=np.concatenate([[0], np.cumsum(counts)]),
                contexts=rows,
                peaks=np.full(len(rows), 22, dtype=np.int32),
                activations=np.ones(len(rows), dtype=np.float32),
            )

        name = write_artifact("panels/test.npz", write)
        session.add(Panel(run_id=run.id, sae_id=sae.id, artifact=name, contexts=len(contexts)))
