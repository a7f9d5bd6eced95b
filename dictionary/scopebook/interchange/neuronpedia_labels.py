"""Explanations of a dump in Neuronpedia's layout, as imported labels."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, any_, literal, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from scopebook.db.label_tables import Label
from scopebook.db.tables import FEATURE_BITS
from scopebook.imported_labels import IMPORT, KEYWORDS, LLM, PERSON, RANKS_AS
from scopebook.interchange.import_progress import DumpRow
from scopebook.interchange.neuronpedia_files import Source
from scopebook.interchange.neuronpedia_layout import BOT, SOURCE_OF_TYPE
from scopebook.interchange.row_checks import RefusedRowError

COLUMNS: Final = (
    *("feature_id", "sae_id", "also", "text", "description", "source", "status", "method"),
    *("author", "provenance", "current"),
)
_RANKS: Final = {"person": PERSON, "llm": LLM, "keywords": KEYWORDS, "import": LLM}
#: Its upload takes no longer one; what is longer is reasoning that leaked, or an essay.
LONGEST: Final = 512
_LEAKED: Final = ("<think", "</think", "<|channel|>")


class ExplanationsOf:
    """Makes the labels of a batch of a source's explanations; those that are here are known."""

    def __init__(self, session: Session, source: Source, rows: Sequence[DumpRow]) -> None:
        self._source = source
        ids = [source.sae.id << FEATURE_BITS | row.values["index"] for row in rows]
        here = session.execute(
            select(Label.feature_id, Label.text, Label.method, Label.author).where(
                Label.feature_id == any_(literal(ids, ARRAY(BigInteger)))
            )
        )
        self._here = {tuple(row) for row in here}
        self.known = 0

    def values_of(self, row: DumpRow) -> Sequence[Any] | None:
        """Return a label's columns; None for one that is here."""
        values = row.values
        wording = values.get("description")
        if not isinstance(wording, str) or not wording.strip():
            raise RefusedRowError("its description is no text")
        notes = _own_notes(values.get("notes"))
        method, author = _method(values, notes), _author(values, notes)
        feature_id = self._source.sae.id << FEATURE_BITS | values["index"]
        key = (feature_id, wording.strip(), method, author)
        if key in self._here:
            self.known += 1
            return None
        self._here.add(key)
        fault = _fault(wording)
        return (
            *(feature_id, self._source.sae.id, [], wording.strip(), notes.get("description")),
            *("import", "suspect" if fault else "ok", method, author),
            {IMPORT: _origin(values, notes, fault)},
            False,
        )


def _own_notes(notes: Any) -> dict[str, Any]:
    """Return the origin that our own export notes; nothing for anybody else's notes."""
    try:
        found = json.loads(notes)
    except (TypeError, ValueError):
        return {}
    return found if isinstance(found, dict) and found.get("scopebook") == 1 else {}


def _method(values: dict[str, Any], notes: dict[str, Any]) -> str:
    if isinstance(notes.get("method"), str):
        return str(notes["method"])
    kind = values.get("typeName") or "unknown"
    model = values.get("explanationModelName")
    return f"{kind} ({model})" if model else str(kind)


def _author(values: dict[str, Any], notes: dict[str, Any]) -> str | None:
    if isinstance(notes.get("author"), str):
        return str(notes["author"])
    # Its own exports write the bot in place of everybody.
    author = values.get("authorId")
    return author if isinstance(author, str) and author != BOT else None


def _fault(wording: str) -> str | None:
    """Return why a wording is no label to show: what others' dumps have been found to hold."""
    if len(wording) > LONGEST:
        return f"It is longer than {LONGEST} characters."
    if any(mark in wording.lower() for mark in _LEAKED):
        return "It holds a model's reasoning."
    return None


def _origin(values: dict[str, Any], notes: dict[str, Any], fault: str | None) -> dict[str, Any]:
    source = notes.get("source") or SOURCE_OF_TYPE.get(values.get("typeName") or "")
    of_sense = notes.get("of") == "sense"
    rank = _RANKS.get(str(source), LLM)
    created = values.get("createdAt")
    return {
        "tool": "neuronpedia",
        "id": values.get("id"),
        "source": source,
        "type": values.get("typeName"),
        "model": values.get("explanationModelName"),
        **({"said_at": created} if _is_time(created) else {}),
        **({"of": "sense"} if of_sense else {RANKS_AS: rank}),
        **({"suspect": fault} if fault else {}),
    }


def _is_time(value: Any) -> bool:
    try:
        datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return False
    return True
