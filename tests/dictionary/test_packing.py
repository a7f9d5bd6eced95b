"""Packed values come back as they went in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from makers import make_examples
from scopebook.errors import InvalidInputError
from scopebook.packing import (
    BINS,
    HISTOGRAM_EDGES,
    pack_counts,
    pack_examples,
    pack_ints,
    pack_pairs,
    unpack_counts,
    unpack_examples,
    unpack_ints,
    unpack_pairs,
)


@given(st.lists(st.tuples(st.integers(0, 2**31 - 1), st.floats(width=32, allow_nan=False))))
def test_pairs_come_back(pairs: list[tuple[int, float]]) -> None:
    packed = pack_pairs([i for i, _ in pairs], [value for _, value in pairs])

    assert unpack_pairs(packed) == pairs


@given(st.lists(st.integers(-(2**31), 2**31 - 1)))
def test_ints_come_back(numbers: list[int]) -> None:
    assert unpack_ints(pack_ints(np.asarray(numbers, dtype=np.int32))).tolist() == numbers


def test_counts_come_back() -> None:
    counts = np.arange(BINS, dtype=np.int64) * 2**40

    assert unpack_counts(pack_counts(counts)).tolist() == counts.tolist()


@pytest.mark.parametrize("n", [0, 1, 80])
def test_examples_come_back(n: int) -> None:
    examples = make_examples(range(n))

    again = unpack_examples(pack_examples(examples))

    assert len(again) == n
    for name, column in vars(examples).items():
        assert getattr(again, name).tolist() == column.tolist(), name


def test_activations_are_shares_of_the_largest() -> None:
    examples = make_examples([7], peak=2, activation=5.0)

    positions, activations = examples.activations(0)

    assert (positions.tolist(), activations.tolist()) == ([2], [5.0])


def test_histogram_edges_rise_from_zero_to_infinity() -> None:
    assert HISTOGRAM_EDGES[0] == 0
    assert np.isinf(HISTOGRAM_EDGES[-1])
    assert (np.diff(HISTOGRAM_EDGES) > 0).all()


def test_a_later_layout_is_refused_by_name() -> None:
    with pytest.raises(InvalidInputError, match="version 02"):
        unpack_ints(b"\x02" + pack_ints(np.zeros(1, dtype=np.int32))[1:])
