"""Bring in what runs found: a feature's statistics together with its examples, or neither."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from sqlalchemy import BigInteger, any_, literal, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from scopebook.db.import_tables import ImportedRow
from scopebook.db.tables import Context, Evidence
from scopebook.interchange.collected_in import CONTEXT, packed_pairs
from scopebook.interchange.import_progress import DumpRow
from scopebook.interchange.importing import BESIDE, Importing
from scopebook.interchange.row_checks import RefusedRowError, check_numbers, required
from scopebook.packing import BEST, BINS, SAMPLE, ExampleSet, pack_counts, pack_examples

_Key = tuple[str, int, int, int]
_KINDS: Final = {"best": BEST, "sample": SAMPLE}
#: Features whose evidence is written together.
TOGETHER = 256
#: A feature has about a hundred examples; a file that says otherwise is not read into memory.
MOST_EXAMPLES: Final = 10_000


def bring_evidence(importing: Importing) -> None:
    """Add what was found of features whose layer comes in whole."""
    if not importing.comes_whole():
        return
    examples = _Examples(importing)

    def write(session: Session, rows: list[DumpRow]) -> None:
        sets = {row.place: examples.of(_key(row)) for row in rows}
        named = [end for row in rows for end in _ends(row)]
        named += [one.values["context"] for found in sets.values() for one in found]
        wanted = {number for number in named if number is not None}
        contexts = _contexts(session, importing.import_id, wanted)
        ready = importing.ready(
            "statistics", rows, lambda row: _evidence(importing, row, sets[row.place], contexts)
        )
        written = importing.write(session, "statistics", Evidence, _COLUMNS, ready)
        examples.settle(sets, {row.place for row, _ in written})

    importing.read("statistics", write, size=TOGETHER)
    with importing.progress.batch():
        examples.refuse_rest()


_COLUMNS: Final = (
    *("run_id", "feature_id", "count", "contexts", "density", "mean", "max", "flags"),
    *("histogram", "top_tokens", "top_tokens_exact", "tags", "examples"),
    *("first_context_id", "last_context_id"),
)


def _key(row: DumpRow) -> _Key:
    values = row.values
    return values["release"], values["layer"], values["run"], values["index"]


def _ends(row: DumpRow) -> tuple[int | None, int | None]:
    return row.values["first_context"], row.values["last_context"]


class _Examples:
    """The table of examples, read beside the statistics, whose order it has."""

    def __init__(self, importing: Importing) -> None:
        self._importing = importing
        self._order = {key: at for at, key in enumerate(importing.saes)}
        self._counts = importing.progress.of("examples")
        self._rows = self._stream()
        self._next: DumpRow | None = next(self._rows, None)

    def _stream(self) -> Iterator[DumpRow]:
        skip = self._counts.read
        for rows in self._importing.dump.rows("examples", skip=skip, size=4_096):
            yield from rows

    def of(self, key: _Key) -> list[DumpRow]:
        """Return the examples of a feature and a run, if they are the next ones."""
        while self._next is not None and self._place(_key(self._next)) < self._place(key):
            self._refuse(self._next, "it is out of order, or beside no statistics")
            self._advance()
        found: list[DumpRow] = []
        while self._next is not None and _key(self._next) == key:
            if len(found) < MOST_EXAMPLES:
                found.append(self._next)
            else:
                self._refuse(self._next, f"its feature has more than {MOST_EXAMPLES:,} examples")
            self._advance()
        return found

    def _place(self, key: _Key) -> tuple[int, int, int]:
        release, layer, run, index = key
        return self._order.get((release, layer), -1), run or 0, index or 0

    def settle(self, sets: Mapping[Any, Sequence[DumpRow]], written: set[Any]) -> None:
        """Count the examples of a batch: they came in with their statistics, or did not."""
        for place, rows in sets.items():
            if place in written:
                self._counts.written += len(rows)
            else:
                self._counts.left_out += len(rows)

    def refuse_rest(self) -> None:
        """Refuse the examples that stand beside no statistics."""
        while self._next is not None:
            self._refuse(self._next, "it stands beside no statistics of its feature and run")
            self._advance()
            self._importing.progress.refusals.flush()

    def _refuse(self, row: DumpRow, reason: str) -> None:
        self._importing.progress.refuse("examples", row.place, reason)

    def _advance(self) -> None:
        self._counts.read += 1
        self._next = next(self._rows, None)


@dataclass(frozen=True)
class _ContextHere:
    id: int
    n_tokens: int


def _contexts(session: Session, import_id: int, numbers: set[int]) -> dict[int, _ContextHere]:
    rows = session.execute(
        select(ImportedRow.number, Context.id, Context.n_tokens)
        .join(Context, Context.id == ImportedRow.row_id)
        .where(
            ImportedRow.import_id == import_id,
            ImportedRow.kind == CONTEXT,
            ImportedRow.number == any_(literal(sorted(numbers), ARRAY(BigInteger))),
        )
    )
    return {row.number: _ContextHere(row.id, row.n_tokens) for row in rows}


def _evidence(
    importing: Importing,
    row: DumpRow,
    examples: Sequence[DumpRow],
    contexts: Mapping[int, _ContextHere],
) -> Sequence[Any] | None:
    values = row.values
    sae = importing.sae_of(row)
    if sae.mode == BESIDE:
        return None
    run_id = importing.runs.get(values["run"])
    if run_id is None:
        raise RefusedRowError(f"its run {values['run']} did not come in")
    required(row, *_MEASURED)
    if len(values["histogram"]) != BINS or None in values["histogram"]:
        raise RefusedRowError(f"its histogram has not {BINS} bins")
    packed = _packed_examples(examples, contexts)
    return (
        *(run_id, importing.feature_of(row)),
        *(values[name] for name in ("count", "contexts", "density", "mean", "max", "flags")),
        pack_counts(np.asarray(values["histogram"], dtype=np.int64)),
        packed_pairs(values["top_tokens"], "token_id", "share"),
        values["top_tokens_exact"],
        [[tag["tag"], tag["share"], tag["lift"]] for tag in values["tags"]],
        packed,
        *(_context_id(number, contexts) for number in _ends(row)),
    )


_MEASURED: Final = (
    *("count", "contexts", "density", "mean", "max", "flags", "histogram", "top_tokens"),
    *("top_tokens_exact", "tags"),
)


def _context_id(number: int | None, contexts: Mapping[int, _ContextHere]) -> int | None:
    if number is None:
        return None
    if number not in contexts:
        raise RefusedRowError(f"context {number}, to which it points, did not come in")
    return contexts[number].id


def _packed_examples(rows: Sequence[DumpRow], contexts: Mapping[int, _ContextHere]) -> bytes:
    """Return a feature's examples; senses name them by place, so one that is wrong refuses all."""
    for at, row in enumerate(rows):
        try:
            _check_example(row, at, contexts)
        except RefusedRowError as refused:
            where = f"row {row.place.row} of {row.place.file}"
            raise RefusedRowError(f"its example in {where}: {refused}") from None
    active = [len(row.values["positions"]) for row in rows]

    def column(name: str, dtype: Any) -> Any:
        return np.asarray([row.values[name] for row in rows], dtype=dtype)

    def joined(name: str, dtype: Any) -> Any:
        return np.asarray([one for row in rows for one in row.values[name]], dtype=dtype)

    return pack_examples(
        ExampleSet(
            context_id=np.asarray(
                [contexts[row.values["context"]].id for row in rows], dtype=np.int64
            ),
            kind=np.asarray([_KINDS[row.values["kind"]] for row in rows], dtype=np.uint8),
            activation=column("activation", np.float32),
            quantile=column("quantile", np.float32),
            peak=column("peak", np.int32),
            start=column("start", np.int32),
            end=column("end", np.int32),
            offsets=np.concatenate([[0], np.cumsum(active)]).astype(np.int32),
            positions=joined("positions", np.int32),
            shares=joined("shares", np.float16),
        )
    )


def _check_example(row: DumpRow, at: int, contexts: Mapping[int, _ContextHere]) -> None:
    values = row.values
    check_numbers(row)
    required(row, "kind", "activation", "quantile", "peak", "start", "end", "positions", "shares")
    context = contexts.get(values["context"])
    if context is None:
        raise RefusedRowError(f"its context {values['context']} did not come in")
    if values["position"] != at or values["kind"] not in _KINDS:
        raise RefusedRowError("it is out of order, or neither best nor sample")
    if not 0 <= values["start"] <= values["peak"] < values["end"] <= context.n_tokens:
        raise RefusedRowError(f"its tokens lie outside of its context of {context.n_tokens}")
    positions, shares = values["positions"], values["shares"]
    if len(positions) != len(shares) or None in positions or None in shares:
        raise RefusedRowError("it has not one share for each token that fires")
    if not all(0 <= token < context.n_tokens for token in positions):
        raise RefusedRowError(f"it fires outside of its context of {context.n_tokens} tokens")
    if not all(0 <= share <= 65_504 for share in shares):
        raise RefusedRowError("a share is negative, or larger than can be kept")
