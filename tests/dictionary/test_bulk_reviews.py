"""One action on many features: previewed, done once, undone as one."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from annotating import hold, in_force, make_actor, make_reviewable, say
from makers import feature_id
from scopebook.accounts import Actor
from scopebook.bulk_reviews import apply_bulk, preview_bulk, undo_bulk
from scopebook.db.review_tables import Change
from scopebook.db.tables import Sae
from scopebook.discussion import add_comment
from scopebook.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError
from scopebook.histories import history_of
from scopebook.tags import tag_feature, tags_of


def filled(session: Session) -> tuple[Sae, Actor, list[int]]:
    sae, run = make_reviewable(session, indices=[0, 1, 2])
    for index in (0, 1):
        say(session, sae, run, f"label {index}", index=index)
    return sae, make_actor(session, "ada"), [feature_id(sae, index) for index in range(3)]


def test_a_preview_says_what_would_change_and_changes_nothing(session: Session) -> None:
    sae, ada, ids = filled(session)

    report = preview_bulk(session, ada, ids, {"kind": "reject", "reason": "noise"})

    assert (report.changes, report.refused) == (2, 1)
    assert [item.refusal for item in report.items] == [None, None, "It has no label in force."]
    assert session.scalars(select(Change)).all() == []
    assert in_force(session, sae, 0) == {"label 0"}


def test_what_was_previewed_is_done_once_and_undone_as_one(session: Session) -> None:
    sae, ada, ids = filled(session)
    report = preview_bulk(session, ada, ids[:2], {"kind": "reject", "reason": "noise"})

    done = apply_bulk(session, ada, report.token)
    with pytest.raises(ConflictError, match="done already"):
        apply_bulk(session, ada, report.token)
    after = [in_force(session, sae, index) for index in (0, 1)]
    undone = undo_bulk(session, ada, done.id)

    assert (done.changes, undone.changes) == (2, 2)
    assert after == [set(), set()]
    assert [in_force(session, sae, index) for index in (0, 1)] == [{"label 0"}, {"label 1"}]
    history, _ = history_of(session, ids[0])
    assert [(entry.kind, entry.bulk_id) for entry in history] == [
        ("undo", done.id),
        ("review", done.id),
    ]
    with pytest.raises(ConflictError, match="nothing to undo"):
        undo_bulk(session, ada, done.id)


def test_a_feature_that_was_changed_since_the_preview_is_left_out(session: Session) -> None:
    sae, ada, ids = filled(session)
    report = preview_bulk(session, ada, ids, {"kind": "tag", "tag": "code"})
    add_comment(session, hold(session, make_actor(session, "ben"), sae, 1), "Wait.")

    done = apply_bulk(session, ada, report.token)

    assert [item.refusal for item in done.items] == [None, "It was changed since.", None]
    assert [len(tags_of(session, key)) for key in ids] == [1, 0, 1]


def test_an_undo_leaves_alone_what_others_have_changed_since(session: Session) -> None:
    sae, ada, ids = filled(session)
    report = preview_bulk(session, ada, ids, {"kind": "tag", "tag": "code"})
    done = apply_bulk(session, ada, report.token)
    tag_feature(session, hold(session, make_actor(session, "ben"), sae, 1), "code", present=False)

    undone = undo_bulk(session, ada, done.id)

    assert (undone.changes, undone.refused) == (2, 1)
    assert "rest on it" in (undone.items[1].refusal or "")


def test_a_preview_is_its_makers(session: Session) -> None:
    _, ada, ids = filled(session)
    report = preview_bulk(session, ada, ids, {"kind": "second_opinion"})

    with pytest.raises(ForbiddenError):
        apply_bulk(session, make_actor(session, "ben"), report.token)


@pytest.mark.parametrize("ids", [[], list(range(1001))])
def test_none_or_too_many_features_are_refused(session: Session, ids: list[int]) -> None:
    with pytest.raises(InvalidInputError, match="Name 1 to 1,000 features"):
        preview_bulk(session, make_actor(session, "ada"), ids, {"kind": "accept"})


def test_features_that_do_not_exist_are_refused(session: Session) -> None:
    _, ada, ids = filled(session)

    with pytest.raises(NotFoundError, match="1 of the features"):
        preview_bulk(session, ada, [*ids, 5], {"kind": "accept"})
