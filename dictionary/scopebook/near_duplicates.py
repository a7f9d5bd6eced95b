"""Near-duplicates: fingerprints of texts, and groups that appending never changes.

An item's fingerprint is a 64-bit simhash of its set of shingles (runs of a few tokens or
characters): two items that share most shingles differ in few bits. An item joins the earliest
leader within `MAX_BITS`, else it leads a group itself. That depends on the order of the items
alone, so batches of any size give the same groups, and later items change none of the earlier.

The figures behind the constants are in docs/decisions/0006-near-duplicates-by-leaders.md.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

#: Fingerprints of near-duplicates differ in so many bits at most.
MAX_BITS: Final = 7
#: Tokens of a context's shingle, and characters of a document's.
TOKEN_SHINGLE: Final = 3
CHARACTER_SHINGLE: Final = 8
#: Items of fewer different shingles are alike only if all of them are equal.
FEWEST: Final = 16

#: Four bands of 16 bits: with 7 bits apart, one band is at most 1 bit apart.
_BANDS: Final = 4
_PROBES: Final = np.concatenate([[0], 1 << np.arange(16)]).astype(np.uint16)
#: Candidates, and items against each other, that are compared at once: bounds the memory.
_AT_ONCE: Final = 1 << 19
_TOGETHER: Final = 1024
#: Characters of a text whose shingles are one set; longer texts add the counts of several.
_PIECE: Final = 1 << 17

_BASE: Final = np.uint64(0x9E3779B97F4A7C15)
#: Eight counters in one number, and how far each counts.
_LANES: Final = np.uint64(0x0101010101010101)
_LANE: Final = 255

Hashes = NDArray[np.uint64]
Ids = NDArray[np.int64]


def token_fingerprints(token_ids: Sequence[NDArray[np.int32]]) -> Hashes:
    """Return the simhash of each run of tokens; runs of any length, also of none.

    A run shorter than a shingle is one shingle, so that two such are alike only if equal.
    """
    if not token_ids:
        return np.zeros(0, dtype=np.uint64)
    lengths = np.asarray([len(run) for run in token_ids])
    values = _mixed(np.concatenate(token_ids).astype(np.uint64) + _BASE)
    shingles = _windows(values, TOKEN_SHINGLE)
    firsts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    counts = np.maximum(lengths - TOKEN_SHINGLE + 1, 0)
    table = np.full((len(lengths), max(int(counts.max()), 1)), _NONE, dtype=np.uint64)
    inside = np.arange(table.shape[1]) < counts[:, None]
    table[inside] = shingles[_ranges(firsts, counts)]
    for place in np.flatnonzero((counts == 0) & (lengths > 0)).tolist():
        table[place, 0] = _whole(values[firsts[place] : firsts[place] + lengths[place]])
    return _Votes.of(table).fingerprints()


def text_fingerprint(text: str) -> int:
    """Return the simhash of a text, by its runs of characters; memory does not grow with it."""
    votes: _Votes | None = None
    for start in range(0, max(len(text), 1), _PIECE):
        piece = text[start : start + _PIECE + CHARACTER_SHINGLE - 1]
        if votes and len(piece) < CHARACTER_SHINGLE:
            break
        codes = np.frombuffer(piece.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        values = _mixed(codes.astype(np.uint64) + _BASE)
        shingles = _windows(values, CHARACTER_SHINGLE)
        more = _Votes.of(shingles[None] if len(shingles) else np.asarray([[_whole(values)]]))
        if votes is None:
            votes = more
        else:
            votes.add(more)
    assert votes is not None
    return int(votes.fingerprints()[0])


def to_signed(fingerprints: Hashes) -> list[int]:
    """Return fingerprints as the database holds them: the same 64 bits, read as int8."""
    signed: list[int] = fingerprints.view(np.int64).tolist()
    return signed


def from_signed(stored: Sequence[int] | Ids) -> Hashes:
    """Return what `to_signed` stored."""
    return np.asarray(stored, dtype=np.int64).view(np.uint64)


#: No shingle's hash: fills up rows.
_NONE: Final = np.uint64(2**64 - 1)


def _mixed(values: Hashes) -> Hashes:
    """Return each value scrambled, so that every bit depends on all of its bits (SplitMix64)."""
    mixed = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _windows(values: Hashes, width: int) -> Hashes:
    """Return a hash for each run of `width` values: doubled runs, put together by its bits."""
    size = len(values) - width + 1
    if size <= 0:
        return np.zeros(0, dtype=np.uint64)
    total = np.zeros(size, dtype=np.uint64)
    run, covered, length, factor = values, 0, 1, int(_BASE)
    while True:
        if width & length:
            total = total * np.uint64(factor) + run[covered : covered + size]
            covered += length
        if 2 * length > width:
            return _mixed(total)
        run = run[: len(run) - length] * np.uint64(factor) + run[length:]
        length, factor = length * 2, factor * factor % 2**64


def _whole(values: Hashes) -> np.uint64:
    """Return one hash of all values and their number."""
    powers = np.cumprod(np.full(len(values), _BASE, dtype=np.uint64))
    return np.uint64(_mixed(np.asarray([(values * powers).sum() + np.uint64(len(values))]))[0])


def _ranges(firsts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers of all ranges one after the other: each from its first, so many."""
    before = np.cumsum(counts) - counts
    return np.repeat(firsts - before, counts) + np.arange(int(counts.sum()))


@dataclass(eq=False)
class _Votes:
    """What sets of shingles say, one a row; those of one text's pieces add."""

    bits: NDArray[np.int64]  # (n, 64) how many have that bit set
    number: NDArray[np.int64]  # (n,) of them
    least: Hashes  # (n,) the smallest
    total: Hashes  # (n,) their sum

    @classmethod
    def of(cls, table: Hashes) -> "_Votes":
        """Count the hashes of each row, equal ones once; `_NONE` fills rows up.

        Else the rows of dashes in a table would outvote its words.
        """
        table = np.sort(table, axis=1)
        taken = table != _NONE
        taken[:, 1:] &= table[:, 1:] != table[:, :-1]
        blocks = -(-table.shape[1] // _LANE)
        padded = np.zeros((len(table), blocks * _LANE), dtype=np.uint64)
        np.copyto(padded[:, : table.shape[1]], table, where=taken)
        bits = np.empty((len(table), 64), dtype=np.int64)
        for shift in range(8):
            lanes = (padded >> np.uint64(shift)) & _LANES
            counted = lanes.reshape(len(table), blocks, _LANE).sum(axis=2, dtype=np.uint64)
            counts = counted.astype("<u8").view(np.uint8).reshape(len(table), blocks, 8)
            bits[:, shift::8] = counts.sum(axis=1, dtype=np.int64)
        return cls(bits, taken.sum(axis=1), table[:, 0].copy(), padded.sum(axis=1))

    def add(self, more: "_Votes") -> None:
        """Take in other shingles of the same items."""
        self.bits += more.bits
        self.number += more.number
        self.least = np.minimum(self.least, more.least)
        self.total = self.total + more.total

    def fingerprints(self) -> Hashes:
        """Return the bits that most shingles have; where half of them do, the smallest's bit.

        Few shingles are one hash of them all: a majority of three would make unlike items alike.
        """
        places = np.arange(64, dtype=np.uint64)
        tied = (self.least[:, None] >> places) & np.uint64(1)
        twice = 2 * self.bits - self.number[:, None]
        most = np.where(twice == 0, tied, (twice > 0).astype(np.uint64))
        hashes: Hashes = np.bitwise_or.reduce(most << places, axis=1)
        whole = _mixed(self.total + self.number.astype(np.uint64))
        return np.where(self.number < FEWEST, whole, hashes)


@dataclass(frozen=True, eq=False)
class _Part:
    """Some leaders, sorted once by each band, with where each value of the band begins."""

    hashes: Hashes  # (n,)
    places: NDArray[np.int32]  # (n,) which leader of all each is
    sorted_hashes: Hashes  # (bands, n)
    sorted_places: NDArray[np.int32]  # (bands, n)
    begins: NDArray[np.int32]  # (bands, 2**16 + 1)

    @classmethod
    def of(cls, hashes: Hashes, places: NDArray[np.int32]) -> "_Part":
        orders = [np.argsort(band, kind="stable") for band in _bands(hashes)]
        counts = [np.bincount(band, minlength=2**16) for band in _bands(hashes)]
        return cls(
            hashes,
            places,
            np.stack([hashes[order] for order in orders]),
            np.stack([places[order] for order in orders]),
            np.stack([np.concatenate([[0], np.cumsum(count)]) for count in counts]).astype("i4"),
        )


def _bands(hashes: Hashes) -> list[NDArray[np.uint16]]:
    return [(hashes >> np.uint64(16 * band)).astype(np.uint16) for band in range(_BANDS)]


class Leaders:
    """The leaders so far, in their order, and the search among them.

    `ids` name the leaders; they must ascend, as row ids do. Memory: about 80 bytes per leader.
    """

    def __init__(self, ids: Ids | None = None, fingerprints: Hashes | None = None) -> None:
        self._ids: list[Ids] = []
        self._count = 0
        self._parts: list[_Part] = []
        if ids is not None and fingerprints is not None and len(ids):
            self._add(ids, fingerprints)

    def __len__(self) -> int:
        return self._count

    def join(self, ids: Ids, fingerprints: Hashes) -> Ids:
        """Take in items in their order; return the id of each one's leader, its own if it leads."""
        parts = [
            self._join(ids[start : start + _TOGETHER], fingerprints[start : start + _TOGETHER])
            for start in range(0, len(ids), _TOGETHER)
        ]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)

    def _join(self, ids: Ids, hashes: Hashes) -> Ids:
        found = self._search(hashes)
        joined = ids.copy()
        known = np.flatnonzero(found < self._count)
        if len(known):
            joined[known] = np.concatenate(self._ids)[found[known]]
        fresh = np.flatnonzero(found == self._count)
        leader = _first_leaders(hashes[fresh])
        joined[fresh] = ids[fresh][leader]
        leads = fresh[leader == np.arange(len(fresh))]
        if len(leads):
            self._add(ids[leads], hashes[leads])
        return joined

    def _search(self, hashes: Hashes) -> NDArray[np.int64]:
        """Return the place of the earliest leader near each hash; the count of leaders if none."""
        found = np.full(len(hashes), self._count, dtype=np.int64)
        for part in self._parts:
            for band, values in enumerate(_bands(hashes)):
                keys = (values[:, None] ^ _PROBES).ravel().astype(np.int64)
                firsts = part.begins[band][keys].astype(np.int64)
                counts = part.begins[band][keys + 1] - firsts
                asking = np.repeat(np.arange(len(hashes)), len(_PROBES))
                for some in _bounded(counts):
                    place = _ranges(firsts[some], counts[some])
                    item = np.repeat(asking[some], counts[some])
                    apart = np.bitwise_count(part.sorted_hashes[band][place] ^ hashes[item])
                    near = np.flatnonzero(apart <= MAX_BITS)
                    np.minimum.at(found, item[near], part.sorted_places[band][place[near]])
        return found

    def _add(self, ids: Ids, hashes: Hashes) -> None:
        """Append leaders; parts of like size become one, so that there are few."""
        places = np.arange(self._count, self._count + len(ids), dtype=np.int32)
        self._ids.append(np.asarray(ids, dtype=np.int64))
        self._count += len(ids)
        while self._parts and len(self._parts[-1].hashes) <= 2 * len(hashes):
            before = self._parts.pop()
            hashes = np.concatenate([before.hashes, hashes])
            places = np.concatenate([before.places, places])
        self._parts.append(_Part.of(hashes, places))


def _first_leaders(hashes: Hashes) -> NDArray[np.int64]:
    """Return the place of each item's leader among few items, none of which has one yet."""
    leader = np.arange(len(hashes))
    near = np.bitwise_count(hashes[:, None] ^ hashes) <= MAX_BITS
    for item in np.flatnonzero(np.tril(near, -1).any(axis=1)).tolist():
        before = np.flatnonzero(near[item, :item] & (leader[:item] == np.arange(item)))
        if len(before):
            leader[item] = before[0]
    return leader


def _bounded(counts: NDArray[np.int64]) -> Iterator[slice]:
    """Cut look-ups into slices with at most `_AT_ONCE` candidates, or one look-up."""
    ends = np.cumsum(counts)
    start = 0
    while start < len(counts):
        before = int(ends[start - 1]) if start else 0
        end = max(int(np.searchsorted(ends, before + _AT_ONCE, side="right")), start + 1)
        yield slice(start, end)
        start = end
