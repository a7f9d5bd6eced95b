from collections.abc import Sequence

import numpy as np
import pytest
from tests.workers.labeling.scoring.judging import fire, make_panel, make_passage

from scopebook.errors import InvalidInputError
from scopebook_workers.labeling.evidence import Firing
from scopebook_workers.labeling.material import Quiet
from scopebook_workers.labeling.scoring.negatives import Negatives, Search, choose_negatives
from scopebook_workers.labeling.scoring.panel import Panel, nearest_features

WORDS = [f"w{i}" for i in range(60)]


def make_search(n: int = 80) -> Search:
    """Feature 0 fires in the first ten contexts, 1 in 5 to 24, 2 in 20 to 39."""
    passages = [make_passage(1_000 + i, WORDS) for i in range(n)]
    panel = make_panel(passages, {0: range(10), 1: range(5, 25), 2: range(20, min(n, 40))})
    vectors = np.random.default_rng(0).normal(size=(n, 8)).astype(np.float32)
    return Search(panel=panel, windows=panel.quiets(), vectors=vectors)


def choose(
    search: Search, firings: Sequence[Firing] = (), held_out: Sequence[int] = (), **more: object
) -> Negatives:
    options: dict[str, object] = {
        "key": "m/1-set/0",
        "positive_vectors": search.vectors[:3],
        "neighbours": [1, 2],
    } | more
    return choose_negatives(search, 0, firings=firings, held_out=held_out, **options)  # type: ignore[arg-type]


def ids(quiets: Sequence[Quiet]) -> list[int]:
    return [quiet.passage.id for quiet in quiets]


def test_the_feature_fires_in_no_negative_and_none_is_taken_twice() -> None:
    chosen = choose(make_search())

    every = ids([*chosen.random, *chosen.near, *chosen.beside])
    assert len(every) == len(set(every)) == 40
    assert min(every) >= 1_010
    assert chosen.shortage() is None


def test_negatives_are_the_same_each_time_and_others_for_another_feature() -> None:
    search = make_search()

    first, again, other = choose(search), choose(search), choose(search, key="m/1-set/9")

    assert ids(first.random) == ids(again.random) != ids(other.random)
    assert ids(first.hard) == ids(again.hard)


def test_near_ones_are_the_nearest_by_a_full_sort() -> None:
    search = make_search()

    chosen = choose(search, neighbours=[])

    cosines = (search.vectors @ search.vectors[:3].T).max(axis=1)
    silent = [i for i in np.argsort(-cosines).tolist() if i >= 10]
    assert ids(chosen.near) == [1_000 + i for i in silent[:10]]


def test_neighbours_take_turns_at_their_peaks_strongest_first() -> None:
    chosen = choose(make_search())

    assert ids(chosen.beside)[:4] == [1_010, 1_020, 1_011, 1_021]
    assert {quiet.center for quiet in chosen.beside} == {1}


def test_no_negative_is_of_an_explained_document_or_repeats_an_example() -> None:
    explained = fire(make_passage(1, WORDS, document=1_050), 3)
    held_out = fire(make_passage(2, WORDS, group=1_060), 3)

    chosen = choose(make_search(), [explained, held_out], [1])

    assert not {1_050, 1_060} & set(ids([*chosen.random, *chosen.near, *chosen.beside]))


def test_another_passage_of_a_held_out_document_may_be_a_negative() -> None:
    search = make_search(31)
    held_out = fire(make_passage(2, WORDS, document=1_015), 3)

    chosen = choose(search, [held_out], [0])

    assert 1_015 in ids([*chosen.random, *chosen.near, *chosen.beside])


def test_a_shortage_is_said_and_filled_from_other_features() -> None:
    others = [fire(make_passage(i, WORDS), 5) for i in range(5)]

    chosen = choose(make_search(40), foreign=others, positive_vectors=np.zeros((0, 8), np.float32))

    assert len(chosen.near) == 0
    assert chosen.n_foreign == 0
    assert chosen.shortage() == "0 of 10 near"
    few = choose(make_search(40), foreign=others)
    assert len(few.random) == 15
    assert few.n_foreign == 5
    assert few.shortage() == ("15 of 20 random; 5 random ones are from other features' examples")


def test_the_nearest_directions_are_those_of_a_full_sort() -> None:
    directions = np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32)

    found = nearest_features(directions, [4, 17], n=3)

    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    for row, feature in zip(found, (4, 17), strict=True):
        order = np.argsort(-(unit @ unit[feature]))
        assert row.tolist() == [i for i in order.tolist() if i != feature][:3]


def test_a_panel_whose_rows_do_not_fit_is_refused() -> None:
    panel = make_search().panel

    with pytest.raises(InvalidInputError, match="do not fit together"):
        Panel(
            passages=panel.passages,
            starts=panel.starts,
            contexts=panel.contexts[:-1],
            peaks=panel.peaks,
            activations=panel.activations,
        )
    with pytest.raises(InvalidInputError, match="3 features, not number 3"):
        panel.fires(3)
