"""Bring in features, documents and contexts."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from sqlalchemy import BigInteger, Integer, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from scopebook.corpora import reserve_ids
from scopebook.db.tables import Context, Document, Feature
from scopebook.interchange.import_progress import DumpRow, keep_rows, kept_rows
from scopebook.interchange.importing import NEW, Importing
from scopebook.interchange.row_checks import RefusedRowError, read_hash, required
from scopebook.packing import pack_ints, pack_pairs
from scopebook.quotas import place_of_texts

CONTEXT: Final = "context"


def bring_features(importing: Importing) -> None:
    """Add the features of SAEs that are new; those of others are here."""

    def write(session: Session, rows: list[DumpRow]) -> None:
        ready = importing.ready("features", rows, lambda row: _feature(importing, row))
        columns = ("id", "sae_id", "index", "decoder_norm", *_PAIRS)
        importing.write(session, "features", Feature, columns, ready)

    importing.read("features", write)


_PAIRS: Final = {
    "promoted": ("token_id", "logit"),
    "suppressed": ("token_id", "logit"),
    "neighbours": ("index", "cosine"),
}


def _feature(importing: Importing, row: DumpRow) -> Sequence[Any] | None:
    sae = importing.sae_of(row)
    if sae.mode != NEW:
        return None
    required(row, "decoder_norm", *_PAIRS)
    packed = [packed_pairs(row.values[name], *keys) for name, keys in _PAIRS.items()]
    values = row.values
    return (importing.feature_of(row), sae.id, values["index"], values["decoder_norm"], *packed)


def packed_pairs(pairs: Sequence[Mapping[str, Any]], first: str, second: str) -> bytes:
    """Return a list of numbered values as the database keeps it."""
    if any(pair[first] is None or pair[second] is None for pair in pairs):
        raise RefusedRowError(f"a {first} or a {second} is missing")
    return pack_pairs([pair[first] for pair in pairs], [pair[second] for pair in pairs])


def bring_documents(importing: Importing) -> None:
    """Add the texts that are not here."""
    if not importing.comes_whole():
        return

    def write(session: Session, rows: list[DumpRow]) -> None:
        known = _documents_here(session, importing, rows)
        fresh = [row for row in rows if _document_key(importing, row) not in known]
        importing.progress.of("documents").known += len(rows) - len(fresh)
        leaders = {key: one.id for key, one in known.items()}
        ids = iter(reserve_ids(session, "document", len(fresh)))

        def values_of(row: DumpRow) -> Sequence[Any]:
            return _document(importing, row, next(ids), leaders)

        ready = importing.ready("documents", fresh, values_of)
        importing.write(session, "documents", Document, _DOCUMENT_COLUMNS, ready)
        place_of_texts(session, written=True)

    importing.read("documents", write, size=64)


_DESCRIBED: Final = ("text", "title", "tag", "language", "source", "licence", "simhash")
_DOCUMENT_COLUMNS: Final = (
    *("id", "corpus_id", "ordinal", "name", "sha256", *_DESCRIBED, "near_id"),
)
_Key = tuple[int, int]


def _document_key(importing: Importing, row: DumpRow, ordinal: str = "ordinal") -> _Key:
    return importing.corpora.get(row.values["corpus"], 0), row.values[ordinal] or 0


def _document(
    importing: Importing, row: DumpRow, row_id: int, leaders: dict[_Key, int]
) -> Sequence[Any]:
    required(row, "text", "name", "ordinal")
    values = row.values
    corpus_id, ordinal = _document_key(importing, row)
    if corpus_id == 0:
        raise RefusedRowError(f"its corpus {values['corpus']} is not in the dump")
    digest = read_hash(row, "sha256")
    if hashlib.sha256(values["text"].encode()).digest() != digest:
        raise RefusedRowError("its text is not the one that its SHA-256 was taken of")
    near = values["near"]
    near_id = None if near is None else leaders.get((corpus_id, near))
    if near is not None and near_id is None:
        raise RefusedRowError(f"it nearly repeats document {near}, which did not come in")
    leaders[corpus_id, ordinal] = row_id
    return (
        *(row_id, corpus_id, ordinal, values["name"], digest),
        *(values[name] for name in _DESCRIBED),
        near_id,
    )


def _documents_here(session: Session, importing: Importing, rows: list[DumpRow]) -> dict[_Key, Any]:
    """Return the documents that rows name, or nearly repeat, as far as they are here."""
    keys = {_document_key(importing, row) for row in rows}
    keys |= {_document_key(importing, row, "near") for row in rows}
    return documents_at(session, keys)


def documents_at(session: Session, keys: set[_Key]) -> dict[_Key, Any]:
    """Return id and length of the documents at these places: corpus and ordinal."""
    wanted = (
        func.unnest(
            literal([corpus for corpus, _ in keys], ARRAY(Integer)),
            literal([ordinal for _, ordinal in keys], ARRAY(Integer)),
        )
        .table_valued("corpus_id", "ordinal", name="wanted")
        .render_derived()
    )
    rows = session.execute(
        select(
            Document.corpus_id,
            Document.ordinal,
            Document.id,
            func.char_length(Document.text).label("length"),
        ).join(
            wanted,
            (wanted.c.corpus_id == Document.corpus_id) & (wanted.c.ordinal == Document.ordinal),
        )
    )
    return {(row.corpus_id, row.ordinal): row for row in rows}


def bring_contexts(importing: Importing) -> None:
    """Add the contexts that are not here, and note which row each number is."""
    if importing.comes_whole():
        importing.read(
            "contexts", lambda session, rows: _write_contexts(session, importing, rows), size=1_024
        )


_CONTEXT_COLUMNS: Final = (
    *("id", "tokenisation_id", "document_id", "ordinal", "n_tokens", "tokens", "spans"),
    *("simhash", "near_id"),
)


def _write_contexts(session: Session, importing: Importing, rows: list[DumpRow]) -> None:
    documents = documents_at(session, {_place(importing, row) for row in rows})
    here = _contexts_here(session, [one.id for one in documents.values()])
    numbers = [row.values["near"] for row in rows if row.values["near"] is not None]
    known = kept_rows(session, importing.import_id, CONTEXT, numbers)
    ids = iter(reserve_ids(session, CONTEXT, len(rows)))
    same: list[tuple[int, int]] = []

    def values_of(row: DumpRow) -> Sequence[Any] | None:
        values = _context(importing, row, documents, known, next(ids))
        found = here.get((values[1], values[2], values[3]))
        if found is not None:
            if found[1] != values[4]:
                raise RefusedRowError("the same part of the same text has other tokens here")
            known[row.values["context"]] = found[0]
            same.append((row.values["context"], found[0]))
            return None
        known[row.values["context"]] = values[0]
        return values

    ready = importing.ready("contexts", rows, values_of)
    counts = importing.progress.of("contexts")
    counts.left_out -= len(same)
    counts.known += len(same)
    written = importing.write(session, "contexts", Context, _CONTEXT_COLUMNS, ready)
    pairs = [(row.values["context"], values[0]) for row, values in written]
    keep_rows(session, importing.import_id, CONTEXT, [*same, *pairs])


def _place(importing: Importing, row: DumpRow) -> _Key:
    return importing.corpora.get(row.values["corpus"], 0), row.values["document"] or 0


def _contexts_here(
    session: Session, document_ids: list[int]
) -> dict[tuple[int, int, int], tuple[int, int]]:
    rows = session.execute(
        select(
            Context.tokenisation_id,
            Context.document_id,
            Context.ordinal,
            Context.id,
            Context.n_tokens,
        ).where(Context.document_id == func.any(literal(document_ids, ARRAY(BigInteger))))
    )
    return {(row[0], row[1], row[2]): (row[3], row[4]) for row in rows}


def _context(
    importing: Importing,
    row: DumpRow,
    documents: Mapping[_Key, Any],
    known: Mapping[int, int],
    row_id: int,
) -> Sequence[Any]:
    values = row.values
    required(row, "context", "ordinal", "tokens", "starts", "ends")
    document = documents.get(_place(importing, row))
    cut = importing.tokenisations.get(
        (values["corpus"], values["tokenizer"], values["context_tokens"])
    )
    if document is None or cut is None:
        raise RefusedRowError("its document did not come in")
    tokens, starts, ends = (
        np.asarray(values[name], dtype=np.int32) for name in ("tokens", "starts", "ends")
    )
    if not 0 < len(tokens) == len(starts) == len(ends) <= values["context_tokens"]:
        raise RefusedRowError("it has no tokens, too many, or not one place for each")
    if (
        tokens.min() < 0
        or starts.min() < 0
        or (starts > ends).any()
        or ends.max() > document.length
    ):
        raise RefusedRowError("its tokens lie outside of its document")
    near = values["near"]
    if near is not None and near not in known:
        raise RefusedRowError(f"it nearly repeats context {near}, which did not come in")
    return (
        *(row_id, cut, document.id, values["ordinal"], len(tokens), pack_ints(tokens)),
        *(pack_ints(np.stack([starts, ends], axis=1)), values["simhash"]),
        None if near is None else known[near],
    )
