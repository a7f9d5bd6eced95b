"""How much a verdict on each feature is worth: the order of the queue of reviews.

Before the point stands the class: 4 somebody asks for a second opinion, 3 people disagree or a
proposal waits for another's verdict, 2 nobody has said anything of the label in force. Within its
class a feature is worth the more the more often it fires (six tenths) and the worse its label is
scored (four tenths; half of that where no score is known). Others are done, as are features that
never fired.

The order is kept with each feature and not found when somebody asks: the next one of 786,432 is
then the first entry of an index.
"""

from collections.abc import Collection
from typing import Final

from sqlalchemy import text
from sqlalchemy.orm import Session

#: What people say of labels that count for the order, each with their newest verdict.
_SPOKEN: Final = """
spoken AS (
    SELECT DISTINCT ON (r.label_id, r.account_id) r.label_id, r.feature_id, r.verdict, r.counts
    FROM review r WHERE {reviews}
    ORDER BY r.label_id, r.account_id, r.id DESC
), standing AS (
    SELECT s.label_id, s.feature_id, l.current AND l.sense_id IS NULL AS of_feature,
           l.source = 'person' AS of_person,
           count(*) FILTER (WHERE s.verdict = 'accept') AS accepts,
           count(*) FILTER (WHERE s.verdict = 'accept' AND s.counts) AS counted,
           count(*) FILTER (WHERE s.verdict = 'reject') AS rejects,
           count(*) FILTER (WHERE s.verdict <> 'withdrawn') AS verdicts
    FROM spoken s JOIN label l ON l.id = s.label_id
    GROUP BY s.label_id, s.feature_id, l.current, l.sense_id, l.source
), people AS (
    SELECT feature_id, bool_or(of_feature AND verdicts > 0) AS reviewed,
           bool_or(accepts > 0 AND accepts = rejects) AS tied,
           bool_or(of_person AND accepts > 0 AND counted = 0 AND rejects = 0) AS waiting
    FROM standing GROUP BY feature_id
), scored AS (
    SELECT l.feature_id, avg(c.value) AS score
    FROM label l JOIN label_score c ON c.label_id = l.id
    WHERE {labels} AND l.current AND l.sense_id IS NULL GROUP BY l.feature_id
)"""

_ORDER: Final = f"""
WITH {_SPOKEN}, found AS (
    SELECT e.feature_id, a.id AS sae_id,
           CASE WHEN EXISTS (SELECT FROM second_opinion o
                             WHERE o.feature_id = e.feature_id AND o.closed_at IS NULL) THEN 4
                WHEN p.tied OR p.waiting THEN 3
                WHEN NOT coalesce(p.reviewed, false) THEN 2 ELSE 0 END AS class,
           0.6 * least(greatest((log(greatest(e.density, 1e-12)) + 6) / 6, 0), 0.99)
           + 0.4 * (1 - least(greatest(coalesce(c.score, 0.5), 0), 1)) AS worth
    FROM sae a
    JOIN evidence e ON e.run_id = a.current_run_id AND {{evidence}}
    LEFT JOIN people p ON p.feature_id = e.feature_id
    LEFT JOIN scored c ON c.feature_id = e.feature_id
    WHERE e.count > 0 AND {{saes}}
)
INSERT INTO queue_entry (feature_id, sae_id, priority, open)
SELECT feature_id, sae_id, (class + worth)::real, class > 0 FROM found ORDER BY feature_id
ON CONFLICT (feature_id) DO UPDATE SET priority = excluded.priority, open = excluded.open
WHERE (queue_entry.priority, queue_entry.open) IS DISTINCT FROM (excluded.priority, excluded.open)
"""

#: Evidence of the SAE's own features, by the index of the run's evidence.
_OWN: Final = "e.feature_id >= (a.id::bigint << 20) AND e.feature_id < ((a.id::bigint + 1) << 20)"
_FEATURES: Final = "{} = ANY(:feature_ids)"


def order_queue(
    session: Session, sae_ids: Collection[int], feature_ids: Collection[int] | None = None
) -> None:
    """Find again what the features of some SAEs, or those that are named, are worth."""
    if feature_ids is None:
        statement = _ORDER.format(
            reviews="(r.feature_id >> 20) = ANY(:sae_ids)",
            labels="l.sae_id = ANY(:sae_ids)",
            evidence=_OWN,
            saes="a.id = ANY(:sae_ids)",
        )
    else:
        statement = _ORDER.format(
            reviews=_FEATURES.format("r.feature_id"),
            labels=_FEATURES.format("l.feature_id"),
            evidence=_OWN,
            saes=f"a.id = ANY(:sae_ids) AND {_FEATURES.format('e.feature_id')}",
        )
    values = {"sae_ids": list(sae_ids)} | (
        {} if feature_ids is None else {"feature_ids": list(feature_ids)}
    )
    session.execute(text(statement), values)
