"""Read the evidence of features from the dictionary, as the labeler takes it."""

import hashlib
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from scopebook.db.tables import (
    FEATURE_BITS,
    Context,
    Document,
    Evidence,
    Model,
    Release,
    Sae,
    TokenPiece,
)
from scopebook.errors import NotFoundError
from scopebook.packing import ExampleSet, unpack_examples, unpack_ints, unpack_pairs
from scopebook.passages import read_passages
from scopebook_workers.labeling.evidence import FeatureEvidence, Firing, Passage

#: Passages kept between two batches of features; one takes about 3 KB.
_KEPT = 50_000
#: The bits of a row id that are the feature's number.
_INDEX = 2**FEATURE_BITS - 1
#: Contexts of one query.
_CONTEXTS = 5_000


@dataclass(frozen=True, eq=False)
class EvidenceOfFeature:
    """A feature's evidence and the hash of its packed examples."""

    feature_id: int
    example_set: str
    evidence: FeatureEvidence


class EvidenceReader:
    """Reads features of one SAE and one run, and keeps the passages they share."""

    def __init__(self, *, sae_id: int, run_id: int) -> None:
        self._sae_id = sae_id
        self._run_id = run_id
        self._passages: OrderedDict[int, Passage] = OrderedDict()
        self._pieces: dict[int, bytes] = {}
        self._tokenizer_id: int | None = None

    def fired(self, session: Session) -> list[int]:
        """Return the row ids of the features that fired, in order."""
        self._tokenizer_id = _tokenizer_id(session, self._sae_id)
        first = self._sae_id << FEATURE_BITS
        return list(
            session.scalars(
                select(Evidence.feature_id)
                .where(
                    Evidence.run_id == self._run_id,
                    Evidence.feature_id.between(first, first | (2**FEATURE_BITS - 1)),
                    Evidence.count > 0,
                )
                .order_by(Evidence.feature_id)
            )
        )

    def read(self, session: Session, feature_ids: Sequence[int]) -> list[EvidenceOfFeature]:
        """Return the features' evidence, in order of their ids."""
        rows = session.execute(
            select(Evidence.feature_id, Evidence.top_tokens, Evidence.examples)
            .where(Evidence.run_id == self._run_id, Evidence.feature_id.in_(feature_ids))
            .order_by(Evidence.feature_id)
        ).all()
        examples = [unpack_examples(row.examples) for row in rows]
        tokens = [unpack_pairs(row.top_tokens) for row in rows]
        self._fetch_pieces(session, {token for pairs in tokens for token, _ in pairs})
        wanted = {i for example_set in examples for i in example_set.context_id.tolist()}
        passages = self._fetch_passages(session, wanted)
        return [
            EvidenceOfFeature(
                row.feature_id,
                hashlib.sha256(row.examples).hexdigest(),
                FeatureEvidence(
                    firings=_firings(example_set, passages, row.feature_id & _INDEX),
                    top_tokens=[(self._pieces.get(token, b""), share) for token, share in pairs],
                ),
            )
            for row, example_set, pairs in zip(rows, examples, tokens, strict=True)
        ]

    def passages(self, session: Session, context_ids: Sequence[int]) -> list[Passage]:
        """Return contexts as passages, in the order of the ids."""
        found = self._fetch_passages(session, context_ids)
        return [found[context_id] for context_id in context_ids]

    def pieces(self, session: Session, token_ids: Collection[int]) -> dict[int, bytes]:
        """Return the bytes of tokens; of one that the vocabulary lacks, none."""
        self._fetch_pieces(session, token_ids)
        return {token: self._pieces.get(token, b"") for token in token_ids}

    def _fetch_pieces(self, session: Session, token_ids: Collection[int]) -> None:
        if self._tokenizer_id is None:
            self._tokenizer_id = _tokenizer_id(session, self._sae_id)
        missing = [token for token in token_ids if token not in self._pieces]
        rows = session.execute(
            select(TokenPiece.token_id, TokenPiece.piece).where(
                TokenPiece.tokenizer_id == self._tokenizer_id, TokenPiece.token_id.in_(missing)
            )
        )
        self._pieces.update((token_id, piece) for token_id, piece in rows)

    def _fetch_passages(self, session: Session, wanted: Collection[int]) -> dict[int, Passage]:
        """Return the passages by context, from memory where they are."""
        passages = {i: self._passages[i] for i in wanted if i in self._passages}
        missing = sorted(set(wanted) - passages.keys())
        for start in range(0, len(missing), _CONTEXTS):
            for passage in _passages(session, missing[start : start + _CONTEXTS]):
                passages[passage.id] = self._passages[passage.id] = passage
        while len(self._passages) > _KEPT:
            self._passages.popitem(last=False)
        return passages


def _firings(examples: ExampleSet, passages: Mapping[int, Passage], feature: int) -> list[Firing]:
    """Return all examples of a feature; `ExampleSet.activations` of each, at once."""
    amounts = examples.shares.astype(np.float32)
    amounts *= np.repeat(examples.activation, np.diff(examples.offsets))
    borders = pairwise(examples.offsets.tolist())
    return [
        Firing(
            passage=passages[context_id],
            peak=peak,
            positions=examples.positions[start:end],
            activations=amounts[start:end],
            feature=feature,
        )
        for context_id, peak, (start, end) in zip(
            examples.context_id.tolist(), examples.peak.tolist(), borders, strict=True
        )
    ]


def _tokenizer_id(session: Session, sae_id: int) -> int:
    found = session.scalar(
        select(Model.tokenizer_id)
        .join(Release, Release.model_id == Model.id)
        .join(Sae, Sae.release_id == Release.id)
        .where(Sae.id == sae_id)
    )
    if found is None:
        raise NotFoundError(f"There is no SAE with the id {sae_id} to label.")
    return found


def _passages(session: Session, context_ids: Sequence[int]) -> list[Passage]:
    rows = session.execute(
        select(
            Context.id,
            Context.document_id,
            func.coalesce(Context.near_id, Context.id).label("group"),
            Context.spans,
            Document.sha256,
            Document.tag,
            Document.language,
            Document.near_id,
        )
        .join(Document, Document.id == Context.document_id)
        .where(Context.id.in_(context_ids))
        .order_by(Context.document_id, Context.id)
    ).all()
    spans = [unpack_ints(row.spans).reshape(-1, 2) for row in rows]
    starts = [int(span[:, 0].min()) for span in spans]
    ends = [int(span[:, 1].max()) for span in spans]
    lengths = [end - start for start, end in zip(starts, ends, strict=True)]
    texts = read_passages(session, [row.document_id for row in rows], starts, lengths)
    return [
        Passage(
            id=row.id,
            document_id=row.document_id,
            document_hash=int.from_bytes(row.sha256[:8]),
            group=row.group,
            text=text,
            begins=_shifted(span[:, 0], start),
            ends=_shifted(span[:, 1], start),
            tag=row.tag,
            language=row.language,
            near_document_id=row.near_id,
        )
        for row, span, start, text in zip(rows, spans, starts, texts, strict=True)
    ]


def _shifted(characters: NDArray[np.int32], start: int) -> NDArray[np.int32]:
    shifted: NDArray[np.int32] = np.ascontiguousarray(characters - start, dtype=np.int32)
    return shifted
