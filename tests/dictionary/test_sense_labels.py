"""People accept, reject and pin the labels of single senses."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from annotating import hold, in_force, make_actor, make_reviewable, say
from makers import feature_id
from scopebook.annotations import annotation_of
from scopebook.db.label_tables import Label, Sense
from scopebook.db.tables import Sae
from scopebook.groupings import merge_senses
from scopebook.histories import history_of, undo_change
from scopebook.review_queue import next_feature
from scopebook.reviews import pin_label, propose_label, review_label
from scopebook.sense_labels import SenseLabels


def two_senses(session: Session) -> Sae:
    """An SAE whose feature 0 a model has worded, and its two senses."""
    sae, run = make_reviewable(session)
    say(session, sae, run, "rivers", senses=[("the Rhine", [0]), ("the Nile", [1])])
    return sae


def label_of(session: Session, words: str) -> int:
    return session.scalars(select(Label.id).where(Label.text == words)).one()


def senses_now(session: Session, sae: Sae) -> list[SenseLabels]:
    return annotation_of(session, feature_id(sae, 0)).senses


def test_a_rejected_label_of_a_sense_stays_beside_it_with_who_rejects_it(session: Session) -> None:
    sae = two_senses(session)
    nile = label_of(session, "the Nile")

    review_label(
        session, hold(session, make_actor(session, "ada"), sae), nile, "reject", "the Congo, too"
    )

    assert in_force(session, sae) == {"rivers", "the Rhine"}
    annotation = annotation_of(session, feature_id(sae, 0))
    assert [(one.ordinal, one.label_id, one.others) for one in annotation.senses] == [
        (0, label_of(session, "the Rhine"), []),
        (1, None, [nile]),
    ]
    assert [(it.id, it.current) for it in annotation.labels if it.id == nile] == [(nile, False)]
    assert [(it.author, it.reason) for it in annotation.reviews] == [("ada", "the Congo, too")]


def test_the_rule_decides_for_each_sense_by_itself(session: Session) -> None:
    sae = two_senses(session)
    ada, ben, eve = (
        make_actor(session, name, role)
        for name, role in (("ada", "annotator"), ("ben", "annotator"), ("eve", "editor"))
    )
    rhine, nile = label_of(session, "the Rhine"), label_of(session, "the Nile")
    proposal, _ = propose_label(session, hold(session, ada, sae), "African rivers", sense=1)
    proposed = senses_now(session, sae)
    review_label(session, hold(session, ben, sae), proposal.id, "accept", None)
    pin_label(session, hold(session, eve, sae), rhine, reason="as in the paper")

    review_label(session, hold(session, ben, sae), rhine, "reject", None)

    assert [(one.label_id, one.others) for one in proposed] == [(rhine, []), (nile, [proposal.id])]
    now = annotation_of(session, feature_id(sae, 0))
    assert [(one.label_id, one.pinned) for one in now.senses] == [
        (rhine, rhine),
        (proposal.id, None),
    ]
    clauses = {it.label_id: it.clause for it in now.reasons}
    assert (clauses[rhine], clauses[proposal.id]) == ("pinned", "accepted")
    pin_label(session, hold(session, eve, sae), None, sense=0, reason="open again")
    assert [(one.label_id, one.pinned) for one in senses_now(session, sae)] == [
        (None, None),
        (proposal.id, None),
    ]


def test_wordings_of_senses_that_are_no_more_are_of_none_of_those_that_are(
    session: Session,
) -> None:
    sae = two_senses(session)
    ada = make_actor(session, "ada")
    make_actor(session, "ben")
    before = {one.id for one in senses_now(session, sae)}
    proposal, _ = propose_label(session, hold(session, ada, sae), "African rivers", sense=1)

    merge_senses(session, hold(session, ada, sae), [0, 1], None)

    [joined] = senses_now(session, sae)
    assert (joined.ordinal, joined.others) == (0, [])
    assert joined.id not in before
    assert proposal.id in {it.id for it in annotation_of(session, feature_id(sae, 0)).labels}


def test_the_history_names_the_label_and_the_sense_and_an_undo_brings_it_back(
    session: Session,
) -> None:
    sae = two_senses(session)
    ada = make_actor(session, "ada", "editor")
    nile = label_of(session, "the Nile")
    change = review_label(session, hold(session, ada, sae), nile, "reject", None)
    pin_label(session, hold(session, ada, sae), label_of(session, "the Rhine"), reason="so")

    undo_change(session, hold(session, ada, sae), change.id)

    entries, _ = history_of(session, feature_id(sae, 0))
    assert [(it.kind, it.label, it.sense) for it in entries] == [
        ("undo", "the Nile", 1),
        ("pin", "the Rhine", 0),
        ("review", "the Nile", 1),
    ]
    assert in_force(session, sae) == {"rivers", "the Rhine", "the Nile"}


def test_a_verdict_on_a_sense_leaves_the_feature_in_ones_hand(session: Session) -> None:
    sae = two_senses(session)
    ada, ben = make_actor(session, "ada"), make_actor(session, "ben")
    assert next_feature(session, ada) is not None

    review_label(session, hold(session, ada, sae), label_of(session, "the Nile"), "accept", None)
    propose_label(session, hold(session, ada, sae), "streams of Europe", sense=0)

    assert next_feature(session, ben) is None
    held = next_feature(session, ada)
    assert held is not None
    review_label(session, hold(session, ada, sae), label_of(session, "rivers"), "accept", None)
    handed = next_feature(session, ben)
    assert handed is not None
    assert handed.feature_id == held.feature_id


def test_a_verdict_on_a_joined_sense_is_one_on_all_that_its_label_words(session: Session) -> None:
    sae = two_senses(session)
    rhine = session.get_one(Label, label_of(session, "the Rhine"))
    rhine.also = [1]
    session.get_one(Label, label_of(session, "the Nile")).current = False
    session.flush()

    [joined] = senses_now(session, sae)

    assert joined.label_id == rhine.id
    assert joined.id == session.scalars(select(Sense.id).order_by(Sense.ordinal)).first()
