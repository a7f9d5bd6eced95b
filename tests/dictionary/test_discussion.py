"""The discussion, tags, marked examples, and senses as people part them."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from annotating import hold, in_force, make_actor, make_reviewable, say
from makers import feature_id
from scopebook.annotations import annotation_of
from scopebook.db.review_tables import CommentVersion
from scopebook.db.tables import Context, Run, Sae
from scopebook.discussion import add_comment, comments_for, comments_of, edit_comment
from scopebook.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError
from scopebook.example_marks import mark_example
from scopebook.feature_page import read_feature
from scopebook.groupings import merge_senses, restore_grouping, split_sense
from scopebook.labels import SenseView, senses_of
from scopebook.release_names import parse_feature_id
from scopebook.reviews import propose_label, review_label
from scopebook.tags import list_tags, save_tag, tag_feature, tags_of


def with_senses(session: Session) -> tuple[Sae, Run]:
    sae, run = make_reviewable(session, texts=["abcdef", "ghijkl", "mnopqr"])
    say(session, sae, run, "rivers", senses=[("the Rhine", [0, 1]), ("the Nile", [2])])
    return sae, run


def senses(session: Session, sae: Sae, run: Run) -> list[tuple[list[int], str | None]]:
    def words(sense: SenseView) -> str | None:
        return sense.label.text if sense.label else None

    return [
        (sense.members, words(sense)) for sense in senses_of(session, feature_id(sae, 0), run.id)
    ]


def contexts(session: Session) -> list[int]:
    return list(session.scalars(select(Context.id).order_by(Context.id)))


def test_a_comment_speaks_to_those_it_names(session: Session) -> None:
    sae, _ = make_reviewable(session)
    ada, ben = make_actor(session, "ada"), make_actor(session, "Ben")
    make_actor(session, "eve")

    add_comment(session, hold(session, ada, sae), "What about lakes, @ben? Ask eve@example.org.")

    [comment] = comments_of(session, feature_id(sae, 0))
    assert (comment.author, comment.mentions) == ("ada", ["Ben"])
    found, _ = comments_for(session, ben.account_id, limit=5)
    assert [comment.id for comment in found] == [comment.id]
    assert comments_for(session, ada.account_id, limit=5) == ([], None)


def test_an_edited_comment_shows_its_newest_words_and_keeps_the_others(session: Session) -> None:
    sae, _ = make_reviewable(session)
    ada = make_actor(session, "ada")
    change = add_comment(session, hold(session, ada, sae), "Laks?")

    edit_comment(session, hold(session, ada, sae), int(change.slot.split(":")[1]), "Lakes?")

    [comment] = comments_of(session, feature_id(sae, 0))
    assert (comment.text, comment.version) == ("Lakes?", 2)
    assert comment.edited_at is not None
    said = session.scalars(select(CommentVersion.text).order_by(CommentVersion.number)).all()
    assert said == ["Laks?", "Lakes?"]


def test_others_do_not_change_a_comment_and_editors_take_it_away(session: Session) -> None:
    sae, _ = make_reviewable(session)
    ada, ben = make_actor(session, "ada"), make_actor(session, "ben")
    eve = make_actor(session, "eve", "editor")
    change = add_comment(session, hold(session, ada, sae), "Lakes?")
    comment_id = int(change.slot.split(":")[1])
    for actor, text in ((ben, None), (ben, "mine"), (eve, "mine")):
        with pytest.raises(ForbiddenError, match="another person's"):
            edit_comment(session, hold(session, actor, sae), comment_id, text)

    edit_comment(session, hold(session, eve, sae), comment_id, None)

    assert [comment.text for comment in comments_of(session, feature_id(sae, 0))] == [None]


def test_the_vocabulary_begins_with_four_words_and_editors_add_to_it(session: Session) -> None:
    ada, ben = make_actor(session, "ada"), make_actor(session, "ben", "editor")
    with pytest.raises(ForbiddenError):
        save_tag(session, ada, "law", description=None)

    save_tag(session, ben, " Law ", description="Contracts and courts.")

    names = [tag.name for tag in list_tags(session)]
    assert names == ["code", "language", "law", "safety", "style"]


@pytest.mark.parametrize("name", ["", "a--b", "<b>", "x" * 41])
def test_what_is_no_word_is_no_tag(session: Session, name: str) -> None:
    with pytest.raises(InvalidInputError, match="cannot be a tag"):
        save_tag(session, make_actor(session, "ben", "editor"), name, description=None)


def test_a_feature_has_a_tag_once_and_keeps_one_that_is_retired(session: Session) -> None:
    sae, _ = make_reviewable(session)
    ben = make_actor(session, "ben", "editor")
    tag_feature(session, hold(session, ben, sae), "code", present=True)
    with pytest.raises(ConflictError, match="already"):
        tag_feature(session, hold(session, ben, sae), "Code", present=True)

    save_tag(session, ben, "code", description=None, retired=True)

    assert [(tag.name, tag.author) for tag in tags_of(session, feature_id(sae, 0))] == [
        ("code", "ben")
    ]
    tag_feature(session, hold(session, ben, sae), "code", present=False)
    with pytest.raises(ConflictError, match="not given any more"):
        tag_feature(session, hold(session, ben, sae), "code", present=True)


def test_an_unknown_tag_is_answered_with_those_there_are(session: Session) -> None:
    sae, _ = make_reviewable(session)

    with pytest.raises(NotFoundError, match="code, language, safety, style"):
        tag_feature(session, hold(session, make_actor(session, "ada"), sae), "law", present=True)


def test_examples_are_marked_by_their_context(session: Session) -> None:
    sae, _ = make_reviewable(session)
    ada = make_actor(session, "ada")
    first, second = contexts(session)

    mark_example(session, hold(session, ada, sae), second, off=True)

    marks = annotation_of(session, feature_id(sae, 0)).marks
    assert [(mark.context_id, mark.author) for mark in marks] == [(second, "ada")]
    with pytest.raises(ConflictError, match="not marked"):
        mark_example(session, hold(session, ada, sae), first, off=False)
    with pytest.raises(NotFoundError, match="no example of context 999"):
        mark_example(session, hold(session, ada, sae), 999, off=True)


def test_joined_senses_are_one_with_the_label_of_the_largest(session: Session) -> None:
    sae, run = with_senses(session)
    ada = make_actor(session, "ada")

    merge_senses(session, hold(session, ada, sae), [1, 0], "the same water")

    assert senses(session, sae, run) == [([0, 1, 2], "the Rhine")]
    assert in_force(session, sae) == {"rivers", "the Rhine"}
    assert annotation_of(session, feature_id(sae, 0)).grouped


def test_a_split_sense_gives_its_examples_to_a_new_one_without_words(session: Session) -> None:
    sae, run = with_senses(session)
    _, second, _ = contexts(session)

    split_sense(session, hold(session, make_actor(session, "ada"), sae), 0, [second], None)

    assert sorted(senses(session, sae, run)) == [
        ([0], "the Rhine"),
        ([1], None),
        ([2], "the Nile"),
    ]


def test_a_persons_words_go_with_the_sense_that_they_are_about(session: Session) -> None:
    sae, run = with_senses(session)
    ada, ben = make_actor(session, "ada"), make_actor(session, "ben")
    proposal, _ = propose_label(session, hold(session, ada, sae), "the Danube", sense=0)
    review_label(session, hold(session, ben, sae), proposal.id, "accept", None)

    merge_senses(session, hold(session, ada, sae), [0, 1], None)

    assert senses(session, sae, run) == [([0, 1, 2], "the Danube")]
    assert in_force(session, sae) == {"rivers", "the Danube"}


def test_senses_by_a_person_outlast_newer_labelings_until_they_are_given_up(
    session: Session,
) -> None:
    sae, run = with_senses(session)
    ada = make_actor(session, "ada")
    merge_senses(session, hold(session, ada, sae), [0, 1], None)
    say(session, sae, run, "lakes", senses=[("Erie", [0]), ("Baikal", [1, 2])])
    held = senses(session, sae, run)

    restore_grouping(session, hold(session, ada, sae), run.id, None)

    assert held == [([0, 1, 2], "the Rhine")]
    assert senses(session, sae, run) == [([0], "Erie"), ([1, 2], "Baikal")]
    feature = read_feature(session, parse_feature_id("Tiny-Model/1-res-w1k-l0_8/0"))
    assert [sense.ordinal for sense in feature.senses] == [0, 1]


@pytest.mark.parametrize("ordinals", [[], [0], [0, 0], [0, 7]])
def test_fewer_than_two_senses_are_not_joined(session: Session, ordinals: list[int]) -> None:
    sae, _ = with_senses(session)

    with pytest.raises(InvalidInputError, match="at least two senses"):
        merge_senses(session, hold(session, make_actor(session, "ada"), sae), ordinals, None)


@pytest.mark.parametrize("named", [[0, 1], [2]])
def test_all_or_none_of_a_sense_is_no_split(session: Session, named: list[int]) -> None:
    sae, _ = with_senses(session)
    known = contexts(session)

    with pytest.raises(InvalidInputError, match="some, but not all"):
        split_sense(
            session,
            hold(session, make_actor(session, "ada"), sae),
            0,
            [known[at] for at in named],
            None,
        )
