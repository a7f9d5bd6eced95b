"""Rows of a dump's tables of what people and models said."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.orm import Session

from scopebook.interchange.arrays import as_json
from scopebook.interchange.collected_rows import named
from scopebook.interchange.numbering import DumpedSae, Numbers, stream

Rows = Iterator[Sequence[Any]]

_OUTCOMES: Final = """
SELECT o.feature_id, o.labeling_id, o.status, o.reason, o.kind, o.unassigned,
       encode(o.example_set, 'hex'), o.held_out, o.created_at
FROM label_outcome o
WHERE o.labeling_id = :labeling_id ORDER BY o.feature_id
"""

_ORIGINS: Final = """
SELECT o.feature_id, o.labeling_id, o.shown, o.contrasts, encode(o.prompt_sha256, 'hex'),
       o.model_reported, o.system_fingerprint, o.finish_reason, o.attempts, o.latency_ms,
       o.tokens_in, o.tokens_cached, o.tokens_out, o.error_class, o.raw_response
FROM label_origin o
WHERE o.labeling_id = :labeling_id ORDER BY o.feature_id
"""

_SENSES: Final = """
SELECT n.feature_id, n.labeling_id, n.ordinal, n.share, n.keywords, n.members, n.medoid,
       n.representatives, n.held_out, n.silhouette
FROM sense n
WHERE n.labeling_id = :labeling_id ORDER BY n.feature_id, n.ordinal
"""


def _of_labelings(
    session: Session, numbers: Numbers, query: str
) -> Iterator[tuple[tuple[Any, ...], list[Any]]]:
    """Yield, labeling by labeling, the columns that name a row, and the others."""
    by_labeling = _sae_of_labeling(session, numbers)
    for labeling_id, number in numbers.labelings.items():
        sae = by_labeling[labeling_id]
        rows = stream(session, text(query), {"labeling_id": labeling_id})
        for feature_id, _, *others in rows:
            yield (*named(sae, feature_id - sae.first_id), number), others


def _sae_of_labeling(session: Session, numbers: Numbers) -> Mapping[int, DumpedSae]:
    by_id = {sae.id: sae for sae in numbers.saes}
    rows = session.execute(
        text("SELECT id, sae_id FROM labeling WHERE sae_id = ANY(:sae_ids)"),
        {"sae_ids": numbers.sae_ids},
    )
    return {row.id: by_id[row.sae_id] for row in rows}


def outcome_rows(session: Session, numbers: Numbers) -> Rows:
    """Yield how labelings ended."""
    for name, others in _of_labelings(session, numbers, _OUTCOMES):
        yield (*name, *others)


def sense_rows(session: Session, numbers: Numbers) -> Rows:
    """Yield the senses."""
    for name, others in _of_labelings(session, numbers, _SENSES):
        yield (*name, *others)


def origin_rows(session: Session, numbers: Numbers) -> Rows:
    """Yield what language models were asked; contexts that are gone are left out."""
    for name, (shown, contrasts, *others) in _of_labelings(session, numbers, _ORIGINS):
        found = session.execute(
            text("SELECT id, number FROM out_context WHERE id = ANY(:ids)"),
            {"ids": [context_id for context_id, _ in contrasts]},
        )
        known = {row.id: row.number for row in found}
        pairs = [
            {"context": known[context_id], "token": token}
            for context_id, token in contrasts
            if context_id in known
        ]
        yield (*name, shown, pairs, *others)


_LABELS: Final = """
SELECT o.number, b.sae_id, b.feature_id, b.labeling_id, n.labeling_id, n.ordinal, b.also, b.text,
       b.description, b.kind, b.confidence, b.source, b.status, b.method, b.author,
       coalesce(a.imported_name, a.name), b.n_examples, b.share, b.provenance, u.id, u.number,
       b.current, b.created_at
FROM out_label o
JOIN label b ON b.id = o.id
LEFT JOIN sense n ON n.id = b.sense_id
LEFT JOIN out_label u ON u.id = b.supersedes_id
LEFT JOIN account a ON a.id = b.account_id
ORDER BY o.number
"""


#: Where the provenance of a sense's label that kept its words holds the label that had them before.
WORDED_AS: Final = "label"


def label_rows(session: Session, numbers: Numbers) -> Rows:
    """Yield every label, feature by feature in the order in which they were said."""
    by_id = {sae.id: sae for sae in numbers.saes}
    of = numbers.labelings.get
    for row in stream(session, text(_LABELS)):
        number, sae_id, feature_id, labeling, sense_labeling, sense, *others = row
        sae = by_id[sae_id]
        *said, provenance, supersedes_id, supersedes, current, created_at = others
        if numbers.version > 1 and supersedes and provenance.get(WORDED_AS) == supersedes_id:
            provenance = provenance | {WORDED_AS: supersedes}
        yield (
            number,
            *named(sae, feature_id - sae.first_id),
            *(of(labeling), of(sense_labeling), sense),
            *said,
            *(as_json(provenance), supersedes, current, created_at),
        )


_CHOICES: Final = """
SELECT o.number, c.chosen_by, c.reason, c.created_at
FROM label_choice c
JOIN out_label o ON o.id = c.label_id
JOIN label b ON b.id = o.id
ORDER BY array_position(CAST(:sae_ids AS int[]), b.sae_id), b.feature_id, c.id
"""


def choice_rows(session: Session, numbers: Numbers) -> Rows:
    """Yield the choices, feature by feature in the order in which they were made."""
    yield from stream(session, text(_CHOICES), {"sae_ids": numbers.sae_ids})


_SCORES: Final = """
SELECT o.number, s.scorer, s.scorer_version, s.judge, s.n_pos, s.n_neg_random, s.n_neg_hard,
       s.n_failed, s.tp, s.fp, s.tn, s.fn, s.value, s.ci_low, s.ci_high, s.null_value, s.f1,
       encode(s.held_out_sha256, 'hex'), s.tokens_in, s.tokens_out, s.details, s.created_at
FROM label_score s
JOIN out_label o ON o.id = s.label_id
ORDER BY o.number, s.id
"""

#: Where a score's details hold the row id of the run whose examples were judged.
RUN: Final = "run"


def score_rows(session: Session, numbers: Numbers) -> Rows:
    """Yield the scores of every label; the run in their details becomes its number."""
    for *head, details, created_at in stream(session, text(_SCORES)):
        run = numbers.runs.get(details.get(RUN) or 0)
        others = {name: value for name, value in details.items() if name != RUN}
        yield (*head, run, as_json(others), created_at)
