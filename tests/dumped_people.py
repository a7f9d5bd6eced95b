"""People who do to features everything that a dump can hold of them."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from annotating import machine_label, make_actor
from makers import feature_id, make_evidence, make_examples, make_labeling
from scopebook.accounts import Actor
from scopebook.bulk_reviews import apply_bulk, preview_bulk
from scopebook.db.label_tables import Label, LabelOutcome, Sense
from scopebook.db.review_tables import Change, Comment
from scopebook.db.tables import Run, Sae
from scopebook.discussion import add_comment, edit_comment
from scopebook.example_marks import mark_example
from scopebook.feature_writes import FeatureWrite, open_write
from scopebook.groupings import merge_senses, split_sense
from scopebook.histories import undo_change
from scopebook.labelings import settle_labels
from scopebook.lists import add_features, create_list
from scopebook.reviews import ask_second_opinion, pin_label, propose_label, review_label
from scopebook.tags import save_tag, tag_feature

#: The features of the first layer that people speak of: one with senses, and one without.
PARTED, DISCUSSED = 4, 5


def let_people_speak(
    session: Session, saes: list[Sae], run: Run, context_ids: Sequence[int]
) -> None:
    """Let three people review, discuss, tag, part and undo, on two features of the first layer."""
    ada, ben = make_actor(session, "ada", "editor"), make_actor(session, "ben")
    cy = make_actor(session, "cy")
    first, second = (feature_id(saes[0], index) for index in (PARTED, DISCUSSED))
    _let_a_machine_speak(session, saes[0], run, context_ids)
    save_tag(session, ada, "animals", description="What lives and moves.")
    save_tag(session, ada, "plants", description=None, retired=True)
    _review(session, second, ada, ben, cy)
    _discuss(session, second, ada, ben)
    _part(session, first, context_ids, ada, ben)
    _tag_many(session, ben, [first, second])
    _list(session, saes, ada, ben)


def _let_a_machine_speak(session: Session, sae: Sae, run: Run, context_ids: Sequence[int]) -> None:
    """Add what the run found of both features, and what a labeling says of them."""
    labeling = make_labeling(session, sae, run.id)
    for index, text in ((PARTED, "pets"), (DISCUSSED, "loud animals")):
        make_evidence(session, run, sae, index, examples=make_examples(context_ids))
        label = machine_label(labeling, feature_id(sae, index), text)
        outcome = LabelOutcome(
            labeling_id=labeling.id,
            feature_id=label.feature_id,
            status="ok",
            kind="context",
            example_set=b"a" * 32,
        )
        session.add_all([label, outcome])
    for ordinal, (word, members) in enumerate((("cats", [0, 1]), ("dogs", [2, 3]))):
        key = feature_id(sae, PARTED)
        sense = Sense(
            feature_id=key,
            labeling_id=labeling.id,
            ordinal=ordinal,
            share=0.5,
            keywords=[word],
            members=members,
        )
        session.add(sense)
        session.flush()
        session.add(machine_label(labeling, key, word, sense))
    settle_labels(session, [sae.id], [feature_id(sae, index) for index in (PARTED, DISCUSSED)])


def hold(session: Session, actor: Actor, feature: int) -> FeatureWrite:
    """Return a feature that is held for a write."""
    return open_write(session, actor, feature, None)


def _review(session: Session, feature: int, ada: Actor, ben: Actor, cy: Actor) -> None:
    said = session.scalars(select(Label).where(Label.text == "loud animals")).one()
    review_label(session, hold(session, ben, feature), said.id, "reject", "Too wide.")
    ask_second_opinion(session, hold(session, ben, feature), "Am I right?")
    review_label(session, hold(session, cy, feature), said.id, "reject", None)
    label, _ = propose_label(
        session, hold(session, ben, feature), "loud dogs", supersedes_id=said.id, reason="Nearer."
    )
    change = review_label(session, hold(session, ada, feature), label.id, "accept", "Yes.")
    undo = undo_change(session, hold(session, ada, feature), change.id, "Too soon.")
    undo_change(session, hold(session, ada, feature), undo.id)
    pin_label(session, hold(session, ada, feature), label.id, reason="Settled.")
    ask_second_opinion(session, hold(session, cy, feature), None)


def _discuss(session: Session, feature: int, ada: Actor, ben: Actor) -> None:
    add_comment(session, hold(session, ada, feature), "Why not @ben, or 狗?")
    add_comment(session, hold(session, ben, feature), "@ada it says so")
    [_, mine] = session.scalars(select(Comment.id).order_by(Comment.id))
    edit_comment(session, hold(session, ben, feature), mine, None)


def _part(session: Session, feature: int, contexts: Sequence[int], ada: Actor, ben: Actor) -> None:
    merge_senses(session, hold(session, ada, feature), [0, 1], "One thing.")
    split_sense(session, hold(session, ben, feature), 0, contexts[:1], None)
    mark_example(session, hold(session, ben, feature), contexts[3], off=True)
    mark_example(session, hold(session, ada, feature), contexts[2], off=True)
    last = session.scalars(select(Change.id).order_by(Change.id.desc()).limit(1)).one()
    undo_change(session, hold(session, ada, feature), last)


def _tag_many(session: Session, ben: Actor, features: list[int]) -> None:
    action = {"kind": "tag", "tag": "animals"}
    apply_bulk(session, ben, preview_bulk(session, ben, features, action).token)
    tag_feature(session, hold(session, ben, features[0]), "animals", present=False)
    tag_feature(session, hold(session, ben, features[0]), "code", present=True)


def _list(session: Session, saes: list[Sae], ada: Actor, ben: Actor) -> None:
    names = [f"Tiny-Model/{sae.layer}-res-w1k-l0_8/1" for sae in saes]
    shared = create_list(session, ada, "dogs", shared=True, features=names)
    add_features(session, ada, shared.id, [names[0].replace("/1-", "/2-")], note="again")
    create_list(session, ben, "mine", description="To be read.", search={"q": "cats"})
