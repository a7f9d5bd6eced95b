"""The queue of reviews: the most valuable first, and nothing in two hands."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from annotating import hold, make_actor, make_reviewable, say
from makers import feature_id
from scopebook.accounts import Actor
from scopebook.db.review_tables import QueueEntry
from scopebook.db.sessions import Sessions
from scopebook.db.tables import Sae
from scopebook.errors import ForbiddenError, NotFoundError
from scopebook.label_scores import publish_scores
from scopebook.labelings import settle_labels
from scopebook.labels import current_labels
from scopebook.review_queue import next_feature, queue_state, release_feature
from scopebook.reviews import ask_second_opinion, propose_label, review_label
from scopebook.tags import tag_feature


def filled(session: Session, *, features: int = 3) -> Sae:
    """An SAE whose features are worded by a model, the lower ones used more."""
    sae, run = make_reviewable(session, indices=range(features))
    for index in range(features):
        say(session, sae, run, f"label {index}", index=index)
    return sae


def number(session: Session, actor: Actor, **asked: object) -> int | None:
    lease = next_feature(session, actor, **asked)  # type: ignore[arg-type]
    return None if lease is None else lease.feature_id & 0xFFFFF


def review(session: Session, actor: Actor, sae: Sae, index: int, verdict: str = "accept") -> None:
    key = feature_id(sae, index)
    label = current_labels(session, [key])[key]
    review_label(session, hold(session, actor, sae, index), label.id, verdict, None)  # type: ignore[arg-type]


def test_what_is_used_most_comes_first_and_what_was_reviewed_not_again(session: Session) -> None:
    sae = filled(session)
    ada = make_actor(session, "ada")

    order = []
    while (index := number(session, ada)) is not None:
        order.append(index)
        review(session, ada, sae, index)

    assert order == [0, 1, 2]


def test_what_never_fired_is_not_handed_out(session: Session) -> None:
    sae = filled(session, features=1)
    settle_labels(session, [sae.id])

    assert session.scalars(select(QueueEntry.feature_id)).all() == [feature_id(sae, 0)]


def test_a_label_that_is_scored_badly_comes_before_one_used_a_little_more(
    session: Session,
) -> None:
    sae, run = make_reviewable(session, indices=[0, 1])
    good = say(session, sae, run, "good", index=0)[1]
    bad = say(session, sae, run, "bad", index=1)[1]
    for label, value in ((good, 0.95), (bad, 0.5)):
        score = {
            "label_id": label.id, "scorer": "detection", "scorer_version": "1", "judge": "a",
            "n_pos": 9, "n_neg_random": 9, "n_neg_hard": 0, "n_failed": 0, "value": value,
            "held_out_sha256": b"h" * 32,
        }  # fmt: skip
        publish_scores(session, [score])

    assert number(session, make_actor(session, "ada")) == 1


def test_a_second_opinion_goes_to_others_and_before_everything_else(session: Session) -> None:
    sae = filled(session)
    ada, ben = make_actor(session, "ada"), make_actor(session, "ben")
    ask_second_opinion(session, hold(session, ada, sae, 2), None)

    handed = next_feature(session, ben)

    assert handed is not None
    assert (handed.feature_id, handed.why) == (
        feature_id(sae, 2),
        "Somebody asks for a second opinion.",
    )
    release_feature(session, ben, handed.feature_id)
    assert number(session, ada) == 0


def test_disagreement_goes_to_a_third_person_before_what_nobody_has_seen(session: Session) -> None:
    sae = filled(session)
    ada, ben, eve = (make_actor(session, name) for name in ("ada", "ben", "eve"))
    review(session, ada, sae, 2, "accept")
    review(session, ben, sae, 2, "reject")

    assert number(session, eve) == 2
    assert number(session, ada) == 0


def test_a_proposal_waits_for_somebody_elses_verdict(session: Session) -> None:
    sae = filled(session)
    ada, ben = make_actor(session, "ada"), make_actor(session, "ben")
    propose_label(session, hold(session, ada, sae, 1), "streams")

    assert number(session, ben) == 1
    assert number(session, ada) == 0


def test_what_one_person_has_in_hand_no_other_gets_until_the_lease_ends(session: Session) -> None:
    filled(session, features=2)
    ada, ben, eve = (make_actor(session, name) for name in ("ada", "ben", "eve"))
    hands = [number(session, actor) for actor in (ada, ben, eve)]
    session.execute(
        update(QueueEntry)
        .where(QueueEntry.leased_by == ada.account_id)
        .values(leased_until=func.now() - timedelta(seconds=1))
    )

    assert hands == [0, 1, None]
    assert number(session, eve) == 0


def test_who_asks_again_keeps_what_they_have(session: Session) -> None:
    filled(session)
    ada = make_actor(session, "ada")

    assert [number(session, ada) for _ in range(3)] == [0, 0, 0]
    state = queue_state(session)
    assert (state.unreviewed, state.in_hand) == (3, {"ada": 1})


def test_a_skipped_feature_goes_to_others(session: Session) -> None:
    sae = filled(session)
    ada, ben = make_actor(session, "ada"), make_actor(session, "ben")
    number(session, ada)

    release_feature(session, ada, feature_id(sae, 0), skip=True)

    assert number(session, ada) == 1
    assert number(session, ben) == 0


def test_only_who_has_it_gives_a_feature_back(session: Session) -> None:
    sae = filled(session)
    ada, ben = make_actor(session, "ada"), make_actor(session, "ben")
    number(session, ada)

    with pytest.raises(NotFoundError, match="in hand"):
        release_feature(session, ben, feature_id(sae, 0))


def test_a_viewer_is_handed_nothing(session: Session) -> None:
    filled(session)

    with pytest.raises(ForbiddenError):
        next_feature(session, make_actor(session, "a reader", "viewer"))


def test_the_queue_is_asked_by_layer_and_by_tag(session: Session) -> None:
    sae = filled(session)
    ada = make_actor(session, "ada")
    tag_feature(session, hold(session, ada, sae, 2), "code", present=True)

    assert number(session, ada, tag="code") == 2
    with pytest.raises(NotFoundError):
        number(session, ada, layers=[7])


def test_verdicts_that_come_before_a_machine_speaks_again_still_order_the_queue(
    session: Session,
) -> None:
    sae = filled(session)
    ada, ben = make_actor(session, "ada"), make_actor(session, "ben")
    review(session, ada, sae, 0)

    settle_labels(session, [sae.id])

    assert number(session, ben) == 1


def test_many_at_once_never_have_the_same_feature_in_hand(sessions: Sessions) -> None:
    with sessions.begin() as session:
        filled(session, features=16)
    people = _people(sessions, 10)

    def work(actor: Actor) -> list[int]:
        taken = []
        for _ in range(3):
            with sessions.begin() as session:
                lease = next_feature(session, actor)
                assert lease is not None
                taken.append(lease.feature_id)
            with sessions.begin() as session:
                release_feature(session, actor, taken[-1], skip=True)
        with sessions.begin() as session:
            lease = next_feature(session, actor)
            assert lease is not None
            return [lease.feature_id]

    with ThreadPoolExecutor(10) as pool:
        held = [key for keys in pool.map(work, people) for key in keys]

    assert max(Counter(held).values()) == 1


def _people(sessions: Sessions, count: int) -> list[Actor]:
    with sessions.begin() as session:
        return [make_actor(session, f"person {n}") for n in range(count)]


def test_the_next_feature_is_found_by_an_index(session: Session) -> None:
    filled(session)
    session.execute(text("SET LOCAL enable_seqscan = off"))
    plan = "\n".join(
        session.scalars(
            text(
                "EXPLAIN SELECT feature_id FROM queue_entry WHERE sae_id = 1 AND open "
                "ORDER BY priority DESC, feature_id LIMIT 1"
            )
        )
    )

    assert "ix_queue_entry_order" in plan
    assert "Sort" not in plan
