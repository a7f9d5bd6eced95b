"""An import under way: the dump, how far it is, and what its names mean here."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from sqlalchemy.orm import Session

from scopebook.db.base import Base
from scopebook.db.tables import FEATURE_BITS
from scopebook.interchange.dump_files import Dump
from scopebook.interchange.import_progress import DumpRow, Progress
from scopebook.interchange.row_checks import RefusedRowError, check_numbers
from scopebook.interchange.row_writer import Ready, write_rows

#: How a layer comes in. NEW: with everything. BLANK: with everything but its features, which are
#: here. BESIDE: something was found or said of it here already, so that only labels come in.
NEW, BLANK, BESIDE = "sae new", "sae blank", "sae beside"
MODES: Final = (NEW, BLANK, BESIDE)


class SaeHere(NamedTuple):
    """What an SAE of the dump is here."""

    id: int
    d_sae: int
    mode: str


@dataclass(kw_only=True)
class Importing:
    """What every phase of an import needs."""

    dump: Dump
    progress: Progress
    saes: dict[tuple[str, int], SaeHere] = field(default_factory=dict)
    corpora: dict[str, int] = field(default_factory=dict)
    #: By corpus, tokenizer and the longest context.
    tokenisations: dict[tuple[str, str, int], int] = field(default_factory=dict)
    runs: dict[int, int] = field(default_factory=dict)
    labelings: dict[int, int] = field(default_factory=dict)

    @property
    def import_id(self) -> int:
        """The row id of this import."""
        return self.progress.import_id

    def comes_whole(self) -> bool:
        """Return whether one of the layers comes in with its collection."""
        return any(sae.mode != BESIDE for sae in self.saes.values())

    def read(
        self, table: str, write: Callable[[Session, list[DumpRow]], None], *, size: int = 2_048
    ) -> None:
        """Let `write` take the table's rows that are not in yet."""
        rows = self.dump.rows(table, skip=self.progress.of(table).read, size=size)
        self.progress.read(table, rows, write)

    def sae_of(self, row: DumpRow) -> SaeHere:
        """Return the SAE that a row names, if the row's feature is one of it."""
        release, layer = row.values["release"], row.values["layer"]
        sae = self.saes.get((release, layer))
        if sae is None:
            raise RefusedRowError(f"layer {layer} of {release} is not among the dump's SAEs")
        index = row.values.get("index")
        if index is None or not 0 <= index < sae.d_sae:
            raise RefusedRowError(f"index {index} is not one of its SAE's {sae.d_sae:,} features")
        return sae

    def feature_of(self, row: DumpRow) -> int:
        """Return the row id of the feature that a row names."""
        return (self.sae_of(row).id << FEATURE_BITS) | int(row.values["index"])

    def ready(
        self,
        table: str,
        rows: Iterable[DumpRow],
        values_of: Callable[[DumpRow], Sequence[Any] | None],
    ) -> list[Ready]:
        """Return the rows with their values, after those that are wrong were refused.

        `values_of` gives None for a row that is not wanted here.
        """
        found: list[Ready] = []
        for row in rows:
            try:
                check_numbers(row)
                values = values_of(row)
            except RefusedRowError as refused:
                self.progress.refuse(table, row.place, str(refused))
                continue
            if values is None:
                self.progress.of(table).left_out += 1
            else:
                found.append((row, values))
        return found

    def write(
        self,
        session: Session,
        table: str,
        target: type[Base],
        columns: Sequence[str],
        rows: Sequence[Ready],
    ) -> list[Ready]:
        """Write rows and count them; return those that are in."""
        written = write_rows(
            session,
            target,
            columns,
            rows,
            lambda place, reason: self.progress.refuse(table, place, reason),
        )
        self.progress.of(table).written += len(written)
        return written
