import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from scopebook.packing import HISTOGRAM_EDGES
from scopebook_workers.sae.statistics import bins_of


def searched(values: torch.Tensor) -> list[int]:
    edges = HISTOGRAM_EDGES
    return (np.searchsorted(edges, values.double().numpy(), side="right") - 1).tolist()


@given(st.lists(st.floats(2.0**-126, 2.0**127, width=32), min_size=1))
def test_the_bin_by_exponent_is_the_bin_between_the_edges(numbers: list[float]) -> None:
    values = torch.tensor(numbers, dtype=torch.float32)

    assert bins_of(values).tolist() == searched(values)


def test_numbers_at_the_edges_and_beside_them_fall_on_the_right_side() -> None:
    edges = torch.from_numpy(HISTOGRAM_EDGES[1:-1]).float()
    beside = torch.cat([edges, edges.nextafter(torch.tensor(0.0)), edges.nextafter(edges * 2)])

    assert bins_of(beside).tolist() == searched(beside)
