"""What rows of a dump name by number or word, as it came in; a row that names nothing is refused.

A label, a comment or a wish for a second opinion must be of the row's own feature.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from sqlalchemy import BigInteger, any_, literal, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from scopebook.db.import_tables import ImportedRow
from scopebook.db.label_tables import Label, Labeling, Sense
from scopebook.db.review_tables import Comment, SecondOpinion, Tag
from scopebook.db.tables import FEATURE_BITS
from scopebook.interchange.collected_in import CONTEXT
from scopebook.interchange.import_progress import kept_rows
from scopebook.interchange.importing import Importing
from scopebook.interchange.row_checks import RefusedRowError
from scopebook.interchange.said_in import LABEL

#: As what comments and wishes for second opinions are noted, beside labels.
COMMENT, OPINION = "comment", "opinion"
_OF_FEATURES: Final[Mapping[str, Any]] = {
    LABEL: Label,
    COMMENT: Comment,
    OPINION: SecondOpinion,
}


class NamedIn:
    """What the rows of one batch may name; looked up for all of them at once."""

    def __init__(
        self, session: Session, importing: Importing, numbers: Mapping[str, Iterable[int | None]]
    ) -> None:
        self._session, self._importing = session, importing
        wanted = {kind: {n for n in found if n is not None} for kind, found in numbers.items()}
        self._rows = {kind: self._look_up(kind, wanted.get(kind, set())) for kind in _OF_FEATURES}
        contexts = wanted.get(CONTEXT, set())
        self._contexts = kept_rows(session, importing.import_id, CONTEXT, contexts)
        words = session.execute(select(Tag.id, Tag.name))
        self._tags: dict[str, int] = {row.name: row.id for row in words}

    def _look_up(self, kind: str, numbers: set[int]) -> dict[int, tuple[int, int]]:
        table = _OF_FEATURES[kind]
        rows = self._session.execute(
            select(ImportedRow.number, table.id, table.feature_id)
            .join(table, table.id == ImportedRow.row_id)
            .where(
                ImportedRow.import_id == self._importing.import_id,
                ImportedRow.kind == kind,
                ImportedRow.number == any_(literal(sorted(numbers), ARRAY(BigInteger))),
            )
        )
        return {row.number: (row.id, row.feature_id) for row in rows}

    def of_feature(self, kind: str, number: int | None, feature_id: int) -> int:
        """Return the row id of a feature's label, comment or wish for a second opinion."""
        row_id, found = self._rows[kind].get(number or 0, (None, None))
        if row_id is None:
            raise RefusedRowError(f"its {kind} {number} did not come in")
        if found != feature_id:
            raise RefusedRowError(f"its {kind} {number} is another feature's")
        return int(row_id)

    def context(self, number: int | None) -> int:
        """Return the row id of a context."""
        if number is None or number not in self._contexts:
            raise RefusedRowError(f"its context {number} did not come in")
        return self._contexts[number]

    def tag(self, name: str | None) -> int:
        """Return the row id of a word of the vocabulary."""
        if name is None or name not in self._tags:
            raise RefusedRowError(f"its tag {name!r} is not in the vocabulary")
        return self._tags[name]

    def run(self, number: int | None) -> int:
        """Return the row id of a run."""
        if number is None or number not in self._importing.runs:
            raise RefusedRowError(f"its run {number} did not come in")
        return self._importing.runs[number]

    def grouping(self, number: int | None, feature_id: int) -> int:
        """Return the row id of a labeling by a person of the feature's SAE."""
        row_id = self._importing.labelings.get(number or 0)
        labeling = None if row_id is None else self._session.get(Labeling, row_id)
        if labeling is None or labeling.source != "person":
            raise RefusedRowError(f"its labeling {number} did not come in as a person's")
        if labeling.sae_id != feature_id >> FEATURE_BITS:
            raise RefusedRowError(f"its labeling {number} is of another layer")
        return labeling.id

    def sense(self, labeling: int | None, ordinal: int | None, feature_id: int) -> int | None:
        """Return the row id of a feature's sense; None for the whole feature."""
        if ordinal is None:
            return None
        found = self._session.scalar(
            select(Sense.id).where(
                Sense.labeling_id == self._importing.labelings.get(labeling or 0, 0),
                Sense.feature_id == feature_id,
                Sense.ordinal == ordinal,
            )
        )
        if found is None:
            raise RefusedRowError(f"its sense {ordinal} did not come in")
        return found
