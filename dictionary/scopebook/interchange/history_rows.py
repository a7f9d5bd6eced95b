"""Rows of a dump's history, whose entries name other things by the dump's numbers and names."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.orm import Session

from scopebook.interchange.arrays import as_json
from scopebook.interchange.collected_rows import named
from scopebook.interchange.history_names import (
    Named,
    Names,
    all_named,
    renamed_slot,
    renamed_state,
)
from scopebook.interchange.numbering import TOGETHER, Numbers, stream
from scopebook.interchange.people_rows import NAME

_HISTORY: Final = f"""
SELECT c.feature_id, c.version, {NAME.format("a")} AS by, c.kind, c.slot, c.rests, c.before,
       c.after, c.reason, u.version AS undoes, o.number AS bulk, c.created_at
FROM change c
JOIN account a ON a.id = c.account_id
LEFT JOIN change u ON u.id = c.undoes_id
LEFT JOIN out_bulk o ON o.id = c.bulk_id
WHERE c.feature_id >= :first_id AND c.feature_id < :end_id
ORDER BY c.feature_id, c.version
"""

#: What a row id is called in the dump, by the kind of what it is of.
_CALLED: Final = {
    "label": "SELECT id, number::text FROM out_label WHERE id = ANY(:ids)",
    "opinion": "SELECT id, number::text FROM out_opinion WHERE id = ANY(:ids)",
    "comment": "SELECT id, number::text FROM out_comment WHERE id = ANY(:ids)",
    "context": "SELECT id, number::text FROM out_context WHERE id = ANY(:ids)",
    "tag": "SELECT id, name FROM tag WHERE id = ANY(:ids)",
    "account": f"SELECT a.id, {NAME.format('a')} FROM account a WHERE a.id = ANY(:ids)",
}
#: What an entry names and the dump does not hold, such as a text that nothing points to any more;
#: and, of senses, the whole feature.
NOTHING: Final = "0"


def history_rows(session: Session, numbers: Numbers) -> Iterator[Sequence[Any]]:
    """Yield what people did, feature by feature in the order in which they did it."""
    for sae in numbers.saes:
        ids = {"first_id": sae.first_id, "end_id": sae.end_id}
        entries = stream(session, text(_HISTORY), ids)
        while rows := list(islice(entries, TOGETHER)):
            names = _names(session, numbers, rows)
            for row in rows:
                yield (
                    *named(sae, row.feature_id - sae.first_id),
                    *(row.version, row.by, row.kind, renamed_slot(row.slot, names)),
                    [renamed_slot(slot, names) for slot in row.rests],
                    *(_state(row.before, names), _state(row.after, names)),
                    *(row.reason, row.undoes, row.bulk, row.created_at),
                )


def _state(state: Any, names: Names) -> str | None:
    return None if state is None else as_json(renamed_state(state, names))


def _names(session: Session, numbers: Numbers, rows: Sequence[Any]) -> Names:
    """Look up all that some entries name."""
    wanted = all_named(
        [slot for row in rows for slot in (row.slot, *row.rests)],
        [state for row in rows for state in (row.before, row.after)],
    )
    found: dict[Named, str] = {}
    for kind, query in _CALLED.items():
        ids = [int(one) for one in wanted.get(kind, ())]
        for row_id, name in session.execute(text(query), {"ids": ids}):
            found[Named(kind, str(row_id))] = name
    for kind, known in (("run", numbers.runs), ("labeling", numbers.labelings)):
        for one in wanted.get(kind, ()):
            found[Named(kind, one)] = str(known.get(int(one), NOTHING))
    found |= _senses(session, numbers, wanted.get("sense", ()))
    return lambda one: found.get(one, NOTHING)


def _senses(session: Session, numbers: Numbers, ids: Any) -> Mapping[Named, str]:
    """Return what senses are called: labeling and ordinal."""
    rows = session.execute(
        text("SELECT id, labeling_id, ordinal FROM sense WHERE id = ANY(:ids)"),
        {"ids": [int(one) for one in ids]},
    )
    return {
        Named("sense", str(row.id)): f"{numbers.labelings[row.labeling_id]}.{row.ordinal}"
        for row in rows
    }
