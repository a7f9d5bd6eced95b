"""Bring in the team's vocabulary: words that are not here; what is said of others here stays."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from scopebook.db.review_tables import FeatureTag, Tag
from scopebook.interchange.import_progress import DumpRow
from scopebook.interchange.importing import Importing
from scopebook.interchange.row_checks import RefusedRowError
from scopebook.tags import FIRST_WORDS, is_name

_TABLE = "vocabulary"
_COLUMNS = ("name", "description", "retired_at", "created_at")


def bring_vocabulary(importing: Importing) -> None:
    """Add the dump's words; one that every dictionary begins with and nobody used becomes its."""
    with importing.progress.phase(_TABLE) as session:
        if session is None:
            return
        rows = importing.dump.all_rows(_TABLE)
        here = {tag.name: tag for tag in session.scalars(select(Tag))}
        others = set(here) - {row.values["name"] for row in rows}
        counts = importing.progress.of(_TABLE)

        def values_of(row: DumpRow) -> Sequence[Any] | None:
            values = [row.values[name] for name in _COLUMNS]
            if not is_name(values[0] or ""):
                raise RefusedRowError(f"{values[0]!r} cannot be a tag")
            tag = here.get(values[0])
            if tag is None:
                return values
            counts.known += 1
            counts.left_out -= 1
            if _is_untouched(session, tag):
                tag.description, tag.retired_at, tag.created_at = values[1:]
            elif [getattr(tag, name) for name in _COLUMNS] != values:
                others.add(tag.name)
            return None

        ready = importing.ready(_TABLE, rows, values_of)
        importing.write(session, _TABLE, Tag, _COLUMNS, ready)
        counts.read += len(rows)
        if others:
            importing.progress.join(_TABLE)


def _is_untouched(session: Session, tag: Tag) -> bool:
    """Tell whether a word is as every dictionary begins with it."""
    given = exists().where(FeatureTag.tag_id == tag.id)
    return (
        FIRST_WORDS.get(tag.name, "") == tag.description
        and tag.retired_at is None
        and not session.scalar(select(given))
    )
