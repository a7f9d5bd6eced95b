"""Which imported labels are in force: they rank as what they were where they come from.

A person's label that was in force there goes before machines' labels here, and behind any that a
person gave here. A model's goes behind a model's that was checked here, and before keywords here.
Keywords come last. One that says nothing of its rank is history, and is not put in force.
See docs/decisions/0014-imports.md.
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import text
from sqlalchemy.orm import Session

#: Where a label's provenance tells what it was, and there, as what it ranks.
IMPORT: Final = "import"
RANKS_AS: Final = "ranks_as"
PERSON, LLM, KEYWORDS = "person", "llm", "keywords"

#: SQL: whether the imported label `said` keeps its place against the machine's label `l`.
KEEPS_ITS_PLACE: Final = """
    (said.source <> 'import'
     OR coalesce(said.provenance->'import'->>'ranks_as', 'llm') = 'person'
     OR (coalesce(said.provenance->'import'->>'ranks_as', 'llm') = 'llm'
         AND l.source = 'keywords'))
"""

#: The best import of each whole feature, where no label of a higher rank is wanted or in force.
_CANDIDATES: Final = """
CREATE TEMPORARY TABLE wanted_import ON COMMIT DROP AS
WITH candidate AS (
    SELECT DISTINCT ON (b.feature_id) b.id, b.feature_id,
           b.provenance->'import'->>'ranks_as' AS rank
    FROM label b
    WHERE b.sae_id = ANY(:sae_ids) AND b.source = 'import' AND b.sense_id IS NULL
      AND b.status = 'ok' AND b.provenance->'import' ? 'ranks_as'
      AND (CAST(:feature_ids AS bigint[]) IS NULL OR b.feature_id = ANY(:feature_ids))
    ORDER BY b.feature_id,
             array_position(ARRAY['person', 'llm', 'keywords'],
                            b.provenance->'import'->>'ranks_as'), b.id DESC
)
SELECT c.id, c.feature_id FROM candidate c
WHERE NOT EXISTS (
    SELECT FROM label other
    WHERE other.feature_id = c.feature_id AND other.sense_id IS NULL AND other.current
      AND (other.source = 'person'
           OR (other.source = 'llm' AND c.rank <> 'person')
           OR (other.source = 'keywords' AND c.rank = 'keywords')))
"""

_RETIRE: Final = """
UPDATE label b SET current = false
FROM wanted_import w
WHERE b.feature_id = w.feature_id AND b.sense_id IS NULL AND b.current AND b.id <> w.id
"""

_CHOOSE: Final = """
WITH chosen AS (
    UPDATE label b SET current = true FROM wanted_import w
    WHERE b.id = w.id AND NOT b.current
    RETURNING b.id, b.method
)
INSERT INTO label_choice (label_id, chosen_by, reason)
SELECT id, method, 'The best imported label, where nothing here ranks higher.' FROM chosen
ORDER BY id
"""

#: An import gives way to a machine's label that ranks higher and is about to be in force.
_GIVE_WAY: Final = f"""
UPDATE label said SET current = false
FROM wanted_label w JOIN label l ON l.id = w.id
WHERE said.feature_id = l.feature_id AND said.sense_id IS NOT DISTINCT FROM l.sense_id
  AND said.current AND said.source = 'import' AND NOT ({KEEPS_ITS_PLACE})
"""


def give_way(session: Session) -> None:
    """Take imports out of force whose place a machine's label takes; see `labelings`."""
    session.execute(text(_GIVE_WAY))


def settle_imports(
    session: Session, sae_ids: Sequence[int], feature_ids: Sequence[int] | None = None
) -> None:
    """Put the best imported labels in force where nothing here ranks higher."""
    values = {"sae_ids": list(sae_ids), "feature_ids": feature_ids and list(feature_ids)}
    session.execute(text("DROP TABLE IF EXISTS wanted_import"))
    for statement in (_CANDIDATES, _RETIRE, _CHOOSE):
        session.execute(text(statement), values)
