"""Rows of a dump's tables of features, texts, statistics and examples."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from scopebook.db.tables import Feature
from scopebook.interchange.arrays import pairs_out
from scopebook.interchange.dump_context import evidence_of
from scopebook.interchange.numbering import DumpedSae, Numbers, stream
from scopebook.interchange.vocabularies import Vocabularies
from scopebook.packing import unpack_counts, unpack_ints

Rows = Iterator[Sequence[Any]]


def feature_rows(session: Session, numbers: Numbers) -> Rows:
    """Yield the features of every SAE, in order of their index."""
    vocabularies = Vocabularies(session)
    for sae in numbers.saes:
        rows = stream(session, select(Feature).where(Feature.sae_id == sae.id).order_by(Feature.id))
        for (feature,) in rows:
            promoted = pairs_out(feature.promoted, "token_id", "logit")
            suppressed = pairs_out(feature.suppressed, "token_id", "logit")
            yield (
                *named(sae, feature.index),
                *(feature.decoder_norm, promoted, suppressed),
                pairs_out(feature.neighbours, "index", "cosine"),
                *(
                    vocabularies.of(
                        sae.tokenizer_id, [pair["token_id"] for pair in pairs]
                    ).to_pylist()
                    for pairs in (promoted, suppressed)
                ),
            )
            session.expunge(feature)


def _texts(
    vocabularies: Vocabularies, sae: DumpedSae, pairs: Sequence[Mapping[str, Any]]
) -> list[str]:
    found = vocabularies.of(sae.tokenizer_id, [pair["token_id"] for pair in pairs])
    return [text or "" for text in found.to_pylist()]


def named(sae: DumpedSae, index: int) -> tuple[str, str, int, int]:
    """Return the columns that name a feature."""
    return sae.feature(index), sae.release, sae.layer, index


_DOCUMENTS: Final = """
SELECT p.name, d.ordinal, d.name, encode(d.sha256, 'hex'), d.text, d.title, d.tag, d.language,
       d.source, d.licence, d.simhash, n.ordinal
FROM out_document o
JOIN document d ON d.id = o.id
JOIN corpus p ON p.id = d.corpus_id
LEFT JOIN document n ON n.id = d.near_id AND n.id IN (SELECT id FROM out_document)
ORDER BY p.name, d.ordinal
"""


def document_rows(session: Session, numbers: Numbers) -> Rows:
    """Yield the documents that something points to."""
    yield from stream(session, text(_DOCUMENTS))


_CONTEXTS: Final = """
SELECT o.number, p.name, t.sha256, k.context_tokens, d.ordinal, c.ordinal, c.tokens, c.spans,
       c.simhash, n.number
FROM out_context o
JOIN context c ON c.id = o.id
JOIN document d ON d.id = c.document_id
JOIN tokenisation k ON k.id = c.tokenisation_id
JOIN tokenizer t ON t.id = k.tokenizer_id
JOIN corpus p ON p.id = k.corpus_id
LEFT JOIN out_context n ON n.id = c.near_id
ORDER BY o.number
"""


def context_rows(session: Session, numbers: Numbers) -> Rows:
    """Yield the contexts that something points to."""
    for *head, tokens, spans, simhash, near in stream(session, text(_CONTEXTS)):
        borders = unpack_ints(spans).reshape(-1, 2)
        yield (*head, unpack_ints(tokens), borders[:, 0], borders[:, 1], simhash, near)


def statistics_rows(session: Session, numbers: Numbers) -> Rows:
    """Yield what each run has measured, in order of SAE, run and feature."""
    for sae in numbers.saes:
        for run_id, run in numbers.runs.items():
            for rows in evidence_of(session, run_id, sae.first_id, sae.end_id):
                known = _context_numbers(session, rows)
                for row in rows:
                    yield (
                        *named(sae, row.feature_id - sae.first_id),
                        *(run, row.count, row.contexts, row.density, row.mean, row.max, row.flags),
                        *(unpack_counts(row.histogram),),
                        *(pairs_out(row.top_tokens, "token_id", "share"), row.top_tokens_exact),
                        [
                            {"tag": tag, "share": share, "lift": lift}
                            for tag, share, lift in row.tags
                        ],
                        known.get(row.first_context_id),
                        known.get(row.last_context_id),
                    )


def _context_numbers(session: Session, rows: Sequence[Any]) -> dict[int | None, int]:
    ids = {end for row in rows for end in (row.first_context_id, row.last_context_id)} - {None}
    found = session.execute(
        text("SELECT id, number FROM out_context WHERE id = ANY(:ids)"), {"ids": sorted(ids)}
    )
    return {row.id: row.number for row in found}
