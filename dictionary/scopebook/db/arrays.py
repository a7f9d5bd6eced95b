"""Ask for many rows by their ids with one parameter."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, any_, bindparam, literal
from sqlalchemy.dialects.postgresql import ARRAY


def among(column: Any, ids: Collection[int]) -> ColumnElement[bool]:
    """Return the condition that a column of whole numbers holds one of the ids.

    They go to the server as one array. `IN` writes a parameter for each: hundreds of them take
    longer to bind than to look up, and for each number of them Postgres plans another statement.
    """
    found: ColumnElement[bool] = column == any_(literal(list(ids), ARRAY(BigInteger)))
    return found


def among_given(column: Any, name: str = "ids") -> ColumnElement[bool]:
    """Return the same for ids, as a list, that are given when the statement is executed.

    Statements that every search asks are put together once: that takes as long as asking them.
    """
    found: ColumnElement[bool] = column == any_(bindparam(name, type_=ARRAY(BigInteger)))
    return found
