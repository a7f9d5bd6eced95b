"""Agreement between people, held against published figures and a plainer way to find them."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from annotating import hold, make_actor, make_reviewable, say
from scopebook.agreement import agreement_of, agreement_report, krippendorff_alpha
from scopebook.reviews import propose_label, review_label
from scopebook.tags import tag_feature

#: Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011): two observers and binary
#: data (section A), and four observers with nominal data and missing values (section C).
A = (("0100000010", "1110010000"), 0.095)
C = (
    ("123321412...", "1233224125.3", ".3332342251.", "12332441251."),
    0.743,
)


@pytest.mark.parametrize(("observers", "alpha"), [A, C])
def test_alpha_is_that_of_the_published_examples(observers: tuple[str, ...], alpha: float) -> None:
    units = [[mark for mark in unit if mark != "."] for unit in zip(*observers, strict=True)]

    found = krippendorff_alpha(units)

    assert found == pytest.approx(alpha, abs=0.0005)


def plain_alpha(units: list[list[str]]) -> float | None:
    """Return alpha by its definition: disagreement of pairs within units and among all."""
    several = [unit for unit in units if len(unit) > 1]
    everything = [mark for unit in several for mark in unit]
    n = len(everything)
    observed = sum(
        2 * sum(a != b for a, b in combinations(unit, 2)) / (len(unit) - 1) for unit in several
    )
    expected = 2 * sum(a != b for a, b in combinations(everything, 2))
    return None if not expected else 1 - (observed / n) / (expected / (n * (n - 1)))


@given(st.lists(st.lists(st.sampled_from("aru"), max_size=6), max_size=20))
def test_alpha_is_that_of_its_definition(units: list[list[str]]) -> None:
    expected = plain_alpha(units)

    found = krippendorff_alpha(units)

    assert found == (None if expected is None else pytest.approx(expected))


def test_percent_counts_pairs_of_verdicts_on_one_label() -> None:
    found = agreement_of([["accept", "accept", "reject"], ["accept"], []])

    assert (found.labels, found.ratings) == (1, 3)
    assert found.percent == pytest.approx(1 / 3)


def test_agreement_is_parted_by_pair_by_tag_and_by_month(session: Session) -> None:
    sae, run = make_reviewable(session, indices=[0, 1])
    ada, ben, eve = (make_actor(session, name) for name in ("ada", "ben", "eve"))
    tag_feature(session, hold(session, ada, sae, 0), "code", present=True)
    labels = [say(session, sae, run, f"label {index}", index=index)[1].id for index in (0, 1)]
    verdicts = ((ada, 0, "accept"), (ben, 0, "accept"), (ada, 1, "accept"), (ben, 1, "reject"))
    for actor, index, verdict in (*verdicts, (eve, 1, "reject")):
        review_label(session, hold(session, actor, sae, index), labels[index], verdict, None)  # type: ignore[arg-type]

    report = agreement_report(session)

    assert (report.overall.labels, report.overall.ratings) == (2, 5)
    assert [(one, other, found.percent) for one, other, found in report.pairs] == [
        ("ada", "ben", 0.5), ("ada", "eve", 0.0), ("ben", "eve", 1.0),
    ]  # fmt: skip
    assert [(name, found.percent) for name, found in report.tags] == [("code", 1.0)]
    [(month, found)] = report.months
    assert found == report.overall
    assert len(month) == 7


def test_what_authors_say_of_their_own_proposals_is_no_rating(session: Session) -> None:
    sae, _ = make_reviewable(session)
    ada, ben = make_actor(session, "ada"), make_actor(session, "ben")
    proposal, _ = propose_label(session, hold(session, ada, sae), "streams")

    review_label(session, hold(session, ben, sae), proposal.id, "accept", None)

    assert agreement_report(session).overall.labels == 0


def test_a_withdrawn_verdict_is_no_rating(session: Session) -> None:
    sae, run = make_reviewable(session)
    ada, ben = make_actor(session, "ada"), make_actor(session, "ben")
    _, label = say(session, sae, run, "rivers")
    for actor in (ada, ben):
        review_label(session, hold(session, actor, sae), label.id, "accept", None)

    review_label(session, hold(session, ben, sae), label.id, "withdrawn", None)

    assert agreement_report(session).overall.labels == 0
