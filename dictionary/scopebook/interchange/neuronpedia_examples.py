"""Activations of a dump in Neuronpedia's layout, as examples that point into texts of their own."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import any_, literal, select
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA
from sqlalchemy.orm import Session

from scopebook.bulk import copy_rows
from scopebook.corpora import reserve_ids
from scopebook.db.tables import Context, Document
from scopebook.interchange.row_checks import RefusedRowError
from scopebook.packing import BEST, SAMPLE, ExampleSet, pack_ints

#: A longer list of tokens is no activation of any dump there is.
MOST_TOKENS: Final = 4_096


@dataclass(frozen=True, eq=False)
class Firing:
    """One activation, checked: its text, its tokens and what fires."""

    name: str
    text: str
    tokens: NDArray[np.int32]
    borders: NDArray[np.int32]
    positions: NDArray[np.int32]
    values: NDArray[np.float32]
    kind: int

    @property
    def digest(self) -> bytes:
        """The SHA-256 of its text."""
        return hashlib.sha256(self.text.encode()).digest()

    @property
    def same(self) -> bytes:
        """What two activations of one feature share if one is the other once more."""
        return self.digest + self.positions.tobytes() + self.values.tobytes()


def read_firing(row: Mapping[str, Any], ids: Mapping[str, int], name: str) -> Firing | None:
    """Return an activation; None for padding, in which nothing fires."""
    tokens, values = row.get("tokens"), row.get("values")
    if not isinstance(tokens, list) or set(map(type, tokens)) != {str}:
        raise RefusedRowError("its tokens are no list of texts")
    if not isinstance(values, list) or len(values) != len(tokens):
        raise RefusedRowError("it has not one value for each token")
    if len(tokens) > MOST_TOKENS:
        raise RefusedRowError(f"it has more than {MOST_TOKENS:,} tokens")
    if not set(map(type, values)) <= {int, float}:
        raise RefusedRowError("a value is no finite number")
    amounts = np.asarray(values, dtype=np.float32)
    if not np.isfinite(amounts).all():
        raise RefusedRowError("a value is no finite number")
    positions = np.flatnonzero(amounts > 0).astype(np.int32)
    if not len(positions):
        return None
    try:
        known = [ids[token] for token in tokens]
    except KeyError as error:
        unknown = str(error.args[0])[:40]
        raise RefusedRowError(f"its token {unknown!r} is not in the model's vocabulary") from None
    source, at = row.get("dataSource"), row.get("dataIndex")
    return Firing(
        name=" ".join(str(part) for part in (source, at) if part) or name,
        text="".join(tokens),
        tokens=np.asarray(known, dtype=np.int32),
        borders=np.cumsum([0, *map(len, tokens)]).astype(np.int32),
        positions=positions,
        values=amounts[positions],
        kind=_kind(row),
    )


def is_number(value: Any) -> bool:
    """Return whether a JSON value is a finite number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _kind(row: Mapping[str, Any]) -> int:
    """Return whether it is of the strongest; a share says that it is one of an interval."""
    share = row.get("binContains")
    return SAMPLE if is_number(share) and float(share or 0) > 0 else BEST


class Texts:
    """The corpus of a source: each text once, as one document of one context."""

    def __init__(self, session: Session, corpus_id: int, tokenisation_id: int) -> None:
        self._session = session
        self._corpus_id = corpus_id
        self._tokenisation_id = tokenisation_id

    def contexts(self, firings: Sequence[Firing]) -> list[int]:
        """Return the context of each, added where it is not there."""
        wanted = {firing.digest: firing for firing in firings}
        known = self._known(list(wanted))
        fresh = [(digest, one) for digest, one in wanted.items() if digest not in known]
        known |= self._add(fresh)
        return [known[firing.digest] for firing in firings]

    def _known(self, digests: list[bytes]) -> dict[bytes, int]:
        rows = self._session.execute(
            select(Document.sha256, Context.id)
            .join(Context, Context.document_id == Document.id)
            .where(
                Document.corpus_id == self._corpus_id,
                Context.tokenisation_id == self._tokenisation_id,
                Document.sha256 == any_(literal(digests, ARRAY(BYTEA))),
            )
        )
        return {bytes(row.sha256): row.id for row in rows}

    def _add(self, fresh: Sequence[tuple[bytes, Firing]]) -> dict[bytes, int]:
        documents = reserve_ids(self._session, "document", len(fresh))
        contexts = reserve_ids(self._session, "context", len(fresh))
        # An ordinal has to be free only, so the row's own number serves.
        copy_rows(
            self._session,
            Document,
            ("id", "corpus_id", "ordinal", "name", "sha256", "text"),
            (
                (row_id, self._corpus_id, row_id, firing.name, digest, firing.text)
                for row_id, (digest, firing) in zip(documents, fresh, strict=True)
            ),
        )
        copy_rows(
            self._session,
            Context,
            ("id", "tokenisation_id", "document_id", "ordinal", "n_tokens", "tokens", "spans"),
            (
                (
                    *(row_id, self._tokenisation_id, document, 0, len(one.tokens)),
                    pack_ints(one.tokens),
                    pack_ints(np.stack([one.borders[:-1], one.borders[1:]], axis=1)),
                )
                for row_id, document, (_, one) in zip(contexts, documents, fresh, strict=True)
            ),
        )
        return {digest: row_id for row_id, (digest, _) in zip(contexts, fresh, strict=True)}


def example_set(firings: Sequence[tuple[Firing, int]]) -> ExampleSet:
    """Return a feature's examples in our order: the best first, then the others by activation."""
    ordered = sorted(firings, key=lambda pair: (pair[0].kind != BEST, -pair[0].values.max()))
    largest = [float(firing.values.max()) for firing, _ in ordered]
    peaks = [int(one.positions[one.values.argmax()]) for one, _ in ordered]
    active = [len(firing.positions) for firing, _ in ordered]
    return ExampleSet(
        context_id=np.asarray([context for _, context in ordered], dtype=np.int64),
        kind=np.asarray([firing.kind for firing, _ in ordered], dtype=np.uint8),
        activation=np.asarray(largest, dtype=np.float32),
        quantile=_quantiles(np.asarray(largest)),
        peak=np.asarray(peaks, dtype=np.int32),
        start=np.zeros(len(ordered), dtype=np.int32),
        end=np.asarray([len(firing.tokens) for firing, _ in ordered], dtype=np.int32),
        offsets=np.concatenate([[0], np.cumsum(active)]).astype(np.int32),
        positions=np.concatenate([firing.positions for firing, _ in ordered]),
        shares=np.concatenate(
            [one.values / most for (one, _), most in zip(ordered, largest, strict=True)]
        ).astype(np.float16),
    )


def _quantiles(largest: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the share of the activations that are weaker: all that a dump tells."""
    weaker = (largest[:, None] > largest[None, :]).sum(axis=1)
    return np.asarray(weaker / len(largest), dtype=np.float32)
