"""Labelings: publish what one pass has said of an SAE's features, and settle what is in force.

Nothing is overwritten but the mark `current`; how a label got it stands in `label_choice`. Which
labels are in force follows from one rule, so that it can be found again at any time
(`scopebook.label_rule`).
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
from sqlalchemy import ColumnElement, func, select, text, update
from sqlalchemy.orm import Session

from scopebook.db.label_tables import Labeling
from scopebook.db.tables import FEATURE_BITS
from scopebook.entries import refresh_entries, refresh_saes
from scopebook.label_rule import put_in_force
from scopebook.queue_order import order_queue
from scopebook.window_embedders import ASKED, AskedEmbedder


@dataclass(frozen=True, kw_only=True)
class NewSense:
    """A sense to be published, by positions in the examples; without a text it has no label."""

    ordinal: int
    share: float
    keywords: Sequence[str]
    members: Sequence[int]
    text: str | None
    medoid: int | None = None
    representatives: Sequence[int] = ()
    held_out: Sequence[int] = ()
    silhouette: float | None = None


@dataclass(frozen=True, kw_only=True)
class NewWording:
    """A feature's wording and senses, made from the examples whose SHA-256 is `example_set`."""

    feature_id: int
    example_set: str
    text: str
    senses: Sequence[NewSense] = field(default_factory=tuple)
    kind: str | None = None
    unassigned: float | None = None
    held_out: Sequence[int] = ()
    #: Why a language model is not asked about it; it has its keywords all the same.
    ineligible: str | None = None


#: Where the parameters of a labeling by a language model hold what all its requests begin with.
RULES: Final = "rules"
#: Where the parameters of a labeling that speaks of some features alone hold their numbers.
NAMED: Final = "features"


def speaks_of_all() -> ColumnElement[bool]:
    """Return the condition that a labeling has been through its whole SAE."""
    return Labeling.parameters[NAMED].is_(None)


def found_by(embedder: AskedEmbedder, labeling: Any = Labeling) -> ColumnElement[bool]:
    """Return the condition that a labeling by keywords was asked for with this embedder."""
    found: ColumnElement[bool] = labeling.parameters.contains(embedder.parameters())
    if embedder.is_terms:
        found = ~labeling.parameters.has_key(ASKED)
    return found


def named_features(labeling: Labeling) -> list[int] | None:
    """Return the row ids of the features that a labeling was confined to; None: to none."""
    indices: list[int] | None = labeling.parameters.get(NAMED)
    return indices and [row_id(labeling.sae_id, index) for index in indices]


def row_id(sae_id: int, index: int) -> int:
    """Return the row id of a feature."""
    return (sae_id << FEATURE_BITS) | index


def sha256_of(method: str, parameters: Mapping[str, Any]) -> str:
    """Return the hash that tells whether two labelings of the same examples say the same."""
    canonical = json.dumps([method, parameters], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def find_labeling(session: Session, *, sae_id: int, run_id: int, sha256: str) -> Labeling | None:
    """Return the finished labeling that has said the same of the same examples."""
    return session.scalar(
        select(Labeling)
        .where(
            Labeling.sae_id == sae_id,
            Labeling.run_id == run_id,
            Labeling.sha256 == sha256,
            Labeling.finished_at.is_not(None),
        )
        .order_by(Labeling.id.desc())
        .limit(1)
    )


def begin_labeling(
    session: Session,
    *,
    sae_id: int,
    run_id: int,
    source: str,
    method: str,
    parameters: dict[str, Any],
    sha256: str,
    job_id: int | None = None,
    base_id: int | None = None,
) -> int:
    """Add a labeling that has said nothing yet, and return its id."""
    labeling = Labeling(
        job_id=job_id,
        sae_id=sae_id,
        run_id=run_id,
        source=source,
        method=method,
        base_id=base_id,
        parameters=parameters,
        sha256=sha256,
    )
    session.add(labeling)
    session.flush()
    return labeling.id


def finish_labeling(session: Session, labeling_id: int) -> None:
    """Note that a labeling has been through all its features."""
    session.execute(
        update(Labeling).where(Labeling.id == labeling_id).values(finished_at=func.now())
    )


_STAGE: Final = """
CREATE TEMPORARY TABLE staged_wording (
    feature_id bigint, example_set text, ordinal smallint, share double precision,
    keywords text[], members smallint[], text text, medoid smallint, representatives smallint[],
    held_out smallint[], silhouette real, kind text, unassigned real, ineligible text
) ON COMMIT DROP
"""

_ADD_OUTCOMES: Final = """
INSERT INTO label_outcome
    (labeling_id, feature_id, status, reason, kind, unassigned, example_set, held_out)
SELECT :labeling_id, feature_id, CASE WHEN ineligible IS NULL THEN 'ok' ELSE 'ineligible' END,
       ineligible, kind, unassigned, decode(example_set, 'hex'), held_out
FROM staged_wording WHERE ordinal IS NULL ORDER BY feature_id
"""

_ADD_SENSES: Final = """
INSERT INTO sense (feature_id, labeling_id, ordinal, share, keywords, members, medoid,
                   representatives, held_out, silhouette)
SELECT feature_id, :labeling_id, ordinal, share, keywords, members, medoid, representatives,
       held_out, silhouette
FROM staged_wording WHERE ordinal IS NOT NULL
ORDER BY feature_id, ordinal
"""

#: A wording speaks of all its feature's senses, one of a sense of its own examples.
_ADD_LABELS: Final = """
INSERT INTO label (feature_id, sae_id, labeling_id, sense_id, text, kind, source, method,
                   n_examples, share, supersedes_id, current)
SELECT s.feature_id, g.sae_id, g.id, n.id, s.text, s.kind, g.source, g.method,
       CASE WHEN n.id IS NULL THEN sizes.n ELSE cardinality(n.members) END,
       coalesce(n.share, sizes.share),
       (SELECT max(old.id) FROM label old
        WHERE old.feature_id = s.feature_id AND old.source = g.source
          AND old.sense_id IS NULL AND n.id IS NULL),
       false
FROM staged_wording s
JOIN labeling g ON g.id = :labeling_id
LEFT JOIN sense n
  ON n.labeling_id = g.id AND n.feature_id = s.feature_id AND n.ordinal = s.ordinal
LEFT JOIN (
    SELECT feature_id, sum(cardinality(members)) AS n, sum(share) AS share
    FROM sense WHERE labeling_id = :labeling_id GROUP BY feature_id
) sizes ON sizes.feature_id = s.feature_id
WHERE s.text IS NOT NULL
ORDER BY s.feature_id, s.ordinal NULLS FIRST
"""


def publish_keywords(session: Session, labeling_id: int, wordings: Sequence[NewWording]) -> None:
    """Add a labeling's wordings and senses in bulk, end it, and settle what is in force."""
    session.execute(text("DROP TABLE IF EXISTS staged_wording"))
    session.execute(text(_STAGE))
    _copy(session, wordings)
    session.execute(text("ANALYZE staged_wording"))
    for statement in (_ADD_OUTCOMES, _ADD_SENSES, _ADD_LABELS):
        session.execute(text(statement), {"labeling_id": labeling_id})
    finish_labeling(session, labeling_id)
    labeling = session.get_one(Labeling, labeling_id)
    settle_labels(session, [labeling.sae_id], named_features(labeling))


def _copy(session: Session, wordings: Sequence[NewWording]) -> None:
    connection = session.connection().connection.driver_connection
    assert isinstance(connection, psycopg.Connection)
    with connection.cursor().copy("COPY staged_wording FROM STDIN") as copy:
        for wording in wordings:
            copy.write_row(_row_of_feature(wording))
            for sense in wording.senses:
                copy.write_row(_row_of_sense(wording, sense))


def _row_of_feature(wording: NewWording) -> tuple[object, ...]:
    return (
        *(wording.feature_id, wording.example_set, None, None, None, None, wording.text),
        *(None, None, list(wording.held_out), None),
        *(wording.kind, wording.unassigned, wording.ineligible),
    )


def _row_of_sense(wording: NewWording, sense: NewSense) -> tuple[object, ...]:
    return (
        *(wording.feature_id, wording.example_set, sense.ordinal, sense.share),
        *(list(sense.keywords), list(sense.members), sense.text, sense.medoid),
        *(list(sense.representatives), list(sense.held_out), sense.silhouette),
        *(wording.kind, None, None),
    )


#: The first of the two numbers of an advisory lock; the second is the SAE's.
_SETTLING: Final = 7_263_014


def lock_saes(session: Session, sae_ids: Sequence[int], *, shared: bool) -> None:
    """Hold the labels of some SAEs until the end of the transaction.

    People share them, since each holds the feature that they write to. A machine has them alone:
    what somebody accepts while it settles would else be overlooked.
    """
    lock = func.pg_advisory_xact_lock_shared if shared else func.pg_advisory_xact_lock
    for sae_id in sorted(set(sae_ids)):
        session.execute(select(lock(_SETTLING, sae_id)))


def settle_labels(
    session: Session,
    sae_ids: Sequence[int],
    feature_ids: Sequence[int] | None = None,
    *,
    by_person: bool = False,
) -> None:
    """Put in force what `scopebook.label_rule` says, and order the queue of reviews by it.

    For all features of some SAEs, or for those that are named. Called after a labeling or a person
    has said something (who holds `lock_saes` already), and after an SAE shows another run.
    """
    session.flush()
    if not by_person:
        lock_saes(session, sae_ids, shared=False)
    put_in_force(session, sae_ids, feature_ids)
    order_queue(session, sae_ids, feature_ids)
    if feature_ids is None:
        refresh_saes(session, sae_ids)
    else:
        refresh_entries(session, feature_ids)
    session.expire_all()
