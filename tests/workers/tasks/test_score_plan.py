"""Which labels are scored how, before anything is read or asked."""

from collections.abc import Collection, Sequence

from scopebook.label_scores import SCORERS, LabelToScore
from scopebook_workers.tasks.score_plan import Plan, plan


def label(
    number: int, feature: int, senses: Sequence[int] = (), *, source: str = "llm", unseen: int = 9
) -> LabelToScore:
    return LabelToScore(
        id=number,
        feature_id=(7 << 20) | feature,
        text=f"label {number}",
        description=None,
        source=source,
        senses=senses,
        held_out=range(unseen),
        feature_held_out=range(unseen),
        members=range(20, 40),
    )


#: Features of one sense, and feature 99 of two.
LABELS = [
    *(label(feature, feature) for feature in range(90)),
    *(label(100, 99), label(101, 99, [0]), label(102, 99, [1])),
]


def planned(
    labels: Sequence[LabelToScore] = LABELS,
    *,
    scorers: Collection[str] = SCORERS,
    sample: int | None = None,
    judges_keywords: bool = False,
    stored: Sequence[tuple[int, str]] = (),
) -> Plan:
    return plan(
        labels,
        scorers=scorers,
        sample=sample,
        judges_keywords=judges_keywords,
        stored=set(stored),
    )


def ids(labels: Sequence[LabelToScore]) -> list[int]:
    return [one.id for one in labels]


def test_a_larger_sample_holds_a_smaller_one_whatever_the_labels_order() -> None:
    small = planned(sample=10).chosen["detection"]
    large = planned(LABELS[::-1], sample=20).chosen["detection"]

    assert len({one.feature_id for one in small}) == 10
    assert ids(large)[: len(small)] == ids(small)


def test_a_union_is_of_features_with_two_senses_and_intruders_are_sought_in_single_ones() -> None:
    made = planned()

    assert ids(made.chosen["union"]) == [100]
    assert sorted(ids(made.senses[(7 << 20) | 99])) == [101, 102]
    assert {101, 102} <= set(ids(made.chosen["intruder"]))
    assert 100 not in ids(made.chosen["intruder"])


def test_keywords_are_compared_by_vectors_and_judged_only_when_asked_for() -> None:
    labels = [label(1, 1), label(2, 2, source="keywords"), label(3, 3, source="person")]

    assert sorted(ids(planned(labels).chosen["embedding"])) == [1, 2, 3]
    assert sorted(ids(planned(labels).chosen["detection"])) == [1, 3]
    assert sorted(ids(planned(labels, judges_keywords=True).chosen["detection"])) == [1, 2, 3]


def test_labels_with_too_few_unseen_examples_are_counted_and_left_out() -> None:
    made = planned([label(1, 1), label(2, 2, unseen=4), label(3, 3, unseen=5)])

    assert sorted(ids(made.chosen["detection"])) == [1, 3]
    assert made.n_unseen == 1


def test_labels_that_no_scorer_takes_are_neither_drawn_nor_counted() -> None:
    keywords = [label(number, number, source="keywords", unseen=3) for number in range(1, 40)]

    made = planned([*keywords, label(50, 50)], scorers={"detection"}, sample=1)

    assert ids(made.chosen["detection"]) == [50]
    assert made.n_unseen == 0


def test_a_judge_that_is_named_is_asked_however_few_labels_it_may_judge() -> None:
    keywords = [label(number, number, source="keywords") for number in range(1, 60)]

    made = planned([*keywords, label(70, 70)], sample=2)

    assert ids(made.chosen["detection"]) == [70]
    assert len(made.chosen["embedding"]) == 2


def test_what_is_stored_is_not_left_and_has_no_null_to_be_asked_for() -> None:
    stored = [(one.id, scorer) for one in LABELS for scorer in SCORERS if scorer != "fuzzing"]
    made = planned(stored=stored)

    assert {tuple(scorers) for _, scorers in made.work()} == {("fuzzing",)}
    assert made.null_pool("detection") == []
    assert planned(stored=[*stored, *((one.id, "fuzzing") for one in LABELS)]).work() == []


def test_a_null_has_one_label_of_each_feature_so_that_no_label_meets_its_own_windows() -> None:
    pool = planned().null_pool("detection")

    assert len(pool) == len({one.feature_id for one in pool}) == 91
    assert 100 in ids(pool)


def test_the_cost_is_that_of_what_is_left_with_its_nulls_and_all_labels_of_a_union() -> None:
    labels = [*LABELS[:3], *LABELS[-3:]]
    detections = [(one.id, "detection") for one in labels]
    whole = planned(labels).cost((), ["detection", "fuzzing"])
    rest = planned(labels, stored=detections).cost((), ["fuzzing"])

    # Eight requests a label by detection, four by fuzzing, ten by intruder; five labels a union.
    assert whole.requests == 8 * (6 + 4 + 5) + 4 * (6 + 4) + 10 * 5
    assert whole.requests - rest.requests == 8 * (6 + 4)
