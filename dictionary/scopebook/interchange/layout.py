"""The tables of a Parquet dump and their columns: what is written, read, hashed and documented.

A table is added here, gets its rows from `scopebook.interchange.dump_rows`, and is read back by a
phase of `scopebook.interchange.parquet_in`. Rows are named by what they are (release, layer,
index), or by numbers that count them in the dump's order; no row id of an instance is in it, so
that two instances with the same content write the same rows. A column or a table that is added to
the format says since which version it is there: dumps of earlier ones can be read as long as the
format lasts.
"""

from typing import Final

from scopebook.interchange.collected_layout import COLLECTED
from scopebook.interchange.ground_layout import GROUND
from scopebook.interchange.people_layout import PEOPLE
from scopebook.interchange.said_layout import SAID

FORMAT: Final = "scopebook-parquet"
VERSION: Final = 2

#: In the order in which they are written and read: a row points to earlier ones only.
TABLES: Final = (*GROUND, *COLLECTED, *SAID, *PEOPLE)
BY_NAME: Final = {table.name: table for table in TABLES}
