"""Bring in the history of features of layers that come in whole, to be undone as it could there.

What an entry says of before and after is looked at as closely as its names, since an undo writes
it back.
"""

import secrets
from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any, Final

from sqlalchemy import BigInteger, any_, literal, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from scopebook.corpora import reserve_ids
from scopebook.db.review_tables import BulkAction, Change
from scopebook.interchange.authors_in import Authors
from scopebook.interchange.history_names import (
    SLOT_OF,
    Named,
    Names,
    named_in,
    parts_of,
    renamed_slot,
    renamed_state,
)
from scopebook.interchange.history_rows import NOTHING
from scopebook.interchange.import_progress import DumpRow, keep_rows, kept_rows
from scopebook.interchange.importing import BESIDE, Importing
from scopebook.interchange.named_in import COMMENT, OPINION, NamedIn
from scopebook.interchange.row_checks import (
    RefusedRowError,
    check_count,
    read_json,
    required,
)
from scopebook.interchange.said_in import LABEL

_BULK: Final = "bulk"


def bring_history(importing: Importing) -> None:
    """Add actions on many features, and every step of people; a feature's version follows."""
    importing.read("bulk_actions", lambda session, rows: _write_bulks(session, importing, rows))
    importing.read("history", lambda session, rows: _write_history(session, importing, rows))


def _write_bulks(session: Session, importing: Importing, rows: list[DumpRow]) -> None:
    authors = Authors(session)
    ids = iter(reserve_ids(session, BulkAction.__tablename__, len(rows)))
    known: list[tuple[int, int]] = []

    def values_of(row: DumpRow) -> Sequence[Any] | None:
        if not importing.comes_whole():
            return None
        required(row, "bulk", "created_at")
        account_id, times = authors.of(row), [row.values[name] for name in _TIMES]
        found = session.scalar(
            select(BulkAction.id).where(
                BulkAction.account_id == account_id, BulkAction.created_at == times[0]
            )
        )
        if found is not None:
            known.append((row.values["bulk"], found))
            return None
        # Its token is of this instance alone; which features it named, the history tells.
        token = secrets.token_urlsafe(24)
        return (next(ids), token, account_id, read_json(row, "action"), [], *times)

    ready = importing.ready("bulk_actions", rows, values_of)
    columns = ("id", "token", "account_id", "action", "features", *_TIMES)
    written = importing.write(session, "bulk_actions", BulkAction, columns, ready)
    counts = importing.progress.of("bulk_actions")
    counts.left_out -= len(known)
    counts.known += len(known)
    pairs = [(row.values["bulk"], values[0]) for row, values in written]
    keep_rows(session, importing.import_id, _BULK, [*known, *pairs])


_TIMES: Final = ("created_at", "applied_at", "undone_at")


class _Entry:
    """An entry of the dump whose form is right: what its names mean is looked up later."""

    def __init__(self, row: DumpRow) -> None:
        required(row, "kind", "slot", "rests", "created_at")
        check_count(row, "version")
        values = row.values
        self.kind, self.slot, self.rests = values["kind"], values["slot"], values["rests"]
        self.word = str(self.slot).partition(":")[0]
        undoes = values["undoes"]
        if (self.kind == "undo") != (undoes is not None) or (undoes or 0) >= values["version"]:
            raise RefusedRowError("it undoes nothing, or what came later")
        if self.kind != "undo" and SLOT_OF.get(self.kind) != self.word:
            raise RefusedRowError(f"its kind {self.kind!r} does not change {self.slot!r}")
        self.before, self.after = (_state(row, name, self.word) for name in ("before", "after"))
        self.named = [part for slot in (self.slot, *self.rests) for part in _parts(slot)]
        for state in (self.before, self.after):
            self.named += named_in(state)


#: Of the examples of a feature.
_LAST_PLACE: Final = 2**15 - 1


def _parts(slot: Any) -> list[Named]:
    try:
        parts = parts_of(str(slot))
    except ValueError as error:
        raise RefusedRowError(f"{slot!r} is nothing that an entry changes") from error
    for part in parts:
        digits = part.name.replace(".", "", 1) if part.kind == "sense" else part.name
        is_word = part.kind in ("account", "tag")
        if not is_word and not (digits.isascii() and digits.isdigit() and len(digits) < 19):
            raise RefusedRowError(f"{slot!r} names {part.name!r}, which is no number")
        if part.kind == "place" and int(part.name) > _LAST_PLACE:
            raise RefusedRowError(f"{slot!r} names place {part.name}, where no example stands")
    return parts


#: What a state holds, by what it is a state of; what an undo writes back must be there.
_STATES: Final[Mapping[str, Mapping[str, tuple[type, ...]]]] = {
    "label": {"label_id": (int,), "text": (str,)},
    "review": {"verdict": (str,), "reason": (str, NoneType)},
    "pin": {"label_id": (int,)},
    "opinion": {"reason": (str, NoneType)},
    "comment": {"text": (str,)},
    "tag": {"tag": (str,)},
    "example": {"context_id": (int,)},
    "grouping": {"labeling_id": (int,), "senses": (int,)},
}
_VERDICTS: Final = ("accept", "reject", "unsure")


def _state(row: DumpRow, name: str, word: str) -> dict[str, Any] | None:
    if row.values[name] is None:
        return None
    state = read_json(row, name)
    closed = state.get("closed", [])
    right = all(
        key in state and type(state[key]) in types for key, types in _STATES.get(word, {}).items()
    )
    if not right or not isinstance(closed, list) or not all(type(one) is int for one in closed):
        raise RefusedRowError(f"{name} is not what an entry keeps of {word!r}")
    if state.get("verdict", "accept") not in _VERDICTS:
        raise RefusedRowError(f"{name} holds no verdict that there is")
    return state


def _write_history(session: Session, importing: Importing, rows: list[DumpRow]) -> None:
    entries: dict[Any, _Entry] = {}

    def look_at(row: DumpRow) -> Sequence[Any] | None:
        if importing.sae_of(row).mode == BESIDE:
            return None
        entries[row.place] = _Entry(row)
        return ()

    fit = [row for row, _ in importing.ready("history", rows, look_at)]
    batch = _Batch(session, importing, fit, entries)
    ready = importing.ready("history", fit, batch.values_of)
    importing.write(session, "history", Change, _COLUMNS, ready)


_COLUMNS: Final = (
    *("id", "feature_id", "version", "account_id", "kind", "slot", "rests", "before", "after"),
    *("reason", "undoes_id", "bulk_id", "created_at"),
)


class _Batch:
    """Entries that are written together, with all that they name."""

    def __init__(
        self,
        session: Session,
        importing: Importing,
        rows: Sequence[DumpRow],
        entries: Mapping[Any, _Entry],
    ) -> None:
        self._importing, self._entries = importing, entries
        wanted: dict[str, set[int]] = {}
        for entry in entries.values():
            for part in entry.named:
                if part.name.isdecimal():
                    wanted.setdefault(part.kind, set()).add(int(part.name))
        self._named = NamedIn(session, importing, wanted)
        self._authors = Authors(session)
        self._ids = iter(reserve_ids(session, Change.__tablename__, len(rows)))
        bulks = {row.values["bulk"] for row in rows if row.values["bulk"] is not None}
        self._bulks = kept_rows(session, importing.import_id, _BULK, bulks)
        self._earlier = _earlier(session, importing, rows)

    def values_of(self, row: DumpRow) -> Sequence[Any]:
        """Return an entry as it is here."""
        entry, feature_id = self._entries[row.place], self._importing.feature_of(row)
        names = self._names(feature_id)
        slot = renamed_slot(entry.slot, names)
        version, undoes, bulk = (row.values[name] for name in ("version", "undoes", "bulk"))
        undone_id, undone_slot = self._earlier.get((feature_id, undoes), (None, None))
        if undoes is not None and undone_slot != slot:
            raise RefusedRowError(
                f"entry {undoes}, which it undoes, did not come in, or is of something else"
            )
        if bulk is not None and bulk not in self._bulks:
            raise RefusedRowError(f"action {bulk}, of which it is a part, did not come in")
        row_id = next(self._ids)
        self._earlier[feature_id, version] = (row_id, slot)
        return (
            *(row_id, feature_id, version, self._authors.of(row), entry.kind, slot),
            [renamed_slot(other, names) for other in entry.rests],
            *(renamed_state(state, names) for state in (entry.before, entry.after)),
            *(row.values["reason"], undone_id, self._bulks.get(bulk), row.values["created_at"]),
        )

    def _names(self, feature_id: int) -> Names:
        """Look up what a feature's entries name."""
        named = self._named

        def name(part: Named) -> str:
            kind, number = part
            if kind in ("account", "tag"):
                of = self._authors.named if kind == "account" else named.tag
                return str(of(number))
            if kind in (LABEL, COMMENT, OPINION):
                return str(named.of_feature(kind, int(number), feature_id))
            if number == NOTHING and kind in ("sense", "context"):
                return NOTHING
            if kind == "sense":
                labeling, _, ordinal = number.partition(".")
                return str(named.sense(int(labeling), int(ordinal or 0), feature_id))
            if kind == "labeling":
                return str(named.grouping(int(number), feature_id))
            return str((named.run if kind == "run" else named.context)(int(number)))

        return name


def _earlier(
    session: Session, importing: Importing, rows: Sequence[DumpRow]
) -> dict[tuple[int, int], tuple[int, str]]:
    """Return the entries of earlier batches that these undo, by feature and version."""
    undoing = [row for row in rows if row.values["undoes"] is not None]
    features = {importing.feature_of(row) for row in undoing}
    found = session.execute(
        select(Change.feature_id, Change.version, Change.id, Change.slot).where(
            Change.feature_id == any_(literal(sorted(features), ARRAY(BigInteger))),
            Change.version.in_({row.values["undoes"] for row in undoing}),
        )
    )
    return {(row.feature_id, row.version): (row.id, row.slot) for row in found}


#: The number of the last entry of each feature.
_VERSIONS: Final = """
INSERT INTO feature_version (feature_id, version)
SELECT c.feature_id, max(c.version) FROM change c
WHERE (c.feature_id >> 20) = ANY(:sae_ids) GROUP BY c.feature_id
ON CONFLICT (feature_id) DO UPDATE SET version = excluded.version
"""


def count_versions(session: Session, sae_ids: Sequence[int]) -> None:
    """Let the versions of features be those of their last entries."""
    session.execute(text(_VERSIONS), {"sae_ids": list(sae_ids)})
