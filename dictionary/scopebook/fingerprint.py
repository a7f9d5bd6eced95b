"""A sha256 over what a collection found, for comparing two: runs, instances, machines.

Covered, for each layer, is the evidence of every feature in the collection that the dictionary
shows: counts, density, mean, largest activation, histogram, flags, top tokens, tags, first and
last activity, and all examples with their windows, activations and quantiles, in their order. Not
covered are the weights and what follows from them alone, labels, senses, row ids, times, and how
the rows are packed: contexts are named by their document's sha256 and their ordinal in it, features
by layer and index, tags by name, and numbers count by their exact value, whatever width they are
stored in.
"""

import hashlib
import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import BigInteger, Row, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from scopebook.db.tables import FEATURE_BITS, Context, Document, Evidence, Sae
from scopebook.errors import NotFoundError
from scopebook.packing import ExampleSet, unpack_counts, unpack_examples, unpack_pairs
from scopebook.releases import find_release, find_saes

#: Which rows they are is named otherwise: these are row ids.
_KEYS: Final = frozenset({"run_id", "feature_id"})
_VALUES: Final = frozenset(
    {"count", "contexts", "density", "mean", "max", "flags", "tags", "top_tokens_exact"}
)
_CONTEXTS: Final = frozenset({"first_context_id", "last_context_id"})
_PACKED: Final = frozenset({"histogram", "top_tokens", "examples"})
#: Every column of the evidence that a fingerprint knows how to read.
KNOWN_COLUMNS: Final = _KEYS | _VALUES | _CONTEXTS | _PACKED

#: Features read together; one has at most about a hundred contexts.
_BATCH: Final = 512
#: A context's name: 32 bytes of its document's sha256 and 8 of its ordinal.
_NAME_BYTES: Final = 40


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """The fingerprint of a release's collection, in all and by layer."""

    release: str
    runs: list[int]
    layers: dict[int, str]
    fingerprint: str


def fingerprint(session: Session, release: str, layers: Sequence[int] | None = None) -> Fingerprint:
    """Return the fingerprint of these layers' current collections; of all collected if none named.

    Raises:
        NotFoundError: The release, a layer or its collection is not there.
    """
    name = find_release(session, release).name
    saes = _collected(find_saes(session, release=name, layers=layers), name, named=bool(layers))
    by_layer = {sae.layer: _of_layer(session, sae) for sae in saes}
    whole = hashlib.sha256()
    for layer, digest in by_layer.items():
        whole.update(f"{layer} {digest}\n".encode())
    return Fingerprint(
        release=name,
        runs=sorted({sae.current_run_id for sae in saes if sae.current_run_id is not None}),
        layers=by_layer,
        fingerprint=whole.hexdigest(),
    )


def _collected(saes: Sequence[Sae], release: str, *, named: bool) -> list[Sae]:
    missing = [str(sae.layer) for sae in saes if sae.current_run_id is None]
    if missing and (named or len(missing) == len(saes)):
        raise NotFoundError(
            f"Layer {', '.join(missing)} of {release} was never collected, so it has no "
            f"fingerprint; run `scopebook collect {release} CORPUS --layers {','.join(missing)}`."
        )
    return [sae for sae in saes if sae.current_run_id is not None]


def _of_layer(session: Session, sae: Sae) -> str:
    digest = hashlib.sha256(f"layer {sae.layer}\n".encode())
    for rows in _batches(session, sae):
        examples = [unpack_examples(row.examples) for row in rows]
        names = _Names(session, _context_ids(rows, examples))
        for row, example_set in zip(rows, examples, strict=True):
            digest.update(_canonical(row, example_set, names))
    return digest.hexdigest()


def _batches(session: Session, sae: Sae) -> Iterator[Sequence[Row[Any]]]:
    """Yield the evidence in order of the features, a bounded number at a time."""
    last = (sae.id << FEATURE_BITS) - 1
    end = (sae.id + 1) << FEATURE_BITS
    statement = select(*Evidence.__table__.columns).order_by(Evidence.feature_id).limit(_BATCH)
    while True:
        rows = session.execute(
            statement.where(
                Evidence.run_id == sae.current_run_id,
                Evidence.feature_id > last,
                Evidence.feature_id < end,
            )
        ).all()
        if not rows:
            return
        yield rows
        last = rows[-1].feature_id


def _context_ids(rows: Sequence[Row[Any]], examples: Sequence[ExampleSet]) -> NDArray[np.int64]:
    single = [
        value
        for row in rows
        for name, value in row._asdict().items()
        if name in _CONTEXTS and value is not None
    ]
    return np.unique(
        np.concatenate([np.asarray(single, dtype=np.int64), *(e.context_id for e in examples)])
    )


class _Name(NamedTuple):
    id: int
    sha256: bytes
    ordinal: int


class _Names:
    """The names of some contexts, found by their row ids."""

    def __init__(self, session: Session, ids: NDArray[np.int64]) -> None:
        wanted = (
            func.unnest(literal(ids.tolist(), ARRAY(BigInteger)))
            .table_valued("id", name="wanted")
            .render_derived()
        )
        rows = session.execute(
            select(Context.id, Document.sha256, Context.ordinal)
            .join(wanted, wanted.c.id == Context.id)
            .join(Document, Document.id == Context.document_id)
            .order_by(Context.id)
        )
        found = [_Name(*row) for row in rows]
        self._ids = np.asarray([name.id for name in found], dtype=np.int64)
        packed = b"".join(name.sha256 + struct.pack("<q", name.ordinal) for name in found)
        self._names = np.frombuffer(packed, dtype=np.uint8).reshape(-1, _NAME_BYTES)

    def of(self, ids: NDArray[np.int64]) -> bytes:
        """Return the names of these contexts, one after the other."""
        return self._names[np.searchsorted(self._ids, ids)].tobytes()


def _canonical(row: Row[Any], examples: ExampleSet, names: _Names) -> bytes:
    """Return a feature's evidence as bytes that depend on what was found and on nothing else."""
    parts = [b"feature", struct.pack("<q", row.feature_id & (2**FEATURE_BITS - 1))]
    for name, value in sorted(row._asdict().items()):
        if name == "examples":
            content = _examples(examples, names)
        elif name in _PACKED:
            content = _numbers(value) if name == "histogram" else _pairs(value)
        elif name in _CONTEXTS:
            content = b"" if value is None else names.of(np.asarray([value], dtype=np.int64))
        elif name in _VALUES:
            content = _value(value)
        else:
            continue
        parts += [name.encode(), struct.pack("<q", len(content)), content]
    return b"".join(parts)


def _value(value: Any) -> bytes:
    # The shortest text that reads back as the same number, which is exact for floats too.
    return json.dumps(value, separators=(",", ":")).encode()


def _numbers(packed: bytes) -> bytes:
    return _exact(unpack_counts(packed))


def _pairs(packed: bytes) -> bytes:
    pairs = unpack_pairs(packed)
    return _exact(np.asarray([i for i, _ in pairs], dtype=np.int64)) + _exact(
        np.asarray([value for _, value in pairs], dtype=np.float64)
    )


def _examples(examples: ExampleSet, names: _Names) -> bytes:
    parts = [struct.pack("<q", len(examples)), names.of(examples.context_id)]
    parts += [
        _exact(getattr(examples, field.name))
        for field in fields(examples)
        if field.name != "context_id"
    ]
    return b"".join(parts)


def _exact(values: NDArray[Any]) -> bytes:
    """Return numbers in the widest type of their kind, which holds every stored one exactly."""
    wide = "<f8" if values.dtype.kind == "f" else "<i8"
    return np.ascontiguousarray(values, dtype=wide).tobytes()
