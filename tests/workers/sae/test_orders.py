import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scopebook_workers.sae.orders import order_within, rank_within

ROWS = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.sampled_from([0, 1, 2, 7, 8, 2**40, 2**62, 2**63 - 1]),
        st.integers(-2, 2),
    )
)


@given(ROWS)
def test_the_packed_order_is_the_order_by_all_columns(rows: list[tuple[int, int, int]]) -> None:
    columns = np.asarray(rows, dtype=np.int64).reshape(-1, 3).T
    feature, number, tie = columns[0].astype(np.int32), columns[1], columns[2]

    order = order_within(feature, number, tie)

    assert [rows[i] for i in order] == sorted(rows)


@given(st.lists(st.integers(0, 3)).map(sorted))
def test_ranks_begin_anew_with_each_value(ordered: list[int]) -> None:
    ranks = rank_within(np.asarray(ordered, dtype=np.int32))

    assert ranks.tolist() == [ordered[:i].count(value) for i, value in enumerate(ordered)]
