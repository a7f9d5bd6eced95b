"""The rule by which a label is in force; people read it on every feature's page (`CLAUSES`).

For the feature, and for each of its senses, the first that there is of:

1. the label that an editor has pinned;
2. a label that more people accept than reject: the one with the greatest difference, of equals the
   one accepted last. Who proposed a label does not count towards accepting it, except as an editor
   or where no other account could;
3. what a person here has put in force before there were accounts, unless it is rejected;
4. the first of these that nobody rejects: an imported label that a person had put in force where it
   comes from; what the newest language model has said here, of the run that is shown; an imported
   label by a model; the same by keywords here; an imported one by keywords. Of a sense whose label
   is rejected: what an earlier model, else keywords, have said of the very same sense.

"Reject" means here: somebody rejects it, and no more people accept it. Senses are those that a
person has parted the shown run's examples into, else those of the labeling whose label or sense
label people have decided for, else of the newest.
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import text
from sqlalchemy.orm import Session

#: What each clause says to people.
CLAUSES: Final = {
    "pinned": "An editor has pinned it.",
    "accepted": "More people accept it than reject it.",
    "said": "A person has put it in force before there were accounts.",
    "import": "The best imported label, where nothing here ranks higher.",
    "llm": "It is the newest label by a language model that nobody rejects.",
    "keywords": "It is the newest label by keywords that nobody rejects.",
}

#: Each account's newest verdict on each label, counted by label.
_STANDING: Final = """
spoken AS (
    SELECT DISTINCT ON (r.label_id, r.account_id) r.label_id, r.verdict, r.counts, r.id
    FROM review r JOIN label l ON l.id = r.label_id
    WHERE {labels}
    ORDER BY r.label_id, r.account_id, r.id DESC
), standing AS MATERIALIZED (
    SELECT label_id, count(*) FILTER (WHERE verdict = 'accept' AND counts) AS accepts,
           count(*) FILTER (WHERE verdict = 'reject') AS rejects,
           max(id) FILTER (WHERE verdict = 'accept' AND counts) AS last_accept
    FROM spoken GROUP BY label_id
)"""

#: Clauses 1 to 3.
_DECIDED: Final = """
pinned AS (
    SELECT DISTINCT ON (l.feature_id, coalesce(l.sense_id, 0)) l.label_id
    FROM pin l WHERE {pins} ORDER BY l.feature_id, coalesce(l.sense_id, 0), l.id DESC
), decided AS MATERIALIZED (
    SELECT DISTINCT ON (l.feature_id, coalesce(l.sense_id, 0))
           l.id, l.feature_id, l.sense_id, l.labeling_id,
           CASE WHEN p.label_id IS NOT NULL THEN 'pinned' WHEN t.accepts > t.rejects THEN 'accepted'
                ELSE 'said' END AS clause
    FROM label l
    LEFT JOIN standing t ON t.label_id = l.id
    LEFT JOIN pinned p ON p.label_id = l.id
    WHERE {labels} AND l.status = 'ok' AND (
        p.label_id IS NOT NULL OR t.accepts > t.rejects
        OR (l.source = 'person' AND l.account_id IS NULL AND coalesce(t.rejects, 0) = 0
            AND (l.current OR EXISTS (SELECT FROM label_choice c WHERE c.label_id = l.id))))
    ORDER BY l.feature_id, coalesce(l.sense_id, 0), (p.label_id IS NOT NULL) DESC,
             coalesce(t.accepts > t.rejects, false) DESC, t.accepts - t.rejects DESC NULLS LAST,
             t.last_accept DESC NULLS LAST, l.current DESC, l.id DESC
)"""

#: The labels of whole features that a machine has said, the best first, and whose senses hold.
_MACHINES: Final = """
worded AS (
    SELECT DISTINCT n.labeling_id, n.feature_id FROM decided d JOIN sense n ON n.id = d.sense_id
), machine AS MATERIALIZED (
    SELECT l.id, l.feature_id, g.id AS labeling_id, g.source,
           coalesce(t.rejects > 0 AND t.rejects >= t.accepts, false) AS rejected,
           row_number() OVER (PARTITION BY l.feature_id ORDER BY
               (g.run_id = s.current_run_id) DESC NULLS LAST, (w.feature_id IS NOT NULL) DESC,
               (d.id IS NOT NULL) DESC, (g.source = 'llm') DESC, g.id DESC) AS place
    FROM label l
    JOIN labeling g ON g.id = l.labeling_id
    JOIN sae s ON s.id = l.sae_id
    LEFT JOIN standing t ON t.label_id = l.id
    LEFT JOIN worded w ON w.labeling_id = coalesce(g.base_id, g.id) AND w.feature_id = l.feature_id
    LEFT JOIN decided d ON d.id = l.id
    WHERE {labels} AND l.status = 'ok' AND l.sense_id IS NULL AND g.finished_at IS NOT NULL
), grouped AS (
    SELECT DISTINCT ON (l.feature_id) l.feature_id, l.labeling_id
    FROM grouping_choice l
    JOIN sae s ON s.id = (l.feature_id >> 20) AND s.current_run_id = l.run_id
    WHERE {pins} ORDER BY l.feature_id, l.id DESC
)"""

#: Clause 4, of imports: of whole features, ranked as what they were (`scopebook.imported_labels`).
#: One that says nothing of its rank is history, unless it is or was in force: then it ranks as a
#: model's.
_IMPORTS: Final = """
imported AS (
    SELECT l.id, l.feature_id, 'import' AS clause,
           CASE coalesce(l.provenance->'import'->>'ranks_as', 'llm')
                WHEN 'person' THEN 1 WHEN 'llm' THEN 3 ELSE 5 END AS rank
    FROM label l LEFT JOIN standing t ON t.label_id = l.id
    WHERE {labels} AND l.source = 'import' AND l.sense_id IS NULL AND l.status = 'ok'
      AND coalesce(t.rejects, 0) = 0
      AND (l.provenance->'import'->>'ranks_as' IS NOT NULL OR l.current
           OR EXISTS (SELECT FROM label_choice c WHERE c.label_id = l.id))
)"""

#: Clause 4, of senses: what the labeling whose senses hold has said of them, or a person's.
_OF_SENSES: Final = """
of_senses AS (
    SELECT l.id, l.feature_id, l.sense_id, l.source AS clause
    FROM machine m
    LEFT JOIN grouped p ON p.feature_id = m.feature_id
    JOIN label l ON l.feature_id = m.feature_id
                AND l.labeling_id = coalesce(p.labeling_id, m.labeling_id)
    LEFT JOIN standing t ON t.label_id = l.id
    WHERE m.place = 1 AND l.sense_id IS NOT NULL AND l.status = 'ok'
      AND NOT coalesce(t.rejects > 0 AND t.rejects >= t.accepts, false)
), refused AS (
    SELECT l.id, l.feature_id, l.labeling_id, l.sense_id, l.also || n.ordinal AS ordinals
    FROM standing t
    JOIN label l ON l.id = t.label_id AND l.source = 'llm'
    JOIN machine m ON m.feature_id = l.feature_id AND m.place = 1 AND m.labeling_id = l.labeling_id
    JOIN sense n ON n.id = l.sense_id
    WHERE t.rejects > 0 AND t.rejects >= t.accepts
      AND NOT EXISTS (SELECT FROM grouped p WHERE p.feature_id = l.feature_id)
), instead AS (
    -- Of one labeling alone, and of nothing that another label words: no two speak of one sense.
    SELECT l.id, l.feature_id, l.sense_id, l.source AS clause,
           dense_rank() OVER (PARTITION BY r.id ORDER BY (l.source = 'llm') DESC,
                              l.labeling_id DESC) AS place
    FROM refused r
    JOIN sense own ON own.id = r.sense_id
    JOIN sense n ON n.feature_id = r.feature_id AND n.labeling_id = own.labeling_id
                AND n.ordinal = ANY(r.ordinals)
    JOIN label l ON l.sense_id = n.id AND l.labeling_id <> r.labeling_id AND l.status = 'ok'
                AND l.also <@ r.ordinals
    JOIN labeling g ON g.id = l.labeling_id AND g.finished_at IS NOT NULL
    LEFT JOIN standing t ON t.label_id = l.id
    WHERE NOT coalesce(t.rejects > 0 AND t.rejects >= t.accepts, false)
)"""

_WANTED: Final = f"""
WITH {_STANDING}, {_DECIDED}, {_MACHINES}, {_IMPORTS}, {_OF_SENSES}, best AS (
    SELECT DISTINCT ON (m.feature_id) m.id, m.feature_id, m.source AS clause,
           CASE m.source WHEN 'llm' THEN 2 ELSE 4 END AS rank
    FROM machine m WHERE NOT m.rejected ORDER BY m.feature_id, m.place
), said AS (
    SELECT DISTINCT ON (s.feature_id) s.id, s.feature_id, NULL::bigint AS sense_id, s.clause
    FROM (SELECT * FROM best UNION ALL SELECT * FROM imported) s
    ORDER BY s.feature_id, s.rank, s.id DESC
)
SELECT d.id, d.feature_id, d.clause FROM decided d
LEFT JOIN sense n ON n.id = d.sense_id
LEFT JOIN grouped p ON p.feature_id = d.feature_id
-- What was said of a sense that a person has parted or joined since belongs to the history.
WHERE n.id IS NULL OR p.labeling_id IS NULL OR p.labeling_id = n.labeling_id
UNION ALL
SELECT o.id, o.feature_id, o.clause
FROM (SELECT * FROM said UNION ALL SELECT * FROM of_senses
      UNION ALL SELECT id, feature_id, sense_id, clause FROM instead WHERE place = 1) o
WHERE NOT EXISTS (
    SELECT FROM decided d
    WHERE d.feature_id = o.feature_id AND d.sense_id IS NOT DISTINCT FROM o.sense_id)
"""

#: Kept over the transaction alone; the table itself stays with the connection.
_TABLE: Final = """
CREATE TEMPORARY TABLE IF NOT EXISTS wanted_label (id bigint, feature_id bigint, clause text)
ON COMMIT DELETE ROWS
"""

_RETIRE: Final = """
UPDATE label l SET current = false
WHERE l.current AND {labels} AND NOT EXISTS (SELECT FROM wanted_label w WHERE w.id = l.id)
"""

_CHOOSE: Final = """
WITH chosen AS (
    UPDATE label l SET current = true FROM wanted_label w
    WHERE w.id = l.id AND NOT l.current
    RETURNING l.id, l.method, l.author, w.clause
)
INSERT INTO label_choice (label_id, chosen_by, reason)
SELECT c.id, coalesce(c.author, c.method), r.reason
FROM chosen c LEFT JOIN unnest(CAST(:clauses AS text[]), CAST(:reasons AS text[]))
     AS r(clause, reason) ON r.clause = c.clause
ORDER BY c.id
"""


def _of_features(query: str) -> str:
    return query.format(
        labels="l.feature_id = ANY(:feature_ids)", pins="l.feature_id = ANY(:feature_ids)"
    )


def _of_saes(query: str) -> str:
    return query.format(
        labels="l.sae_id = ANY(:sae_ids)", pins="(l.feature_id >> 20) = ANY(:sae_ids)"
    )


def put_in_force(
    session: Session, sae_ids: Sequence[int], feature_ids: Sequence[int] | None
) -> None:
    """Mark as current what the rule says, for whole SAEs or for the features that are named.

    The two have statements of their own: one condition for both would read every label for one.
    """
    scoped = _of_saes if feature_ids is None else _of_features
    values = (
        {"sae_ids": list(sae_ids)} if feature_ids is None else {"feature_ids": list(feature_ids)}
    )
    session.execute(text(_TABLE))
    session.execute(text("DELETE FROM wanted_label"))
    session.execute(text(f"INSERT INTO wanted_label {scoped(_WANTED)}"), values)
    session.execute(text(scoped(_RETIRE)), values)
    session.execute(text(_CHOOSE), {"clauses": list(CLAUSES), "reasons": list(CLAUSES.values())})


def clauses_of(session: Session, feature_id: int) -> dict[int, str]:
    """Return by which clause each label of a feature is in force, by the label's id."""
    # To plan it takes ten times as long as to run it for one feature, and PostgreSQL would plan it
    # anew each time: it takes an array that it does not know for a longer one.
    session.execute(text("SET LOCAL plan_cache_mode = force_generic_plan"))
    rows = session.execute(text(_of_features(_WANTED)), {"feature_ids": [feature_id]}).all()
    session.execute(text("SET LOCAL plan_cache_mode = auto"))
    return {row.id: row.clause for row in rows}
