"""The tables of imports: how far each has come, and which row became which."""

from typing import Any

from sqlalchemy import BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from scopebook.db.base import Base, Created, Moment


class DumpImport(Base):
    """One dump that is, or was, read into this dictionary."""

    __tablename__ = "dump_import"

    id: Mapped[int] = mapped_column(primary_key=True)
    #: Over what the dump says of itself, its files' checksums included.
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    format: Mapped[str]
    source: Mapped[str]
    #: Written with every batch, in its transaction: what is counted there is in the dictionary.
    progress: Mapped[dict[str, Any]]
    created_at: Mapped[Created]
    finished_at: Mapped[Moment | None]


class ImportedRow(Base):
    """Which row a number of the dump became; kept until the import is over."""

    __tablename__ = "imported_row"

    import_id: Mapped[int] = mapped_column(
        ForeignKey("dump_import.id", ondelete="CASCADE"), primary_key=True
    )
    kind: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    row_id: Mapped[int] = mapped_column(BigInteger)
