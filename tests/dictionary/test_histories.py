"""The history of a feature: one entry a write, and undo by a new one."""

from collections.abc import Callable

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from annotating import hold, in_force, make_actor, make_reviewable, say
from makers import feature_id
from scopebook.accounts import Actor
from scopebook.annotations import annotation_of
from scopebook.db.review_tables import Change
from scopebook.db.tables import Context, Sae
from scopebook.discussion import add_comment, edit_comment
from scopebook.errors import ConflictError, ForbiddenError, StaleError
from scopebook.example_marks import mark_example
from scopebook.feature_writes import FeatureWrite, open_write
from scopebook.groupings import merge_senses
from scopebook.histories import history_of, undo_change
from scopebook.reviews import ask_second_opinion, pin_label, propose_label, review_label
from scopebook.tags import tag_feature

Act = Callable[[Session, FeatureWrite], Change]


def spoken(session: Session) -> tuple[Sae, Actor]:
    """A feature that fires in two texts, with a label and two senses, and one who may do all."""
    sae, run = make_reviewable(session)
    say(session, sae, run, "rivers", senses=[("the Rhine", [0]), ("the Nile", [1])])
    return sae, make_actor(session, "ada", "editor")


def label_of(session: Session, sae: Sae) -> int:
    return next(
        label.id
        for label in annotation_of(session, feature_id(sae, 0)).labels
        if label.current and not label.senses
    )


def first_context(session: Session) -> int:
    return session.scalars(select(Context.id).order_by(Context.id)).first() or 0


def seen(session: Session, sae: Sae) -> object:
    """Return everything that can be seen of a feature but its version and how it came to be."""
    view = annotation_of(session, feature_id(sae, 0))
    return (
        {(label.text, label.current) for label in view.labels},
        [(review.author, review.verdict, review.reason) for review in view.reviews],
        view.pinned,
        [asked.author for asked in view.second_opinions],
        [tag.name for tag in view.tags],
        [mark.context_id for mark in view.marks],
        [comment.text for comment in view.comments if comment.text is not None],
        view.grouped,
    )


ACTS: dict[str, Act] = {
    "review": lambda s, w: review_label(s, w, label_of(s, s.get_one(Sae, w.sae_id)), "reject", "x"),
    "propose": lambda s, w: propose_label(s, w, "streams", reason="shorter")[1],
    "pin": lambda s, w: pin_label(s, w, label_of(s, s.get_one(Sae, w.sae_id)), reason="so"),
    "second_opinion": lambda s, w: ask_second_opinion(s, w, None),
    "comment": lambda s, w: add_comment(s, w, "Why not lakes?"),
    "tag": lambda s, w: tag_feature(s, w, "safety", present=True),
    "example": lambda s, w: mark_example(s, w, first_context(s), off=True),
    "grouping": lambda s, w: merge_senses(s, w, [0, 1], None),
}


@pytest.mark.parametrize("kind", ACTS)
def test_every_kind_of_change_can_be_undone_and_done_again(session: Session, kind: str) -> None:
    sae, ada = spoken(session)
    before = seen(session, sae)
    change = ACTS[kind](session, hold(session, ada, sae))
    after = seen(session, sae)

    undo = undo_change(session, hold(session, ada, sae), change.id)
    undone = seen(session, sae)
    undo_change(session, hold(session, ada, sae), undo.id)

    assert change.kind == kind
    assert after != before
    assert undone == before
    assert seen(session, sae) == after
    history, _ = history_of(session, feature_id(sae, 0))
    assert [(entry.kind, entry.undone) for entry in history] == [
        ("undo", False), ("undo", True), (kind, False),
    ]  # fmt: skip
    assert [entry.version for entry in history] == [3, 2, 1]


def test_an_entry_says_who_when_what_and_what_was_before(session: Session) -> None:
    sae, ada = spoken(session)
    label = label_of(session, sae)
    review_label(session, hold(session, ada, sae), label, "accept", None)

    review_label(session, hold(session, ada, sae), label, "reject", "too wide")

    history, _ = history_of(session, feature_id(sae, 0))
    newest = history[0]
    assert (newest.author, newest.kind, newest.reason) == ("ada", "review", "too wide")
    assert newest.before == {"verdict": "accept", "reason": None}
    assert newest.after == {"verdict": "reject", "reason": "too wide"}
    assert newest.created_at is not None


def test_what_later_changes_rest_on_is_not_undone_and_they_are_named(session: Session) -> None:
    sae, ada = spoken(session)
    ben = make_actor(session, "ben")
    proposal, proposed = propose_label(session, hold(session, ada, sae), "streams")
    review = review_label(session, hold(session, ben, sae), proposal.id, "accept", None)
    with pytest.raises(ConflictError, match=rf"review by ben \(entry {review.id}\)"):
        undo_change(session, hold(session, ada, sae), proposed.id)
    undo_change(session, hold(session, ben, sae), review.id)

    undo_change(session, hold(session, ada, sae), proposed.id)

    assert "streams" not in in_force(session, sae)


def test_an_undone_entry_is_not_undone_again(session: Session) -> None:
    sae, ada = spoken(session)
    change = add_comment(session, hold(session, ada, sae), "One.")
    undo_change(session, hold(session, ada, sae), change.id)

    with pytest.raises(ConflictError, match="undone already"):
        undo_change(session, hold(session, ada, sae), change.id)


def test_an_editor_undoes_for_others_and_an_annotator_only_for_themselves(
    session: Session,
) -> None:
    sae, ada = spoken(session)
    ben, eve = make_actor(session, "ben"), make_actor(session, "eve")
    change = review_label(session, hold(session, ben, sae), label_of(session, sae), "reject", "no")
    with pytest.raises(ForbiddenError, match="another person's"):
        undo_change(session, hold(session, eve, sae), change.id)

    undo_change(session, hold(session, ada, sae), change.id)

    assert annotation_of(session, feature_id(sae, 0)).reviews == []


def test_undoing_a_verdict_opens_the_wish_that_it_answered(session: Session) -> None:
    sae, ada = spoken(session)
    ben = make_actor(session, "ben")
    ask_second_opinion(session, hold(session, ada, sae), "lakes?")
    review = review_label(session, hold(session, ben, sae), label_of(session, sae), "accept", None)

    undo_change(session, hold(session, ben, sae), review.id)

    assert [o.author for o in annotation_of(session, feature_id(sae, 0)).second_opinions] == ["ada"]


def test_a_comment_that_was_taken_away_comes_back_with_its_last_words(session: Session) -> None:
    sae, ada = spoken(session)
    added = add_comment(session, hold(session, ada, sae), "One.")
    comment_id = int(added.slot.split(":")[1])
    edit_comment(session, hold(session, ada, sae), comment_id, "Two.")
    gone = edit_comment(session, hold(session, ada, sae), comment_id, None)

    undo_change(session, hold(session, ada, sae), gone.id)

    [comment] = annotation_of(session, feature_id(sae, 0)).comments
    assert (comment.text, comment.version) == ("Two.", 4)


def test_the_history_pages_without_skipping_or_repeating(session: Session) -> None:
    sae, ada = spoken(session)
    for number in range(7):
        add_comment(session, hold(session, ada, sae), f"{number}")

    versions: list[int] = []
    cursor: str | None = None
    for _ in range(3):
        page, cursor = history_of(session, feature_id(sae, 0), limit=3, cursor=cursor)
        versions += [entry.version for entry in page]

    assert versions == [7, 6, 5, 4, 3, 2, 1]
    assert cursor is None


def test_a_write_upon_an_older_version_is_refused(session: Session) -> None:
    sae, ada = spoken(session)
    add_comment(session, open_write(session, ada, feature_id(sae, 0), 0), "One.")

    with pytest.raises(StaleError, match="at version 1 and not 0"):
        open_write(session, ada, feature_id(sae, 0), 0)


@pytest.mark.parametrize("table", ["change", "review", "comment_version"])
def test_the_database_refuses_to_change_what_was_said(session: Session, table: str) -> None:
    with pytest.raises(DBAPIError, match="only grow"):
        session.execute(text(f"UPDATE {table} SET created_at = now()"))
