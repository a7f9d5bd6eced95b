"""Lists of features: in order, shared, changed by their owner and by editors alone."""

import pytest
from sqlalchemy.orm import Session

from makers import make_label, make_release
from scopebook.accounts import Actor, Role
from scopebook.db.account_tables import Account
from scopebook.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError
from scopebook.lists import (
    MOST_AT_ONCE,
    add_features,
    change_list,
    create_list,
    delete_list,
    list_lists,
    move_feature,
    note_feature,
    read_items,
    read_list,
    remove_feature,
)


def person(session: Session, name: str, role: Role = "annotator") -> Actor:
    account = Account(name=name, role=role)
    session.add(account)
    session.flush()
    return Actor(account_id=account.id, name=name, role=role)


def name_of(index: int) -> str:
    return f"Tiny-Model/1-res-w1k-l0_8/{index}"


@pytest.fixture
def ada(session: Session) -> Actor:
    """Somebody with features to put into lists."""
    sae, _ = make_release(session)
    make_label(session, sae, 1, "rivers")
    return person(session, "ada")


def order(session: Session, actor: Actor, list_id: int) -> list[int]:
    seen: list[int] = []
    cursor = None
    while True:
        items, cursor = read_items(session, actor, list_id, limit=2, cursor=cursor)
        seen += [item.feature.index for item in items]
        if cursor is None:
            return seen


def test_features_stay_in_the_order_in_which_they_were_put(session: Session, ada: Actor) -> None:
    made = create_list(session, ada, " safety  set ", features=[name_of(5), name_of(1)])

    again = add_features(session, ada, made.id, [name_of(9), name_of(1), name_of(3), name_of(9)])

    assert (made.name, made.features) == ("safety set", 2)
    assert (again.added, again.present) == (2, 1)
    assert order(session, ada, made.id) == [5, 1, 9, 3]


def test_a_feature_is_moved_noted_and_taken_out(session: Session, ada: Actor) -> None:
    made = create_list(session, ada, "x", features=[name_of(i) for i in range(5)])

    move_feature(session, ada, made.id, name_of(4), after=None)
    move_feature(session, ada, made.id, name_of(0), after=name_of(2))
    move_feature(session, ada, made.id, name_of(3), after=name_of(3))
    note_feature(session, ada, made.id, name_of(2), "the best one")
    remove_feature(session, ada, made.id, name_of(1))

    assert order(session, ada, made.id) == [4, 2, 0, 3]
    items, _ = read_items(session, ada, made.id)
    assert (items[1].note, items[1].added_by) == ("the best one", "ada")


def test_a_list_is_seen_by_others_once_it_is_shared_and_changed_by_editors(
    session: Session, ada: Actor
) -> None:
    ben, editor = person(session, "ben"), person(session, "eve", "editor")
    made = create_list(session, ada, "mine", search={"q": "river", "layer": [1]})

    assert list_lists(session, ben) == ([], None)
    with pytest.raises(NotFoundError, match="not shared with you"):
        read_items(session, ben, made.id)
    change_list(session, ada, made.id, 1, {"shared": True})
    seen = read_list(session, ben, made.id)
    with pytest.raises(ForbiddenError, match="somebody else's"):
        add_features(session, ben, made.id, [name_of(1)])
    add_features(session, editor, made.id, [name_of(1)])

    assert (seen.mine, seen.owner, seen.search) == (False, "ada", {"q": "river", "layer": [1]})
    assert order(session, ben, made.id) == [1]


def test_a_change_of_what_was_not_read_is_refused_and_nothing_is_lost(
    session: Session, ada: Actor
) -> None:
    made = create_list(session, ada, "first")
    change_list(session, ada, made.id, made.version, {"name": "second"})

    with pytest.raises(ConflictError, match="'second' was changed since you read it"):
        change_list(session, ada, made.id, made.version, {"description": "late"})

    assert read_list(session, ada, made.id).name == "second"


def test_lists_page_and_go(session: Session, ada: Actor) -> None:
    ids = [create_list(session, ada, f"list {i}").id for i in range(5)]
    delete_list(session, ada, ids[2])

    first, cursor = list_lists(session, ada, limit=2)
    second, end = list_lists(session, ada, limit=2, cursor=cursor)

    assert [one.id for one in first + second] == [ids[4], ids[3], ids[1], ids[0]]
    assert end is None


def test_what_a_list_cannot_take_gets_a_sentence(session: Session, ada: Actor) -> None:
    made = create_list(session, ada, "x")

    with pytest.raises(InvalidInputError, match="needs a name"):
        create_list(session, ada, "   ")
    with pytest.raises(NotFoundError, match="There is no feature Tiny-Model"):
        add_features(session, ada, made.id, [name_of(99)])
    with pytest.raises(NotFoundError, match="does not have the feature"):
        remove_feature(session, ada, made.id, name_of(1))
    with pytest.raises(InvalidInputError, match="too many at once"):
        add_features(session, ada, made.id, [name_of(1)] * (MOST_AT_ONCE + 1))
