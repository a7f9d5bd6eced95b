"""Which label is in force once people have said something, and who may say what."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from annotating import hold, in_force, make_actor, make_reviewable, say
from makers import feature_id, make_corpus, make_label, make_run
from scopebook.annotations import annotation_of, list_reviews
from scopebook.db.entry_tables import FeatureEntry
from scopebook.db.label_tables import Label, LabelChoice
from scopebook.db.review_tables import Review
from scopebook.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError
from scopebook.label_rule import clauses_of
from scopebook.reviews import ask_second_opinion, pin_label, propose_label, review_label


def test_a_label_that_more_accept_than_reject_goes_before_a_newer_one(session: Session) -> None:
    sae, run = make_reviewable(session)
    ada, ben, eve = (make_actor(session, name) for name in ("ada", "ben", "eve"))
    _, label = say(session, sae, run, "rivers")
    for actor, verdict in ((ada, "accept"), (ben, "reject"), (eve, "accept")):
        review_label(session, hold(session, actor, sae), label.id, verdict, None)  # type: ignore[arg-type]

    say(session, sae, run, "lakes")

    assert in_force(session, sae) == {"rivers"}
    assert clauses_of(session, feature_id(sae, 0)) == {label.id: "accepted"}


def test_a_tie_does_not_accept_a_label(session: Session) -> None:
    sae, run = make_reviewable(session)
    ada, ben = make_actor(session, "ada"), make_actor(session, "ben")
    _, label = say(session, sae, run, "rivers")
    review_label(session, hold(session, ada, sae), label.id, "accept", None)
    review_label(session, hold(session, ben, sae), label.id, "reject", "too wide")

    say(session, sae, run, "lakes")

    assert in_force(session, sae) == {"lakes"}


def test_a_rejected_label_of_a_model_gives_way_to_the_next_best(session: Session) -> None:
    sae, run = make_reviewable(session)
    ada = make_actor(session, "ada")
    say(session, sae, run, "text with river", source="keywords")
    _, label = say(session, sae, run, "rivers of Europe")

    review_label(session, hold(session, ada, sae), label.id, "reject", "also in Asia")

    assert in_force(session, sae) == {"text with river"}
    assert set(clauses_of(session, feature_id(sae, 0)).values()) == {"keywords"}


def test_where_everything_is_rejected_no_label_is_in_force(session: Session) -> None:
    sae, run = make_reviewable(session)
    ada = make_actor(session, "ada")
    _, label = say(session, sae, run, "rivers")

    review_label(session, hold(session, ada, sae), label.id, "reject", None)

    assert in_force(session, sae) == set()


def test_a_later_verdict_of_the_same_person_stands_and_the_earlier_stays(
    session: Session,
) -> None:
    sae, run = make_reviewable(session)
    ada = make_actor(session, "ada")
    _, label = say(session, sae, run, "rivers")
    review_label(session, hold(session, ada, sae), label.id, "accept", None)

    review_label(session, hold(session, ada, sae), label.id, "reject", "no")

    [standing] = annotation_of(session, feature_id(sae, 0)).reviews
    assert (standing.verdict, standing.reason) == ("reject", "no")
    given, _ = list_reviews(session, author="ada")
    assert [review.verdict for review in given] == ["reject", "accept"]


def test_the_same_verdict_again_is_refused(session: Session) -> None:
    sae, run = make_reviewable(session)
    ada = make_actor(session, "ada")
    _, label = say(session, sae, run, "rivers")
    review_label(session, hold(session, ada, sae), label.id, "accept", None)

    with pytest.raises(ConflictError, match="accept already"):
        review_label(session, hold(session, ada, sae), label.id, "accept", " ")

    assert len(session.scalars(select(Review)).all()) == 1


def test_a_proposal_is_in_force_once_another_person_accepts_it(session: Session) -> None:
    sae, run = make_reviewable(session)
    ada, ben = make_actor(session, "ada"), make_actor(session, "ben")
    _, old = say(session, sae, run, "rivers")
    proposal, _ = propose_label(
        session, hold(session, ada, sae), "rivers of Europe", supersedes_id=old.id
    )
    before = in_force(session, sae)

    review_label(session, hold(session, ben, sae), proposal.id, "accept", None)

    assert before == {"rivers"}
    assert in_force(session, sae) == {"rivers of Europe"}
    assert (proposal.author, proposal.source, proposal.supersedes_id) == ("ada", "person", old.id)
    choice = session.scalars(select(LabelChoice).where(LabelChoice.label_id == proposal.id)).one()
    assert (choice.chosen_by, choice.reason) == ("ada", "More people accept it than reject it.")


@pytest.mark.parametrize("others", [0, 1])
def test_ones_own_word_is_enough_where_there_is_no_other_annotator(
    session: Session, others: int
) -> None:
    sae, run = make_reviewable(session)
    ada = make_actor(session, "ada")
    make_actor(session, "a reader", "viewer")
    for name in range(others):
        make_actor(session, f"other {name}")
    say(session, sae, run, "rivers")

    propose_label(session, hold(session, ada, sae), "streams")

    assert in_force(session, sae) == ({"rivers"} if others else {"streams"})


def test_an_editors_proposal_is_in_force_at_once(session: Session) -> None:
    sae, run = make_reviewable(session)
    make_actor(session, "ben")
    say(session, sae, run, "rivers")

    propose_label(session, hold(session, make_actor(session, "ada", "editor"), sae), "streams")

    assert in_force(session, sae) == {"streams"}


def test_the_same_words_are_not_proposed_twice(session: Session) -> None:
    sae, _ = make_reviewable(session)
    ada, ben = make_actor(session, "ada"), make_actor(session, "ben")
    propose_label(session, hold(session, ada, sae), "streams")

    with pytest.raises(ConflictError, match="ada has proposed these very words"):
        propose_label(session, hold(session, ben, sae), " streams ")


@pytest.mark.parametrize("words", ["", "   ", "x" * 301])
def test_empty_and_endless_wordings_are_refused(session: Session, words: str) -> None:
    sae, _ = make_reviewable(session)

    with pytest.raises(InvalidInputError, match="label"):
        propose_label(session, hold(session, make_actor(session, "ada"), sae), words)


def test_a_sense_is_worded_by_itself(session: Session) -> None:
    sae, run = make_reviewable(session)
    ada, ben = make_actor(session, "ada"), make_actor(session, "ben")
    say(session, sae, run, "rivers", senses=[("the Rhine", [0]), ("the Nile", [1])])

    proposal, _ = propose_label(session, hold(session, ada, sae), "the White Nile", sense=1)
    review_label(session, hold(session, ben, sae), proposal.id, "accept", None)

    assert in_force(session, sae) == {"rivers", "the Rhine", "the White Nile"}
    with pytest.raises(NotFoundError, match="no sense 2"):
        propose_label(session, hold(session, ada, sae), "the Blue Nile", sense=2)


def test_an_accepted_label_keeps_its_senses_while_newer_labelings_come(session: Session) -> None:
    sae, run = make_reviewable(session)
    ada = make_actor(session, "ada")
    _, label = say(session, sae, run, "rivers", senses=[("the Rhine", [0]), ("the Nile", [1])])
    review_label(session, hold(session, ada, sae), label.id, "accept", None)

    say(session, sae, run, "lakes", senses=[("Erie", [0]), ("Baikal", [1])])

    assert in_force(session, sae) == {"rivers", "the Rhine", "the Nile"}


def test_a_pinned_label_holds_whatever_people_say(session: Session) -> None:
    sae, run = make_reviewable(session)
    ada, ben = make_actor(session, "ada", "editor"), make_actor(session, "ben")
    _, label = say(session, sae, run, "rivers")
    pin_label(session, hold(session, ada, sae), label.id, reason="decided in the meeting")

    review_label(session, hold(session, ben, sae), label.id, "reject", None)
    pinned = in_force(session, sae)
    pin_label(session, hold(session, ada, sae), None, reason="open again")

    assert pinned == {"rivers"}
    assert in_force(session, sae) == set()


def test_only_editors_pin(session: Session) -> None:
    sae, run = make_reviewable(session)
    _, label = say(session, sae, run, "rivers")

    with pytest.raises(ForbiddenError, match="takes an editor"):
        pin_label(session, hold(session, make_actor(session, "ben"), sae), label.id, reason="so")


def test_a_viewer_writes_nothing(session: Session) -> None:
    sae, _ = make_reviewable(session)

    with pytest.raises(ForbiddenError, match="takes an annotator"):
        hold(session, make_actor(session, "a reader", "viewer"), sae)


def test_what_did_not_fit_its_examples_is_neither_accepted_nor_pinned(session: Session) -> None:
    sae, run = make_reviewable(session)
    ada = make_actor(session, "ada", "editor")
    _, label = say(session, sae, run, "rivers")
    label.current = False
    label.status = "suspect"
    session.flush()

    with pytest.raises(ConflictError, match="did not fit"):
        review_label(session, hold(session, ada, sae), label.id, "accept", None)
    with pytest.raises(InvalidInputError, match="did not fit"):
        pin_label(session, hold(session, ada, sae), label.id, reason="so")


def test_an_accepted_label_holds_when_another_run_is_shown(session: Session) -> None:
    sae, run = make_reviewable(session)
    _, label = say(session, sae, run, "rivers")
    review_label(session, hold(session, make_actor(session, "ada"), sae), label.id, "accept", None)
    newer = make_run(session, [sae], make_corpus(session, ["other"], name="newer"))

    say(session, sae, newer, "seas")

    assert in_force(session, sae) == {"rivers"}


def test_what_a_person_elsewhere_put_in_force_goes_before_machines_until_it_is_rejected(
    session: Session,
) -> None:
    sae, run = make_reviewable(session)
    imported = make_label(session, sae, 0, "streams", source="import", current=False)
    imported.provenance = {"import": {"ranks_as": "person"}}
    say(session, sae, run, "rivers")
    before = in_force(session, sae)

    review_label(
        session, hold(session, make_actor(session, "ada"), sae), imported.id, "reject", None
    )

    assert before == {"streams"}
    assert in_force(session, sae) == {"rivers"}


def test_a_second_opinion_is_asked_for_once_and_closed_by_another_ones_verdict(
    session: Session,
) -> None:
    sae, run = make_reviewable(session)
    ada, ben = make_actor(session, "ada"), make_actor(session, "ben")
    _, label = say(session, sae, run, "rivers")
    ask_second_opinion(session, hold(session, ada, sae), "lakes, too?")
    with pytest.raises(ConflictError, match="already"):
        ask_second_opinion(session, hold(session, ada, sae), None)
    review_label(session, hold(session, ada, sae), label.id, "unsure", None)
    [asked] = annotation_of(session, feature_id(sae, 0)).second_opinions

    review_label(session, hold(session, ben, sae), label.id, "accept", None)

    assert (asked.author, asked.reason) == ("ada", "lakes, too?")
    assert annotation_of(session, feature_id(sae, 0)).second_opinions == []


def test_a_label_of_another_feature_is_not_found(session: Session) -> None:
    sae, run = make_reviewable(session, indices=[0, 1])
    _, label = say(session, sae, run, "rivers", index=1)

    with pytest.raises(NotFoundError, match="no label"):
        review_label(
            session, hold(session, make_actor(session, "ada"), sae), label.id, "accept", None
        )


def test_everything_that_was_proposed_stays(session: Session) -> None:
    sae, run = make_reviewable(session)
    say(session, sae, run, "rivers")
    ada = make_actor(session, "ada", "editor")
    for text in ("streams", "brooks"):
        propose_label(session, hold(session, ada, sae), text)

    texts = session.scalars(select(Label.text).order_by(Label.id)).all()

    assert texts == ["rivers", "streams", "brooks"]


def test_lists_and_searches_see_what_people_say(session: Session) -> None:
    sae, run = make_reviewable(session)
    ada, ben = make_actor(session, "ada"), make_actor(session, "ben")
    say(session, sae, run, "rivers")

    def entry() -> tuple[str, str | None, bool]:
        found = session.get_one(FeatureEntry, feature_id(sae, 0), populate_existing=True)
        return found.state, found.author, found.reviewed

    before = entry()
    proposal, _ = propose_label(session, hold(session, ada, sae), "streams")
    proposed = entry()
    review_label(session, hold(session, ben, sae), proposal.id, "accept", None)
    accepted = entry()
    for actor in (ada, ben):
        review_label(session, hold(session, actor, sae), proposal.id, "withdrawn", None)

    assert [before, proposed, accepted, entry()] == [
        ("labelled", None, False),
        ("labelled", None, True),
        ("accepted", "ada", True),
        ("labelled", None, False),
    ]
