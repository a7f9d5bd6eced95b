import numpy as np
import pytest
from tests.workers.labeling.scoring.judging import fire, make_panel, make_passage

from scopebook_workers.labeling.contrasts import ContrastFinder
from scopebook_workers.labeling.evidence import Firing, Passage
from scopebook_workers.labeling.material import Cluster, Material, Quiet
from scopebook_workers.labeling.sampling import may_contrast
from scopebook_workers.labeling.scoring.panel import Panel

RIVER = [f"river{number}" for number in range(10)]
COURT = [f"court{number}" for number in range(10)]
SHOWABLE = [number for number in range(1_000, 1_400) if may_contrast(number)]
OTHERS = [number for number in range(1_000, 1_400) if not may_contrast(number)]


def passage(number: int, words: list[str], **more: int) -> Passage:
    drawn = np.random.default_rng(number).choice(words, 30)
    return make_passage(number, drawn.tolist(), **more)


def material(firings: list[Firing]) -> Material:
    cluster = Cluster(
        members=[0],
        medoid=0,
        share=1.0,
        keywords=[],
        representatives=[0],
        held_out=[],
    )
    return Material(kind="context", firings=firings, clusters=[cluster], unassigned=0, held_out=[])


@pytest.fixture
def panel() -> Panel:
    """Feature 0 fires in the first five of both, 1 in some of the court; half is of the river."""
    numbers = [*SHOWABLE[:60], *OTHERS[:60]]
    passages = [passage(n, RIVER if i % 2 else COURT) for i, n in enumerate(numbers)]
    return make_panel(passages, {0: [*range(5), *range(60, 65)], 1: range(40, 60, 2)})


def ids(quiets: list[Quiet]) -> list[int]:
    return [quiet.passage.id for quiet in quiets]


def find(panel: Panel, firings: list[Firing], neighbours: list[int] | None = None) -> list[Quiet]:
    found = ContrastFinder(panel).find({0: material(firings)}, {0: neighbours or []})
    return list(found[0])


def test_contrasts_resemble_the_examples_and_the_feature_is_silent_in_them(panel: Panel) -> None:
    found = find(panel, [fire(passage(1, RIVER), 3)])

    assert len(set(ids(found))) == 3
    assert all(set(quiet.passage.text.split()) <= set(RIVER) for quiet in found)
    assert not set(ids(found)) & set(SHOWABLE[:5])


def test_contrasts_are_of_documents_that_no_label_is_tried_on(panel: Panel) -> None:
    everything = {
        key for seed in range(40) for key in ids(find(panel, [fire(passage(seed, RIVER), 3)], [1]))
    }

    assert len(everything) > 10
    assert everything <= set(SHOWABLE)


def test_near_texts_and_peaks_of_features_with_a_near_direction_take_turns(panel: Panel) -> None:
    found = find(panel, [fire(passage(1, RIVER), 3)], [1])

    assert [key in SHOWABLE[40:60:2] for key in ids(found)] == [False, True, False]
    assert found[1].center == 1  # the neighbour's peak, its strongest one first
    assert found[1].passage.id == SHOWABLE[40]


def test_the_same_panel_and_examples_give_the_same_contrasts_in_any_company(panel: Panel) -> None:
    own = material([fire(passage(1, RIVER), 3)])
    other = material([fire(passage(2, COURT), 3)])

    alone = ContrastFinder(panel).find({0: own}, {0: [1]})
    together = ContrastFinder(panel).find({1: other, 0: own}, {0: [1], 1: [0]})

    assert ids(list(together[0])) == ids(list(alone[0]))
    assert ids(list(together[1])) != ids(list(together[0]))


def test_what_nearly_repeats_an_example_its_document_or_a_text_to_be_tried_on_is_no_contrast() -> (
    None
):
    example = fire(passage(1, RIVER, document=SHOWABLE[0], group=77), 3)
    near, twin, free = SHOWABLE[1:4]
    passages = [
        passage(SHOWABLE[0], RIVER),  # of the example's document
        passage(near, RIVER, group=77),  # nearly repeats the example
        passage(twin, RIVER, group=88),  # nearly repeats a text that labels are tried on
        passage(OTHERS[0], RIVER, group=88),
        passage(free, RIVER),
    ]
    repeated = make_passage(5_000, RIVER * 3, document=SHOWABLE[10])
    passages.append(Passage(**vars(repeated) | {"near_document_id": SHOWABLE[0]}))
    panel = make_panel(passages, {0: [3], 1: [3]})

    assert ids(find(panel, [example], [1])) == [free]


def test_a_panel_without_silent_texts_to_show_gives_no_contrasts() -> None:
    panel = make_panel([passage(OTHERS[0], RIVER)], {0: [0]})

    assert find(panel, [fire(passage(1, RIVER), 3)]) == []


def test_part_of_a_panel_says_the_same_of_its_contexts(panel: Panel) -> None:
    kept = [place % 3 > 0 for place in range(len(panel))]

    part = panel.only(kept)

    places = [place for place, one in enumerate(kept) if one]
    assert [p.id for p in part.passages] == [panel.passages[place].id for place in places]
    for feature in (0, 1):
        whole, some = panel.fires(feature), part.fires(feature)
        rows = [row for row, context in enumerate(whole.contexts.tolist()) if kept[context]]
        assert [places[context] for context in some.contexts] == whole.contexts[rows].tolist()
        np.testing.assert_array_equal(some.peaks, whole.peaks[rows])
        np.testing.assert_array_equal(some.activations, whole.activations[rows])
