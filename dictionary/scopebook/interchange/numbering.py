"""Numbers of a dump's rows: counted in an order that follows from the content alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from scopebook.db.label_tables import Labeling
from scopebook.db.tables import FEATURE_BITS, Model, Release, Sae
from scopebook.interchange.dump_context import contexts_of_evidence
from scopebook.interchange.layout import VERSION

#: Rows that are read together.
TOGETHER: Final = 2_000


@dataclass(frozen=True, kw_only=True)
class DumpedSae:
    """An SAE of the dump, and what names its features."""

    id: int
    release_id: int
    release: str
    model: str
    set_name: str
    layer: int
    d_sae: int
    tokenizer_id: int

    @property
    def first_id(self) -> int:
        """The row id of its feature 0."""
        return self.id << FEATURE_BITS

    @property
    def end_id(self) -> int:
        """The row id after its last."""
        return (self.id + 1) << FEATURE_BITS

    def feature(self, index: int) -> str:
        """Return the id that people and links use."""
        return f"{self.model}/{self.layer}-{self.set_name}/{index}"


@dataclass(kw_only=True)
class Numbers:
    """What is dumped, and the number of each run and labeling by its row id.

    Contexts and labels, of which there may be millions, and what people said are numbered in the
    temporary tables `out_context`, `out_label`, `out_comment`, ...; documents stand in
    `out_document`.
    """

    saes: list[DumpedSae]
    #: The version of the format; earlier ones kept row ids where later ones keep numbers.
    version: int
    runs: dict[int, int] = field(default_factory=dict)
    labelings: dict[int, int] = field(default_factory=dict)

    @property
    def sae_ids(self) -> list[int]:
        """The SAEs' row ids."""
        return [sae.id for sae in self.saes]


#: What is numbered in a temporary table, beside documents, which have their ordinals.
_NUMBERED: Final = ("context", "label", "comment", "opinion", "bulk", "list")


def number_rows(session: Session, saes: Sequence[Sae], *, version: int = VERSION) -> Numbers:
    """Give everything that belongs to these SAEs its number, in this session's transaction."""
    numbers = Numbers(saes=dumped_saes(session, [sae.id for sae in saes]), version=version)
    numbers.runs = _runs(session, numbers)
    numbers.labelings = _labelings(session, numbers)
    for kind in (*_NUMBERED, "document"):
        session.execute(text(f"DROP TABLE IF EXISTS out_{kind}"))
    _number_contexts(session, numbers)
    session.execute(text(_DOCUMENTS), {"run_ids": list(numbers.runs)})
    names = {"sae_ids": numbers.sae_ids, "releases": [sae.release for sae in numbers.saes]}
    for kind, query in _QUERIES.items():
        session.execute(text(f"CREATE TEMPORARY TABLE out_{kind} ON COMMIT DROP AS {query}"), names)
    for kind in (*_NUMBERED, "document"):
        session.execute(text(f"CREATE UNIQUE INDEX ON out_{kind} (id)"))
        if kind != "document":
            session.execute(text(f"CREATE UNIQUE INDEX ON out_{kind} (number)"))
        session.execute(text(f"ANALYZE out_{kind}"))
    return numbers


def stream(session: Session, statement: Any, values: dict[str, Any] | None = None) -> Iterator[Any]:
    """Yield a query's rows without holding them: the server keeps a cursor."""
    yield from session.execute(statement, values or {}, execution_options={"yield_per": TOGETHER})


def dumped_saes(session: Session, sae_ids: Sequence[int]) -> list[DumpedSae]:
    """Return these SAEs with their names, in order of release and layer."""
    rows = session.execute(
        select(
            Sae.id,
            Sae.release_id,
            Release.name.label("release"),
            Model.name.label("model"),
            Release.set_name,
            Sae.layer,
            Sae.d_sae,
            Model.tokenizer_id,
        )
        .join(Release, Release.id == Sae.release_id)
        .join(Model, Model.id == Release.model_id)
        .where(Sae.id.in_(sae_ids))
    )
    return sorted((DumpedSae(**row._mapping) for row in rows), key=lambda s: (s.release, s.layer))


#: Runs that have found something for one of the SAEs, word it, or are shown for it.
_RUNS: Final = """
SELECT r.id FROM run r JOIN release l ON l.id = r.release_id
WHERE r.release_id = ANY(:release_ids) AND (
    EXISTS (SELECT FROM unnest(CAST(:sae_ids AS bigint[])) AS s(id)
            WHERE EXISTS (SELECT FROM evidence e WHERE e.run_id = r.id
                          AND e.feature_id >= s.id << 20 AND e.feature_id < (s.id + 1) << 20))
    OR EXISTS (SELECT FROM labeling g WHERE g.run_id = r.id AND g.sae_id = ANY(:sae_ids))
    OR EXISTS (SELECT FROM sae WHERE sae.current_run_id = r.id AND sae.id = ANY(:sae_ids)))
ORDER BY l.name, r.id
"""


def _runs(session: Session, numbers: Numbers) -> dict[int, int]:
    release_ids = sorted({sae.release_id for sae in numbers.saes})
    ids = session.scalars(text(_RUNS), {"release_ids": release_ids, "sae_ids": numbers.sae_ids})
    return {run_id: number for number, run_id in enumerate(ids, 1)}


def _labelings(session: Session, numbers: Numbers) -> dict[int, int]:
    place = {sae_id: at for at, sae_id in enumerate(numbers.sae_ids)}
    rows = session.execute(
        select(Labeling.id, Labeling.sae_id).where(Labeling.sae_id.in_(numbers.sae_ids))
    ).all()
    ordered = sorted(rows, key=lambda row: (place[row.sae_id], row.id))
    return {row.id: number for number, row in enumerate(ordered, 1)}


def _number_contexts(session: Session, numbers: Numbers) -> None:
    """Fill `out_context` with everything that an example, a statistic or an origin points to."""
    session.execute(text("DROP TABLE IF EXISTS wanted_context"))
    session.execute(text("CREATE TEMPORARY TABLE wanted_context (id bigint) ON COMMIT DROP"))
    wanted = text("INSERT INTO wanted_context SELECT unnest(CAST(:ids AS bigint[]))")
    for sae in numbers.saes:
        for run_id in numbers.runs:
            for ids in contexts_of_evidence(session, run_id, sae.first_id, sae.end_id):
                session.execute(wanted, {"ids": np.unique(ids).tolist()})
    session.execute(text(_OF_ORIGINS), {"sae_ids": numbers.sae_ids})
    session.execute(text("ANALYZE wanted_context"))
    session.execute(text(_CONTEXTS))
    session.execute(text("DROP TABLE wanted_context"))


#: The first of each pair is the context.
_OF_ORIGINS: Final = """
INSERT INTO wanted_context
SELECT o.contrasts[i][1] FROM label_origin o
JOIN labeling g ON g.id = o.labeling_id
CROSS JOIN LATERAL generate_subscripts(o.contrasts, 1) AS i
WHERE g.sae_id = ANY(:sae_ids)
"""

_CONTEXTS: Final = """
CREATE TEMPORARY TABLE out_context ON COMMIT DROP AS
WITH wanted AS (
    SELECT DISTINCT id FROM wanted_context
), all_of_them AS (
    SELECT id FROM wanted
    UNION SELECT c.near_id FROM wanted w JOIN context c ON c.id = w.id WHERE c.near_id IS NOT NULL
)
SELECT c.id, c.document_id, row_number() OVER (
    ORDER BY p.name, t.sha256, k.context_tokens, d.ordinal, c.ordinal
) AS number
FROM all_of_them a
JOIN context c ON c.id = a.id
JOIN document d ON d.id = c.document_id
JOIN tokenisation k ON k.id = c.tokenisation_id
JOIN tokenizer t ON t.id = k.tokenizer_id
JOIN corpus p ON p.id = k.corpus_id
"""

#: With the texts that they nearly repeat, and the last text that a run knew of.
_DOCUMENTS: Final = """
CREATE TEMPORARY TABLE out_document ON COMMIT DROP AS
WITH pointed_to AS (
    SELECT document_id AS id FROM out_context
    UNION SELECT last_document_id FROM run WHERE id = ANY(:run_ids)
)
SELECT d.id FROM document d WHERE d.id IN (
    SELECT id FROM pointed_to
    UNION SELECT m.near_id FROM pointed_to p JOIN document m ON m.id = p.id
)
"""

_BY_FEATURE: Final = """
SELECT o.id, row_number() OVER (
    ORDER BY array_position(CAST(:sae_ids AS int[]), (o.feature_id >> 20)::int), o.feature_id, o.id
) AS number
FROM {table} o WHERE (o.feature_id >> 20) = ANY(:sae_ids)
"""

#: What a single action did to features of the dump.
_BULKS: Final = """
SELECT b.id, row_number() OVER (ORDER BY b.id) AS number FROM bulk_action b
WHERE b.id IN (SELECT c.bulk_id FROM change c WHERE (c.feature_id >> 20) = ANY(:sae_ids))
"""

#: Lists that have features of the dump, and those of no feature, unless they search elsewhere.
_LISTS: Final = """
SELECT l.id, row_number() OVER (ORDER BY l.id) AS number FROM feature_list l
WHERE EXISTS (SELECT FROM feature_list_item i
              WHERE i.list_id = l.id AND (i.feature_id >> 20) = ANY(:sae_ids))
   OR (NOT EXISTS (SELECT FROM feature_list_item i WHERE i.list_id = l.id)
       AND coalesce(l.search->>'release', '') = ANY(CAST(:releases AS text[]) || ''::text))
"""

_QUERIES: Final = {
    "label": _BY_FEATURE.format(table="label"),
    "comment": _BY_FEATURE.format(table="comment"),
    "opinion": _BY_FEATURE.format(table="second_opinion"),
    "bulk": _BULKS,
    "list": _LISTS,
}
