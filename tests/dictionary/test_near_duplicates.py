import hashlib
import itertools
import json
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from scopebook import near_duplicates
from scopebook.demo import bundle_path
from scopebook.near_duplicates import (
    CHARACTER_SHINGLE,
    FEWEST,
    MAX_BITS,
    Leaders,
    from_signed,
    text_fingerprint,
    to_signed,
    token_fingerprints,
)

#: Few centres and few flipped bits, so that most items have neighbours at the limit.
near_items = st.lists(
    st.tuples(st.integers(0, 3), st.sets(st.integers(0, 63), max_size=9)), max_size=60
)


def fingerprints(items: Sequence[tuple[int, set[int]]]) -> np.ndarray:
    centres = [int.from_bytes(hashlib.sha256(bytes([i])).digest()[:8]) for i in range(4)]
    flipped = [centres[centre] ^ sum(1 << bit for bit in bits) for centre, bits in items]
    return np.asarray(flipped, dtype=np.uint64)


def plain_leaders(hashes: Sequence[int]) -> list[int]:
    """Return each item's leader, by comparing it with every leader before it."""
    leaders: list[int] = []
    joined = []
    for place, one in enumerate(hashes):
        near = [leader for leader in leaders if (hashes[leader] ^ one).bit_count() <= MAX_BITS]
        if not near:
            leaders.append(place)
        joined.append(near[0] if near else place)
    return joined


def join_in_parts(hashes: np.ndarray, sizes: Sequence[int]) -> list[int]:
    leaders = Leaders()
    ids = np.arange(len(hashes), dtype=np.int64)
    joined: list[int] = []
    cuts = [0, *np.cumsum(sizes).tolist(), len(hashes)]
    for start, end in itertools.pairwise(cuts):
        part = slice(min(start, len(hashes)), min(end, len(hashes)))
        joined += leaders.join(ids[part], hashes[part]).tolist()
    return joined


@settings(deadline=None)  # the machine may be busy
@given(near_items, st.lists(st.integers(0, 20), max_size=6))
def test_leaders_are_those_of_a_plain_comparison_in_batches_of_any_size(
    items: list[tuple[int, set[int]]], sizes: list[int]
) -> None:
    hashes = fingerprints(items)

    assert join_in_parts(hashes, sizes) == plain_leaders(hashes.tolist())


@settings(deadline=None)  # the machine may be busy
@given(near_items, st.integers(0, 60))
def test_leaders_that_are_read_back_go_on_as_if_never_interrupted(
    items: list[tuple[int, set[int]]], cut: int
) -> None:
    hashes = fingerprints(items)
    ids = np.arange(len(hashes), dtype=np.int64) * 3 + 5
    whole = Leaders().join(ids, hashes)

    led = whole[:cut] == ids[:cut]
    again = Leaders(ids[:cut][led], from_signed(to_signed(hashes[:cut][led])))

    assert again.join(ids[cut:], hashes[cut:]).tolist() == whole[cut:].tolist()


def test_many_random_items_with_planted_neighbours_agree_with_a_plain_comparison(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(near_duplicates, "_AT_ONCE", 1000)
    dice = np.random.default_rng(0)
    hashes = dice.integers(0, 2**64, 3000, dtype=np.uint64)
    for place in range(1000, 3000, 2):
        bits = dice.choice(64, dice.integers(0, 10), replace=False)
        flips = np.bitwise_or.reduce(np.uint64(1) << bits.astype(np.uint64), initial=np.uint64(0))
        hashes[place] = hashes[dice.integers(0, place)] ^ flips

    assert join_in_parts(hashes, [700, 1, 1500]) == plain_leaders(hashes.tolist())


def test_signed_numbers_hold_all_64_bits() -> None:
    hashes = np.asarray([0, 1, 2**63, 2**64 - 1], dtype=np.uint64)

    assert to_signed(hashes) == [0, 1, -(2**63), -1]
    assert from_signed(to_signed(hashes)).tolist() == hashes.tolist()


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.lists(st.integers(0, 2**31 - 1), max_size=40), max_size=8))
def test_a_fingerprint_depends_on_its_own_tokens_alone(runs: list[list[int]]) -> None:
    arrays = [np.asarray(run, dtype=np.int32) for run in runs]

    together = token_fingerprints(arrays).tolist()

    assert together == [token_fingerprints([run]).tolist()[0] for run in arrays]


def test_equal_tokens_have_equal_fingerprints_and_short_runs_differ_otherwise() -> None:
    runs = [[7], [8], [7, 8], [8, 7], [7, 8, 9], [7], [7, 8], [7, 8, 9]]
    prints = token_fingerprints([np.asarray(run, dtype=np.int32) for run in runs])

    joined = Leaders().join(np.arange(8), prints).tolist()

    assert joined == [0, 1, 2, 3, 4, 0, 2, 4]


def demo_texts() -> list[str]:
    manifest = json.loads((bundle_path() / "bundle.json").read_text())
    lines = (bundle_path() / manifest["corpus"]["path"]).read_text().splitlines()
    return [json.loads(line)["text"] for line in lines]


def demo_contexts(size: int) -> list[np.ndarray]:
    (path,) = bundle_path().glob("models/*/tokenizer.json")
    cut = Tokenizer.from_file(str(path)).encode_batch(demo_texts(), add_special_tokens=False)
    ids = [np.asarray(one.ids, dtype=np.int32) for one in cut]
    return [run[i : i + size] for run in ids for i in range(0, len(run), size)]


def edited(tokens: Sequence[int], edits: int, dice: random.Random) -> np.ndarray:
    changed = list(tokens)
    for _ in range(edits):
        place = dice.randrange(len(changed))
        changed[place : place + dice.choice([0, 1, 1])] = dice.choice([[], [dice.choice(tokens)]])
    return np.asarray(changed, dtype=np.int32)


@pytest.mark.parametrize(("edits", "found"), [(1, 0.95), (2, 0.9), (3, 0.8), (5, 0.6)])
def test_contexts_with_a_few_edited_tokens_are_mostly_found(edits: int, found: float) -> None:
    dice = random.Random(edits)
    whole = [context for context in demo_contexts(256) if len(context) == 256][:600]
    before = token_fingerprints(whole)

    after = token_fingerprints([edited(context.tolist(), edits, dice) for context in whole])

    assert (np.bitwise_count(before ^ after) <= MAX_BITS).mean() >= found


@pytest.mark.parametrize("size", [64, 256])
def test_unrelated_contexts_of_the_demo_are_not_joined(size: int) -> None:
    contexts = demo_contexts(size)
    joined = Leaders().join(np.arange(len(contexts)), token_fingerprints(contexts)).tolist()

    pairs = [(place, leader) for place, leader in enumerate(joined) if leader != place]

    shares = [shared(contexts[one].tolist(), contexts[other].tolist()) for one, other in pairs]
    assert len(pairs) < len(contexts) / 50
    assert min(shares, default=1.0) > 0.5


def shared(one: list[int], other: list[int]) -> float:
    first, second = (set(itertools.pairwise(tokens)) or {0} for tokens in (one, other))
    return len(first & second) / len(first | second)


def test_tables_of_other_numbers_are_hardly_ever_joined() -> None:
    """Numbers are cut into digits, so that tables share nearly all pairs of tokens."""
    (path,) = bundle_path().glob("models/*/tokenizer.json")
    colours = ["red", "green", "blue"]
    lines = [f"| {i} | {i * 37 % 1000} | {colours[i % 3]} | {i * i % 97} |\n" for i in range(9000)]
    (cut,) = Tokenizer.from_file(str(path)).encode_batch(["".join(lines)])
    ids = np.asarray(cut.ids, dtype=np.int32)
    contexts = [ids[start : start + 256] for start in range(0, len(ids), 256)]

    joined = Leaders().join(np.arange(len(contexts)), token_fingerprints(contexts))

    assert len(contexts) > 300
    assert (joined != np.arange(len(contexts))).mean() < 0.03


def hash_of(run: str) -> int:
    codes = np.asarray([ord(character) for character in run], dtype=np.uint64)
    values = near_duplicates._mixed(codes + near_duplicates._BASE)
    return int(near_duplicates._windows(values, len(run))[0])


@settings(deadline=None)  # the machine may be busy
@given(st.text("abcé中🎉 \ud800", min_size=100, max_size=700))
def test_a_texts_fingerprint_is_the_majority_over_its_set_of_shingles(text: str) -> None:
    starts = range(len(text) - CHARACTER_SHINGLE + 1)
    hashes = {hash_of(text[start : start + CHARACTER_SHINGLE]) for start in starts}
    assume(len(hashes) >= FEWEST)

    votes = [sum(1 if one >> bit & 1 else -1 for one in hashes) for bit in range(64)]
    ties = [min(hashes) >> bit & 1 for bit in range(64)]

    bits = [vote > 0 or (vote == 0 and tie) for vote, tie in zip(votes, ties, strict=True)]
    assert text_fingerprint(text) == sum(bool(bit) << place for place, bit in enumerate(bits))


def test_a_long_texts_fingerprint_survives_an_edit_in_its_middle() -> None:
    text = "".join(demo_texts())

    changed = text[:200_000] + "an inserted sentence " + text[200_000:]

    assert len(text) > 3 * near_duplicates._PIECE
    assert (text_fingerprint(text) ^ text_fingerprint(changed)).bit_count() <= MAX_BITS


@pytest.mark.parametrize("text", ["", "a", "short", "a" * 5000])
def test_any_text_has_a_fingerprint(text: str) -> None:
    assert 0 <= text_fingerprint(text) < 2**64


def test_lengths_of_short_texts_tell_them_apart() -> None:
    prints = {text_fingerprint("a" * length) for length in range(CHARACTER_SHINGLE)}

    assert len(prints) == CHARACTER_SHINGLE


def test_the_demos_corpus_has_no_document_flagged(tmp_path: Path) -> None:
    prints = np.asarray([text_fingerprint(text) for text in demo_texts()], dtype=np.uint64)

    joined = Leaders().join(np.arange(len(prints)), prints)

    assert joined.tolist() == list(range(len(prints)))
