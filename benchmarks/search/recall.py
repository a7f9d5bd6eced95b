"""How much of what an exact comparison of all vectors finds a search puts forward."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from benchmarks.search.queries import SCOPES, questions
from sqlalchemy.orm import Session

from scopebook.db.sessions import sessions
from scopebook.embedding import query_embedder
from scopebook.search_filters import Filters, entry_conditions, place_of
from scopebook.search_ranking import NEAREST
from scopebook.search_ways import QueryVector, Scope, by_meaning, compared, count_about

QUESTIONS: Final = 40
#: An exact comparison of everything takes a second.
QUESTIONS_OF_ALL: Final = 20
ROOM: Final = 20


@dataclass(frozen=True)
class Recall:
    """The share of the exact first 20 that is found inside a scope; over labels."""

    scope: str
    about: int | None
    at_20: float
    worst: float


def measure() -> list[Recall]:
    """Print and return the recall inside each scope."""
    sys.stdout.write(
        "\n| filter | features, about | recall@20 | worst question |\n|---|---|---|---|\n"
    )
    rows = []
    for name, filters in SCOPES.items():
        row = _of_scope(name, filters)
        about = "all" if row.about is None else f"{row.about:,}"
        sys.stdout.write(f"| {name} | {about} | {row.at_20:.3f} | {row.worst:.2f} |\n")
        sys.stdout.flush()
        rows.append(row)
    return rows


def _of_scope(name: str, filters: Filters) -> Recall:
    n = QUESTIONS if filters.is_narrow else QUESTIONS_OF_ALL
    with sessions()() as session:
        scope = Scope(place_of(session, filters), entry_conditions(filters))
        scope = replace(scope, about=count_about(session, scope))
        found = list(_each(session, scope, n))
    return Recall(name, scope.about, float(np.mean(found)), min(found))


def _each(session: Session, scope: Scope, n: int) -> Iterator[float]:
    embed = query_embedder(sessions())
    for question in questions(n, seed=11):
        vector = embed(question)
        assert isinstance(vector, QueryVector)
        exact = list(session.scalars(compared(vector, scope).limit(20)))
        found = by_meaning(session, vector, scope, NEAREST * ROOM)
        yield len(set(exact) & set(found)) / len(exact)
