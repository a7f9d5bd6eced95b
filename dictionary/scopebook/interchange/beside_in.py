"""Labels of a dump for a layer that has its own: they come in as imports, with their origin kept.

They never become the words of a labeling, a model or a person here. What they were is told in
their provenance, and so is how they rank (`scopebook.imported_labels`).
"""

import hashlib
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import BigInteger, any_, literal, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from scopebook.db.label_tables import Label
from scopebook.db.tables import FEATURE_BITS
from scopebook.imported_labels import IMPORT, KEYWORDS, LLM, PERSON, RANKS_AS
from scopebook.interchange.import_progress import DumpRow
from scopebook.interchange.importing import BESIDE, Importing
from scopebook.interchange.row_checks import read_json, required

_RANKS: Final = {"person": PERSON, "llm": LLM, "keywords": KEYWORDS}


class LabelsBeside:
    """Tells of each label of a batch what it becomes, if its layer was here before."""

    def __init__(self, session: Session, importing: Importing, rows: Sequence[DumpRow]) -> None:
        self._importing = importing
        self._here = _labels_here(session, importing, rows)
        self.known = 0

    def head(self, row: DumpRow) -> Sequence[Any] | None:
        """Return the columns before the wording; None where the label keeps its own origin.

        Nothing (an empty list) for one that is here already.
        """
        if self._importing.sae_of(row).mode != BESIDE:
            return None
        required(row, "text", "source", "method", "status")
        sae, feature_id = self._importing.sae_of(row), self._importing.feature_of(row)
        origin = self._origin(row)
        wording = (feature_id, row.values["text"], row.values["method"], row.values["author"])
        names: set[tuple[Any, ...]] = {wording, (feature_id, origin["key"])}
        if names & self._here:
            self.known += 1
            return []
        self._here |= names
        before = read_json(row, "provenance")
        provenance = before | {IMPORT: origin}
        return (feature_id, sae.id, None, None, [], "import", provenance, None, False, None)

    def _origin(self, row: DumpRow) -> dict[str, Any]:
        """Return what a label was where it comes from."""
        values = row.values
        earlier = read_json(row, "provenance").get(IMPORT, {})
        key = [values[name] for name in ("text", "source", "method", "author", "sense")]
        said_at = values["created_at"].isoformat() if values["created_at"] else None
        whole_and_in_force = values["current"] and values["sense"] is None
        rank = _RANKS.get(values["source"], earlier.get(RANKS_AS))
        return {
            "dump": self._importing.dump.sha256,
            "source": values["source"],
            "method": values["method"],
            "author": values["author"],
            "sense": values["sense"],
            "in_force": values["current"],
            "key": hashlib.sha256(repr([*key, said_at]).encode()).hexdigest(),
            **({RANKS_AS: rank} if whole_and_in_force and rank else {}),
            **({"earlier": earlier} if earlier else {}),
        }


def _labels_here(
    session: Session, importing: Importing, rows: Sequence[DumpRow]
) -> set[tuple[Any, ...]]:
    """Return what is said of these features here, by wording and by origin."""
    ids = {
        (sae.id << FEATURE_BITS) | (row.values["index"] or 0)
        for row in rows
        if (sae := importing.saes.get((row.values["release"], row.values["layer"])))
        and sae.mode == BESIDE
    }
    found = session.execute(
        select(Label.feature_id, Label.text, Label.method, Label.author, Label.provenance).where(
            Label.feature_id == any_(literal(sorted(ids), ARRAY(BigInteger)))
        )
    )
    here: set[tuple[Any, ...]] = set()
    for feature_id, text, method, author, provenance in found:
        here.add((feature_id, text, method, author))
        here.add((feature_id, provenance.get(IMPORT, {}).get("key")))
    return here
