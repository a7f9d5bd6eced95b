"""Delete rows in batches, so that readers find a whole dictionary between any two of them.

Each function is one transaction's part, and doing it again changes nothing: a worker that was
killed is followed by one that begins anew. First no feature shows what goes (`show_another`), then
features lose what was measured and said of them (`forget_features`), then runs, scans, labelings
and their jobs go as a whole (`forget_heads`), then texts (`forget_texts`), last what has repeated
them elsewhere (`forget_echoes`).

What people said stays. A machine's label that somebody has spoken of becomes a row without its
words, so that the verdict is still one; a wording that a person gave to a sense that goes keeps its
words and is in force nowhere.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import bindparam, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session
from sqlalchemy.types import BigInteger

from scopebook.db.arrays import among
from scopebook.db.jobs import Job, Step
from scopebook.db.label_tables import Labeling
from scopebook.db.map_tables import FeatureMap
from scopebook.db.scan_tables import Scan
from scopebook.db.tables import FEATURE_BITS, Corpus, Evidence, Run, Sae, Tokenisation
from scopebook.deletion_extent import Extent, doomed_steps, jobs_of
from scopebook.labelings import lock_saes, settle_labels

#: Stands where a machine's words stood that people have spoken of.
GONE: Final = "(words that went with their corpus)"
#: Features, contexts and documents of one transaction.
FEATURES: Final = 4_096
_CONTEXTS: Final = 5_000
_DOCUMENTS: Final = 1_000
#: Jobs that were for nothing else. Others, which added a release too, stay without these steps.
_WHOLE_JOBS: Final = ("collect", "label", "score", "scan")

_IN_RANGE: Final = "feature_id BETWEEN :first AND :last"
_DOOMED_LABELS: Final = f"labeling_id = ANY(:labelings) AND {_IN_RANGE}"
_DOOMED_SENSES: Final = f"SELECT id FROM sense WHERE {_DOOMED_LABELS}"

#: The history names the wording that a proposal came after: a machine's goes there too. Only here
#: may rows of it change, which a trigger refuses without the word.
_MAY_CHANGE: Final = "SELECT set_config('scopebook.deleting', '{}', true)"
_FORGET_QUOTED: Final = f"""
UPDATE change SET {{side}} = jsonb_set({{side}}, '{{{{text}}}}', to_jsonb(CAST(:gone AS text)))
WHERE {_IN_RANGE} AND {{side}} ? 'text' AND CAST({{side}}->>'label_id' AS bigint) IN (
    SELECT id FROM label WHERE {_DOOMED_LABELS})
"""

#: In this order: what points before what is pointed at.
_OF_FEATURES: Final = (
    _MAY_CHANGE.format("on"),
    *(_FORGET_QUOTED.format(side=side) for side in ("before", "after")),
    _MAY_CHANGE.format("off"),
    # A person's words for a sense that goes; without the sense they would speak of the feature.
    f"""UPDATE label SET status = 'gone', current = false, sense_id = NULL, also = '{{}}'
        WHERE labeling_id IS NULL AND {_IN_RANGE} AND sense_id IN ({_DOOMED_SENSES})""",
    f"""WITH spoken AS (
            UPDATE label l SET status = 'gone', current = false, text = :gone, description = NULL,
                   provenance = '{{}}', kind = NULL, labeling_id = NULL, sense_id = NULL,
                   also = '{{}}', n_examples = NULL, share = NULL
            WHERE {_DOOMED_LABELS} AND (EXISTS (SELECT FROM review r WHERE r.label_id = l.id)
                                        OR EXISTS (SELECT FROM pin p WHERE p.label_id = l.id))
            RETURNING l.id)
        DELETE FROM label_embedding WHERE label_id IN (SELECT id FROM spoken)""",
    f"""DELETE FROM label_score WHERE label_id IN (
            SELECT id FROM label WHERE {_IN_RANGE} AND status = 'gone')""",
    f"DELETE FROM label WHERE {_DOOMED_LABELS}",
    f"""DELETE FROM label_score c USING label l
        WHERE l.id = c.label_id AND l.{_IN_RANGE} AND c.job_id IN (
            SELECT s.job_id FROM step s WHERE s.parameters->>'sae_id' = CAST(:sae_id AS text)
            AND s.parameters->>'run_id' = ANY(CAST(:runs AS text[])))""",
    f"DELETE FROM sense WHERE {_DOOMED_LABELS}",
    f"DELETE FROM label_origin WHERE {_DOOMED_LABELS}",
    f"DELETE FROM label_outcome WHERE {_DOOMED_LABELS}",
    *(
        f"DELETE FROM {table} WHERE run_id = ANY(:runs) AND {_IN_RANGE}"
        for table in ("example_mark", "grouping_choice", "co_firing", "evidence")
    ),
    f"""DELETE FROM queue_entry q WHERE {_IN_RANGE} AND NOT EXISTS (
            SELECT FROM sae a JOIN evidence e ON e.run_id = a.current_run_id
            WHERE a.id = q.sae_id AND e.feature_id = q.feature_id AND e.count > 0)""",
)


def _with_ids(statement: str) -> Any:
    arrays = [name for name in ("labelings", "runs") if f":{name}" in statement]
    return text(statement).bindparams(
        *(bindparam(name, type_=ARRAY(BigInteger)) for name in arrays)
    )


def show_another(session: Session, extent: Extent, sae_id: int) -> None:
    """Let the dictionary show the newest run of an SAE that stays, or none."""
    shown = session.scalar(select(Sae.current_run_id).where(Sae.id == sae_id))
    if shown not in extent.runs:
        return
    lock_saes(session, [sae_id], shared=False)
    first = sae_id << FEATURE_BITS
    merged = (
        select(Evidence.run_id)
        .where(
            Evidence.run_id == Run.id,
            Evidence.feature_id.between(first, first + 2**FEATURE_BITS - 1),
        )
        .exists()
    )
    newest = (
        select(func.max(Run.id))
        .where(~among(Run.id, extent.runs), merged)
        .where(Run.release_id == select(Sae.release_id).where(Sae.id == sae_id).scalar_subquery())
    )
    session.execute(
        update(Sae).where(Sae.id == sae_id).values(current_run_id=session.scalar(newest))
    )
    settle_labels(session, [sae_id])


def forget_features(session: Session, extent: Extent, sae_id: int, first: int, last: int) -> None:
    """Delete what was measured and said of the features of an SAE from index to index."""
    lock_saes(session, [sae_id], shared=False)
    low, high = (sae_id << FEATURE_BITS) | first, (sae_id << FEATURE_BITS) | last
    values = {
        **{"first": low, "last": high, "gone": GONE, "sae_id": sae_id},
        **{"runs": list(extent.runs), "labelings": list(extent.labelings)},
    }
    for statement in _OF_FEATURES:
        named = {name: value for name, value in values.items() if f":{name}" in statement}
        session.execute(_with_ids(statement), named)
    settle_labels(session, [sae_id], range(low, high + 1))


def forget_heads(session: Session, extent: Extent) -> None:
    """Delete runs, labelings, maps, scans and the jobs that made them; their rows are gone."""
    jobs = list(session.scalars(jobs_of(extent)))
    session.execute(delete(FeatureMap).where(among(FeatureMap.id, extent.maps)))
    session.execute(delete(Scan).where(among(Scan.id, extent.scans)))
    embedders = session.scalars(
        select(Labeling.parameters["embedder"].astext)
        .where(among(Labeling.id, extent.labelings))
        .distinct()
    ).all()
    _forget_vectors(session, [one for one in embedders if one is not None])
    session.execute(delete(Labeling).where(among(Labeling.id, extent.labelings)))
    session.execute(delete(Run).where(among(Run.id, extent.runs)))
    session.execute(delete(Step).where(among(Step.job_id, jobs), doomed_steps(extent)))
    session.execute(
        delete(Job).where(among(Job.id, jobs), Job.kind.in_(_WHOLE_JOBS), text(_NOTHING_LEFT))
    )


#: Of a job that has made something that stays, e.g. by a layer that was read on another corpus.
_NOTHING_LEFT: Final = " AND ".join(
    f"NOT EXISTS (SELECT FROM {table} WHERE {table}.job_id = job.id)"
    for table in ("run", "scan", "labeling", "label_score")
)


def _forget_vectors(session: Session, embedders: Sequence[str]) -> None:
    """Delete what these embedders have said of windows: whose texts these were is not kept."""
    session.execute(
        text(
            "DELETE FROM window_vector WHERE embedder IN ("
            "SELECT substring(sha256(convert_to(name, 'UTF8')) FROM 1 FOR 16)"
            " FROM unnest(CAST(:names AS text[])) AS name)"
        ),
        {"names": list(embedders)},
    )


_SOME_CONTEXTS: Final = f"""
DELETE FROM context WHERE id IN (
    SELECT c.id FROM context c WHERE c.tokenisation_id = ANY(:ids) ORDER BY c.id
    LIMIT {_CONTEXTS})
"""
#: The last ones first: an earlier one may be what they nearly repeat.
_SOME_DOCUMENTS: Final = f"""
DELETE FROM document WHERE id IN (
    SELECT d.id FROM document d WHERE d.corpus_id = ANY(:ids) ORDER BY d.id DESC
    LIMIT {_DOCUMENTS})
"""


def forget_texts(session: Session, extent: Extent) -> int:
    """Delete some contexts, or some documents once no context is left; return how many."""
    for statement, ids in (
        (_SOME_CONTEXTS, extent.tokenisations),
        (_SOME_DOCUMENTS, extent.corpora),
    ):
        gone: Any = session.execute(text(statement), {"ids": list(ids)})
        if gone.rowcount:
            return int(gone.rowcount)
    return 0


#: Events whose label or run is gone.
_DELIVERIES: Final = """
DELETE FROM webhook_delivery d
WHERE (d.event = 'label.accepted' AND NOT EXISTS (
           SELECT FROM label l WHERE l.id = CAST(d.payload->'label'->>'id' AS bigint)
           AND l.status <> 'gone'))
   OR (d.event = 'run.ended' AND NOT EXISTS (
           SELECT FROM run r WHERE r.id = CAST(d.payload->>'run' AS bigint)))
"""
#: A key stays, so that its request is still done only once.
_ANSWERS: Final = """
UPDATE kept_answer SET status = 410, headers = CAST(:headers AS jsonb), body = :body
WHERE status <> 410
"""
#: As `scopebook.entries` notes them.
_WORDS: Final = """
DELETE FROM label_word w WHERE NOT EXISTS (
    SELECT FROM (
        SELECT DISTINCT found[1] AS word FROM label l,
            regexp_matches(lower(l.text), '[a-z\u00df-\u024f\u0370-\u04ff]{4,40}', 'g') AS found
        WHERE l.current) kept
    WHERE kept.word = w.word)
"""
_NO_ANSWER: Final = {
    "type": "about:blank",
    "title": "Gone",
    "status": 410,
    "detail": "This request was done; its answer went when a corpus or a scan was deleted, since "
    "it may have quoted it. Read what it made, or take a new key for a new request.",
}


def forget_echoes(session: Session, extent: Extent) -> None:
    """Delete what has repeated the texts, and the corpora themselves."""
    session.execute(text(_DELIVERIES))
    headers = json.dumps({"content-type": "application/problem+json"})
    session.execute(text(_ANSWERS), {"headers": headers, "body": json.dumps(_NO_ANSWER).encode()})
    session.execute(text(_WORDS))
    session.execute(delete(Tokenisation).where(among(Tokenisation.corpus_id, extent.corpora)))
    session.execute(delete(Corpus).where(among(Corpus.id, extent.corpora)))
