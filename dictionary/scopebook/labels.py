"""Labels and senses: publish a run's wordings in bulk, and read what is and was said.

Nothing is overwritten but the mark `current`; how a label got it stands in `label_choice`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import psycopg
from sqlalchemy import Row, select, text
from sqlalchemy.orm import Session

from scopebook.db.tables import Label, Sense


@dataclass(frozen=True, kw_only=True)
class LabelView:
    """A proposed wording; `sense` is the ordinal of the sense it words, or None: the feature."""

    id: int
    text: str
    source: str
    method: str
    sense: int | None
    author: str | None
    created_at: datetime
    current: bool
    provenance: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class SenseView:
    """A sense with its label; `members` are positions in the evidence's examples."""

    ordinal: int
    share: float
    keywords: list[str]
    members: list[int]
    label: LabelView | None


@dataclass(frozen=True, kw_only=True)
class NewSense:
    """A sense to be published; without a text it has no label of its own."""

    ordinal: int
    share: float
    keywords: Sequence[str]
    members: Sequence[int]
    text: str | None


@dataclass(frozen=True, kw_only=True)
class NewWording:
    """A feature's wording and senses, made from the examples whose hash is `example_set`."""

    feature_id: int
    example_set: str
    text: str
    senses: Sequence[NewSense] = field(default_factory=tuple)


def _view(row: Row[Any]) -> LabelView:
    label: Label = row.Label
    return LabelView(
        id=label.id,
        text=label.text,
        source=label.source,
        method=label.method,
        sense=row.ordinal,
        author=label.author,
        created_at=label.created_at,
        current=label.current,
        provenance=label.provenance,
    )


_LABELS: Final[Any] = select(Label, Sense.ordinal).outerjoin(Sense, Sense.id == Label.sense_id)


def labels_of(session: Session, feature_id: int) -> list[LabelView]:
    """Return every label ever given to the feature or its senses, newest first."""
    rows = session.execute(
        _LABELS.where(Label.feature_id == feature_id).order_by(
            Label.created_at.desc(), Label.id.desc()
        )
    )
    return [_view(row) for row in rows]


def current_labels(session: Session, feature_ids: Sequence[int]) -> dict[int, LabelView]:
    """Return the wording in force of each feature that has one, by feature id."""
    rows = session.execute(
        _LABELS.where(Label.feature_id.in_(feature_ids), Label.current, Label.sense_id.is_(None))
    )
    return {row.Label.feature_id: _view(row) for row in rows}


def senses_of(session: Session, feature_id: int, run_id: int) -> list[SenseView]:
    """Return the senses that a run found, largest first; an only sense has the feature's label."""
    senses = session.scalars(
        select(Sense)
        .where(Sense.feature_id == feature_id, Sense.run_id == run_id)
        .order_by(Sense.ordinal)
    ).all()
    rows = session.execute(
        _LABELS.where(Label.sense_id.in_([sense.id for sense in senses]), Label.current)
    )
    labels = {row.Label.sense_id: _view(row) for row in rows}
    if len(senses) == 1 and not labels:
        whole = current_labels(session, [feature_id]).get(feature_id)
        labels = {senses[0].id: whole} if whole else {}
    return [
        SenseView(
            ordinal=sense.ordinal,
            share=sense.share,
            keywords=list(sense.keywords),
            members=list(sense.members),
            label=labels.get(sense.id),
        )
        for sense in senses
    ]


_STAGE: Final = """
CREATE TEMPORARY TABLE staged_wording (
    feature_id bigint, example_set text, ordinal smallint, share double precision,
    keywords text[], members smallint[], text text
) ON COMMIT DROP
"""

#: What the same method has already said of the same examples of the same run is not said again.
_DROP_KNOWN: Final = """
DELETE FROM staged_wording s USING label l
WHERE l.feature_id = s.feature_id AND l.source = :source AND l.method = :method
  AND (l.provenance->>'run')::int = :run_id AND l.provenance->>'example_set' = s.example_set
"""

#: A sense that a person, a model or an import has worded stays as it is, with all its siblings.
_DROP_SENSES_THAT_STAY: Final = """
DELETE FROM staged_wording s USING sense old, label l
WHERE s.ordinal IS NOT NULL AND old.feature_id = s.feature_id AND old.run_id = :run_id
  AND l.sense_id = old.id AND l.source <> :source
"""

#: Also of other runs: their senses group examples that the dictionary no longer shows.
_RETIRE_SENSE_LABELS: Final = """
UPDATE label l SET current = false
WHERE l.current AND l.source = 'keywords' AND l.sense_id IS NOT NULL
  AND l.feature_id IN (SELECT feature_id FROM staged_wording WHERE ordinal IS NOT NULL)
"""

_DROP_OLD_SENSES: Final = """
DELETE FROM sense old
WHERE old.run_id = :run_id
  AND old.feature_id IN (SELECT feature_id FROM staged_wording WHERE ordinal IS NOT NULL)
"""

_ADD_SENSES: Final = """
INSERT INTO sense (feature_id, run_id, ordinal, share, keywords, members)
SELECT feature_id, :run_id, ordinal, share, keywords, members
FROM staged_wording WHERE ordinal IS NOT NULL
ORDER BY feature_id, ordinal
"""

_RETIRE_FEATURE_LABELS: Final = """
UPDATE label l SET current = false
WHERE l.current AND l.source = 'keywords' AND l.sense_id IS NULL
  AND l.feature_id IN (SELECT feature_id FROM staged_wording WHERE ordinal IS NULL)
"""

_ADD_LABELS: Final = """
WITH added AS (
    INSERT INTO label (feature_id, sae_id, sense_id, text, source, method, provenance, current)
    SELECT s.feature_id, :sae_id, n.id, s.text, :source, :method,
           CAST(:provenance AS jsonb) || jsonb_build_object(
               'run', CAST(:run_id AS int), 'example_set', s.example_set, 'sense', s.ordinal),
           NOT EXISTS (
               SELECT FROM label l WHERE l.feature_id = s.feature_id AND l.current
                 AND l.sense_id IS NOT DISTINCT FROM n.id)
    FROM staged_wording s
    LEFT JOIN sense n
      ON n.feature_id = s.feature_id AND n.run_id = :run_id AND n.ordinal = s.ordinal
    WHERE s.text IS NOT NULL
    ORDER BY s.feature_id, s.ordinal NULLS FIRST
    RETURNING id, current
)
, chosen AS (
    INSERT INTO label_choice (label_id, chosen_by, reason)
    SELECT id, :method, 'No label of a person or a model was in force.'
    FROM added WHERE current ORDER BY id
)
SELECT count(*) FROM added
"""


def publish_labels(
    session: Session,
    wordings: Sequence[NewWording],
    *,
    sae_id: int,
    run_id: int,
    method: str,
    provenance: dict[str, Any],
    source: str = "keywords",
) -> int:
    """Add wordings and senses of one SAE in bulk and return how many labels are new.

    A new label becomes the current one where none is in force, or one made from keywords. The same
    method on the same examples of the same run adds nothing, so a step may run twice.
    """
    session.execute(text("DROP TABLE IF EXISTS staged_wording"))
    session.execute(text(_STAGE))
    _copy(session, wordings)
    values = {"sae_id": sae_id, "run_id": run_id, "method": method, "source": source}
    for statement in (
        _DROP_KNOWN,
        _DROP_SENSES_THAT_STAY,
        _RETIRE_SENSE_LABELS,
        _DROP_OLD_SENSES,
        _ADD_SENSES,
        _RETIRE_FEATURE_LABELS,
    ):
        session.execute(text(statement), values)
    added = session.execute(
        text(_ADD_LABELS), {**values, "provenance": json.dumps(provenance)}
    ).scalar_one()
    session.expire_all()
    return int(added)


def _copy(session: Session, wordings: Sequence[NewWording]) -> None:
    connection = session.connection().connection.driver_connection
    assert isinstance(connection, psycopg.Connection)
    with connection.cursor().copy("COPY staged_wording FROM STDIN") as copy:
        for wording in wordings:
            head = (wording.feature_id, wording.example_set)
            copy.write_row((*head, None, None, None, None, wording.text))
            for sense in wording.senses:
                copy.write_row(
                    (
                        *head,
                        sense.ordinal,
                        sense.share,
                        list(sense.keywords),
                        list(sense.members),
                        sense.text,
                    )
                )
