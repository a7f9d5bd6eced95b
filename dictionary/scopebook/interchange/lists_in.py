"""Bring in lists of features; a list that is here already stays as it is here."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from scopebook.corpora import reserve_ids
from scopebook.db.account_tables import Account
from scopebook.db.list_tables import FeatureList, FeatureListItem
from scopebook.interchange.authors_in import Authors
from scopebook.interchange.import_progress import DumpRow, keep_rows, kept_rows
from scopebook.interchange.importing import BESIDE, Importing
from scopebook.interchange.row_checks import (
    RefusedRowError,
    check_count,
    read_json,
    required,
)

#: As what lists are noted: those that came in, and those that were here.
_NEW, _KNOWN = "list", "list here"
_PLAIN: Final = ("name", "description", "shared", "version", "created_at", "changed_at")


def bring_lists(importing: Importing) -> None:
    """Add the lists that are not here, and their features."""
    with importing.progress.phase("lists") as session:
        if session is not None and session.scalar(select(exists().where(FeatureList.id > 0))):
            importing.progress.join("lists", "list_items")
    importing.read("lists", lambda session, rows: _write_lists(session, importing, rows))
    importing.read("list_items", lambda session, rows: _write_items(session, importing, rows))


def _write_lists(session: Session, importing: Importing, rows: list[DumpRow]) -> None:
    authors, here = Authors(session), _lists_here(session, rows)
    ids = iter(reserve_ids(session, FeatureList.__tablename__, len(rows)))
    known: list[tuple[int, int]] = []

    def values_of(row: DumpRow) -> Sequence[Any] | None:
        required(row, "list", "name", "created_at")
        check_count(row, "version")
        made_at = row.values["created_at"]
        found = next((here[one, made_at] for one in _names(row) if (one, made_at) in here), None)
        if found is not None:
            known.append((row.values["list"], found))
            return None
        search = None if row.values["search"] is None else read_json(row, "search")
        return (next(ids), authors.of(row), search, *(row.values[name] for name in _PLAIN))

    ready = importing.ready("lists", rows, values_of)
    columns = ("id", "owner_id", "search", *_PLAIN)
    written = importing.write(session, "lists", FeatureList, columns, ready)
    counts = importing.progress.of("lists")
    counts.left_out -= len(known)
    counts.known += len(known)
    new = [(row.values["list"], values[0]) for row, values in written]
    for kind, pairs in ((_NEW, new), (_KNOWN, known)):
        keep_rows(session, importing.import_id, kind, pairs)


#: The owner's name or the list's.
_Name = tuple[str, str]


def _names(row: DumpRow) -> list[_Name]:
    return [("owner", row.values["account"]), ("list", row.values["name"])]


def _lists_here(session: Session, rows: list[DumpRow]) -> dict[tuple[_Name, datetime], int]:
    """Return the lists that were made at such times, by their own names and their owners'.

    One of both is enough: a list may be called otherwise by now, and its owner too.
    """
    times = [row.values["created_at"] for row in rows]
    found = session.execute(
        select(
            func.coalesce(Account.imported_name, Account.name).label("owner"),
            FeatureList.name.label("list"),
            FeatureList.created_at,
            FeatureList.id,
        )
        .join(Account, Account.id == FeatureList.owner_id)
        .where(FeatureList.created_at.in_(times))
    )
    return {
        ((kind, name), row.created_at): row.id
        for row in found
        for kind, name in (("owner", row.owner), ("list", row.list))
    }


def _write_items(session: Session, importing: Importing, rows: list[DumpRow]) -> None:
    """Add features of lists that came in; to a list that was here, those of new layers."""
    authors = Authors(session)
    numbers = {row.values["list"] for row in rows if row.values["list"] is not None}
    new, known = (kept_rows(session, importing.import_id, kind, numbers) for kind in (_NEW, _KNOWN))

    def values_of(row: DumpRow) -> Sequence[Any] | None:
        number, feature_id = row.values["list"], importing.feature_of(row)
        if number in known and importing.sae_of(row).mode == BESIDE:
            return None
        list_id = new.get(number) or known.get(number)
        if list_id is None:
            raise RefusedRowError(f"its list {number} did not come in")
        place, note, added_at = (row.values[name] for name in ("place", "note", "added_at"))
        return (list_id, feature_id, authors.of(row), place, note, added_at)

    ready = importing.ready("list_items", rows, values_of)
    columns = ("list_id", "feature_id", "added_by", "place", "note", "added_at")
    importing.write(session, "list_items", FeatureListItem, columns, ready)
