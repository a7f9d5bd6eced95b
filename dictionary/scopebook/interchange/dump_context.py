"""Which contexts the evidence of features points to."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.db.tables import Evidence
from scopebook.packing import unpack_examples

#: Features whose evidence is read together; one has at most about a hundred examples.
FEATURES_TOGETHER: Final = 256


def evidence_of(session: Session, run_id: int, first_id: int, end_id: int) -> Iterator[list[Any]]:
    """Yield what a run found of the features with these row ids, in their order, some at a time."""
    last = first_id - 1
    while True:
        rows = session.execute(
            select(*Evidence.__table__.columns)
            .where(
                Evidence.run_id == run_id,
                Evidence.feature_id > last,
                Evidence.feature_id < end_id,
            )
            .order_by(Evidence.feature_id)
            .limit(FEATURES_TOGETHER)
        ).all()
        if not rows:
            return
        yield list(rows)
        last = rows[-1].feature_id


def contexts_of_evidence(
    session: Session, run_id: int, first_id: int, end_id: int
) -> Iterator[NDArray[np.int64]]:
    """Yield the row ids of the contexts that evidence points to, with repetitions."""
    for rows in evidence_of(session, run_id, first_id, end_id):
        ends = [end for row in rows for end in (row.first_context_id, row.last_context_id)]
        yield np.concatenate(
            [
                np.asarray([end for end in ends if end is not None], dtype=np.int64),
                *(unpack_examples(row.examples).context_id for row in rows),
            ]
        )
