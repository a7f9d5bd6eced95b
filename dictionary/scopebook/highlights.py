"""Why a feature was found: the label that matched, with the words of the query in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from scopebook.db.arrays import among_given
from scopebook.db.label_tables import Label, Sense
from scopebook.spelling import QueryWords

#: Set around words that match; labels hold words, and no control characters.
_BEGIN: Final = "\x02"
_END: Final = "\x03"
_OPTIONS: Final = f"StartSel={_BEGIN}, StopSel={_END}, HighlightAll=true"


def _marked(column: Any) -> Any:
    asked = func.to_tsquery("english", bindparam("asked"))
    return func.ts_headline("english", column, asked, _OPTIONS)


_MARKED: Final = (
    select(
        Label.id,
        Sense.ordinal,
        _marked(Label.text).label("marked"),
        _marked(Label.description).label("described"),
    )
    .outerjoin(Sense, Sense.id == Label.sense_id)
    .where(among_given(Label.id))
)


@dataclass(frozen=True)
class Piece:
    """A part of a text; whether it is what the query asks for."""

    text: str
    matches: bool


@dataclass(frozen=True, kw_only=True)
class Why:
    """The label that a feature was found by."""

    label_id: int
    #: The sense that it words; None: the whole feature.
    sense: int | None
    #: Its text in pieces, and its description's where words of the query stand there.
    text: list[Piece]
    description: list[Piece] | None


def reasons(session: Session, label_ids: Sequence[int], words: QueryWords) -> dict[int, Why]:
    """Return each label in pieces, by its id."""
    if not label_ids:
        return {}
    rows = session.execute(_MARKED, {"ids": list(label_ids), "asked": words.some})
    return {
        row.id: Why(
            label_id=row.id,
            sense=row.ordinal,
            text=pieces(row.marked, words),
            description=_described(row.described, words),
        )
        for row in rows
    }


def _described(marked: str | None, words: QueryWords) -> list[Piece] | None:
    found = pieces(marked or "", words)
    return found if any(piece.matches for piece in found) else None


def pieces(marked: str, words: QueryWords) -> list[Piece]:
    """Return a text that full-text search has marked in pieces, unspaced scripts marked as well."""
    found: list[Piece] = []
    for part in marked.split(_BEGIN):
        inside, end, outside = part.partition(_END)
        if end:
            found.append(Piece(inside, True))
        else:
            outside = part
        found += _unspaced(outside, words.unspaced)
    return [piece for piece in found if piece.text]


def _unspaced(text: str, runs: Sequence[str]) -> list[Piece]:
    """Return a text cut where one of these runs of characters stands in it."""
    for run in runs:
        before, found, after = text.partition(run)
        if found:
            return [*_unspaced(before, runs), Piece(run, True), *_unspaced(after, runs)]
    return [Piece(text, False)]
