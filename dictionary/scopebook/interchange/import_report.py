"""What became of an import: what came in, what was here, and what was refused and why."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from scopebook.artifacts import remedy_of
from scopebook.errors import UnavailableError

#: So many refusals stand in the report; all of them stand in its file.
SHOWN_REFUSALS: Final = 20


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A row that did not come in."""

    file: str
    #: Counted from 1: the row of a Parquet file, or the line of another.
    row: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}, row {self.row}: {self.reason}"


@dataclass(kw_only=True)
class Counts:
    """What became of a table's rows; all but `read` add up to `read`."""

    read: int = 0
    written: int = 0
    #: They are here already.
    known: int = 0
    #: They belong to what is here already, and were not wanted.
    left_out: int = 0
    refused: int = 0


@dataclass(frozen=True, kw_only=True)
class ImportReport:
    """What became of a dump."""

    path: str
    format: str
    releases: list[str]
    #: Layers that came in whole, and those that were here, for which only labels came in.
    layers_new: dict[str, list[int]]
    layers_known: dict[str, list[int]]
    tables: dict[str, Counts]
    refused: int
    refusals: list[Refusal]
    #: All refusals, one JSON document a line; None where there are none.
    refusals_file: str | None
    #: Whether an earlier import of the dump was interrupted, and this one went on.
    resumed: bool
    #: Whether the content is the dump's by hash; None where that cannot be, since it joined other.
    equal: bool | None
    #: Tables whose content is not the dump's.
    differing: list[str]
    #: What does not fit into this dictionary, and what was done instead.
    notes: list[str]
    #: What publishers of the releases ask of those who use them.
    cautions: list[str]


@dataclass
class RefusalFile:
    """The file of all refusals, beside which the progress keeps how much of it counts."""

    path: Path
    size: int = 0
    _waiting: list[Refusal] = field(default_factory=list)

    def add(self, refusal: Refusal) -> None:
        """Note a refusal; it is written with its batch."""
        self._waiting.append(refusal)

    def flush(self) -> None:
        """Write what was noted behind what counts; what an interrupted import left there goes."""
        if not self._waiting:
            return
        lines = "".join(json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in self._waiting)
        try:
            self.size = self._write(lines.encode("utf-8", errors="backslashreplace"))
        except OSError as error:
            raise UnavailableError(
                f"What the import refuses could not be noted in {self.path} "
                f"({error.strerror or error}); {remedy_of(error)}, then import again: it goes on "
                "where it was."
            ) from error
        self._waiting.clear()

    def _write(self, content: bytes) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("r+b" if self.path.exists() else "wb") as file:
            file.truncate(self.size)
            file.seek(self.size)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            return file.tell()

    def first(self) -> list[Refusal]:
        """Return those for the report."""
        if not self.size or not self.path.exists():
            return []
        found: list[Refusal] = []
        with self.path.open(encoding="utf-8") as file:
            for line in file:
                if len(found) == SHOWN_REFUSALS:
                    break
                found.append(Refusal(**json.loads(line)))
        return found
