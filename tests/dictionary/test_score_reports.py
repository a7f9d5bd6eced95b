"""How the labels in force are scored, and which are the worst."""

import pytest
from sqlalchemy.orm import Session
from tests.makers import make_label, make_release, make_score

from scopebook.db.tables import Sae
from scopebook.errors import InvalidInputError
from scopebook.score_reports import score_report


def make_scored(session: Session) -> tuple[Sae, Sae]:
    first, second = make_release(session)
    for index, value in enumerate((0.9, 0.42, 0.42, 1.0, 0.0)):
        label = make_label(session, first, index, f"label {index}", source="llm")
        make_score(session, label, value, null_value=0.4 + value / 10)
    make_label(session, first, 5, "never scored", source="llm")
    make_label(session, first, 6, "words", source="keywords")
    make_score(session, make_label(session, second, 0, "of layer 2", source="llm"), 0.7)
    return first, second


def test_scores_are_counted_in_twenty_bins_with_both_ends_inside(session: Session) -> None:
    make_scored(session)

    [found] = score_report(session, layer=1).distributions

    assert len(found.histogram.counts) == 20
    assert {place: n for place, n in enumerate(found.histogram.counts) if n} == {
        0: 1,
        8: 2,
        18: 1,
        19: 1,
    }
    assert (found.histogram.edges[0], found.histogram.edges[20]) == (0.0, 1.0)
    assert found.median == 0.42
    assert found.null_value == pytest.approx(0.4548)


def test_labels_without_a_score_are_counted_by_their_source(session: Session) -> None:
    make_scored(session)

    report = score_report(session, layer=1)

    assert report.labels == {"keywords": 1, "llm": 6}
    assert report.distributions[0].scored == {"llm": 5}
    assert report.distributions[0].unscored == {"keywords": 1, "llm": 1}


def test_the_worst_labels_come_first_page_by_page(session: Session) -> None:
    make_scored(session)

    pages = [score_report(session, limit=2)]
    while pages[-1].following is not None:
        pages.append(score_report(session, limit=2, cursor=pages[-1].following))

    worst = [one for page in pages for one in page.worst]
    assert [one.score.value for one in worst] == [0.0, 0.42, 0.42, 0.7, 0.9, 1.0]
    assert len({one.label.id for one in worst}) == 6
    assert (worst[0].label.text, worst[0].feature.id) == (
        "label 4",
        "Tiny-Model/1-res-w1k-l0_8/4",
    )
    assert [one.feature.layer for one in worst if one.label.text == "of layer 2"] == [2]


def test_the_newest_score_of_a_label_counts_and_labels_not_in_force_do_not(
    session: Session,
) -> None:
    [sae] = make_release(session, layers=[1])
    label = make_label(session, sae, 0, "rivers", source="llm")
    make_score(session, label, 0.1)
    make_score(session, label, 0.8, judge="another-judge")
    make_score(session, make_label(session, sae, 0, "old", source="llm", current=False), 0.2)

    report = score_report(session)

    assert [one.score.value for one in report.worst] == [0.8]


def test_a_score_that_says_it_tells_nothing_is_none(session: Session) -> None:
    [sae] = make_release(session, layers=[1])
    for index, checked in enumerate((True, False)):
        label = make_label(session, sae, index, "rivers", source="llm")
        make_score(session, label, 0.5, scorer="support").details = {"checked": checked}
    session.flush()

    [found] = score_report(session).distributions

    assert (found.scored, found.unscored) == ({"llm": 1}, {"llm": 1})


def test_the_scorer_that_says_most_is_shown_unless_another_is_named(session: Session) -> None:
    [sae] = make_release(session, layers=[1])
    label = make_label(session, sae, 0, "rivers", source="llm")
    for scorer, value in (("support", 0.9), ("intruder", 0.5), ("detection", 0.7)):
        make_score(session, label, value, scorer=scorer)

    report, named = score_report(session), score_report(session, scorer="support")

    assert [one.scorer for one in report.distributions] == ["detection", "intruder", "support"]
    assert (report.scorer, [one.score.value for one in report.worst]) == ("detection", [0.7])
    assert (named.scorer, [one.score.value for one in named.worst]) == ("support", [0.9])
    with pytest.raises(InvalidInputError, match="by 'guess'; there are scores by detection"):
        score_report(session, scorer="guess")


def test_without_scores_the_labels_are_counted_all_the_same(session: Session) -> None:
    [sae] = make_release(session, layers=[1])
    make_label(session, sae, 0, "rivers", source="llm")

    report = score_report(session, scorer="detection")

    assert (report.labels, report.distributions, report.scorer) == ({"llm": 1}, [], None)
    assert (report.worst, report.following) == ([], None)
