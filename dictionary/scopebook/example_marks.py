"""Examples that people mark as off-meaning, and where an example stands in the evidence."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.db.account_tables import Account
from scopebook.db.review_tables import Change, ExampleMark
from scopebook.db.tables import Evidence
from scopebook.errors import ConflictError, NotFoundError
from scopebook.feature_writes import FeatureWrite, Said, record
from scopebook.packing import unpack_examples
from scopebook.reviews import shown_run


@dataclass(frozen=True, kw_only=True)
class MarkView:
    """An example that somebody finds off-meaning."""

    context_id: int
    author: str


def positions_of(session: Session, feature_id: int, context_ids: Sequence[int]) -> list[int]:
    """Return where the shown examples of some contexts stand; one context may stand twice."""
    packed = session.scalar(
        select(Evidence.examples).where(
            Evidence.run_id == shown_run(session, feature_id), Evidence.feature_id == feature_id
        )
    )
    known = unpack_examples(packed).context_id if packed else np.zeros(0, dtype=np.int64)
    unknown = sorted(set(context_ids) - set(known.tolist()))
    if unknown:
        raise NotFoundError(
            f"This feature shows no example of context {', '.join(map(str, unknown[:5]))}; take "
            "`context_id` from its examples."
        )
    return [int(at) for at in np.flatnonzero(np.isin(known, list(context_ids)))]


def mark_example(session: Session, write: FeatureWrite, context_id: int, *, off: bool) -> Change:
    """Mark a shown example as off-meaning, or take the mark away."""
    run_id = shown_run(session, write.feature_id)
    position = positions_of(session, write.feature_id, [context_id])[0]
    assert run_id is not None
    if put_mark(session, write, run_id, position, context_id, off=off) == off:
        marked = "marked" if off else "not marked"
        raise ConflictError(f"The example of context {context_id} is {marked} as off-meaning.")
    said = {"context_id": context_id}
    return record(
        session,
        write,
        Said(
            kind="example",
            slot=f"example:{run_id}:{position}:{context_id}",
            before=None if off else said,
            after=said if off else None,
        ),
    )


def put_mark(
    session: Session, write: FeatureWrite, run_id: int, position: int, context_id: int, *, off: bool
) -> bool:
    """Let an example be marked or not; return whether it was."""
    marked = session.get(
        ExampleMark, (write.feature_id, run_id, context_id), populate_existing=True
    )
    if marked is not None and not off:
        session.delete(marked)
    elif marked is None and off:
        session.add(
            ExampleMark(
                feature_id=write.feature_id,
                run_id=run_id,
                context_id=context_id,
                position=position,
                account_id=write.actor.account_id,
            )
        )
    session.flush()
    return marked is not None


def marks_of(session: Session, feature_id: int) -> list[MarkView]:
    """Return which examples of the shown run are marked as off-meaning."""
    rows = session.execute(
        select(ExampleMark.context_id, Account.name)
        .join(Account, Account.id == ExampleMark.account_id)
        .where(
            ExampleMark.feature_id == feature_id,
            ExampleMark.run_id == shown_run(session, feature_id),
        )
        .order_by(ExampleMark.position)
    )
    return [MarkView(context_id=context_id, author=name) for context_id, name in rows]
