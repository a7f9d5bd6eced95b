"""Who said what a dump holds: names there, authors without an account here."""

from typing import Final

from sqlalchemy.orm import Session

from scopebook.imported_authors import author_id
from scopebook.interchange.import_progress import DumpRow
from scopebook.interchange.row_checks import RefusedRowError

_LONGEST: Final = 60


class Authors:
    """The authors of a batch's rows, each looked up once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._ids: dict[str, int] = {}

    def of(self, row: DumpRow) -> int:
        """Return the row id of a row's author."""
        return self.named(row.values["account"])

    def named(self, name: str | None) -> int:
        """Return the row id of an author, who is added at the first word."""
        if not name or len(name) > _LONGEST or not name.isprintable() or name != name.strip():
            raise RefusedRowError(
                f"its author is not named by 1 to {_LONGEST} characters that can be shown"
            )
        if name not in self._ids:
            self._ids[name] = author_id(self._session, name)
        return self._ids[name]
