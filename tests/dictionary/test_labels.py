from sqlalchemy import select
from sqlalchemy.orm import Session
from tests.makers import feature_id, make_corpus, make_label, make_release, make_run

from scopebook.db.tables import Label, LabelChoice, Run, Sae, Sense
from scopebook.labels import (
    NewSense,
    NewWording,
    current_labels,
    labels_of,
    publish_labels,
    senses_of,
)


def make_sae(session: Session) -> tuple[Sae, Run]:
    [sae] = make_release(session, layers=[1])
    return sae, make_run(session, [sae], make_corpus(session, ["text"]))


def wording(sae: Sae, index: int, text: str, *, senses: int = 0, examples: str = "a") -> NewWording:
    return NewWording(
        feature_id=feature_id(sae, index),
        example_set=examples * 64,
        text=text,
        senses=[
            NewSense(
                ordinal=i,
                share=1 / senses,
                keywords=[f"word{i}", 'with "quotes", {braces} and \\'],
                members=[i, i + senses],
                text=f"{text} {i}" if senses > 1 else None,
            )
            for i in range(senses)
        ],
    )


def publish(session: Session, sae: Sae, run: Run, *wordings: NewWording) -> int:
    return publish_labels(
        session,
        wordings,
        sae_id=sae.id,
        run_id=run.id,
        method="keywords-1",
        provenance={"threshold": 0.8},
    )


def test_wordings_become_current_with_their_origin_and_choice(session: Session) -> None:
    sae, run = make_sae(session)

    added = publish(session, sae, run, wording(sae, 0, "rivers", senses=2), wording(sae, 1, "sea"))

    assert added == 4
    current = current_labels(session, [feature_id(sae, 0), feature_id(sae, 1)])
    assert {label.text for label in current.values()} == {"rivers", "sea"}
    label = current[feature_id(sae, 0)]
    assert (label.source, label.method, label.sense) == ("keywords", "keywords-1", None)
    assert label.provenance == {
        "threshold": 0.8,
        "run": run.id,
        "example_set": "a" * 64,
        "sense": None,
    }
    chosen = session.scalars(select(LabelChoice.chosen_by)).all()
    assert chosen == ["keywords-1"] * 4


def test_senses_are_read_largest_first_with_their_labels(session: Session) -> None:
    sae, run = make_sae(session)
    publish(session, sae, run, wording(sae, 0, "rivers", senses=2))

    senses = senses_of(session, feature_id(sae, 0), run.id)

    assert [sense.ordinal for sense in senses] == [0, 1]
    assert [sense.label.text for sense in senses if sense.label] == ["rivers 0", "rivers 1"]
    assert senses[1].members == [1, 3]
    assert senses[1].keywords == ["word1", 'with "quotes", {braces} and \\']


def test_an_only_sense_has_the_label_of_the_feature(session: Session) -> None:
    sae, run = make_sae(session)
    publish(session, sae, run, wording(sae, 0, "rivers", senses=1))

    [sense] = senses_of(session, feature_id(sae, 0), run.id)

    assert sense.label is not None
    assert sense.label.text == "rivers"


def test_publishing_twice_leaves_one_set(session: Session) -> None:
    sae, run = make_sae(session)
    publish(session, sae, run, wording(sae, 0, "rivers", senses=2))

    again = publish(session, sae, run, wording(sae, 0, "rivers", senses=2))

    assert again == 0
    assert len(labels_of(session, feature_id(sae, 0))) == 3
    assert len(session.scalars(select(Sense)).all()) == 2
    assert len(session.scalars(select(LabelChoice)).all()) == 3


def test_other_examples_bring_a_new_current_label_and_keep_the_old_one(session: Session) -> None:
    sae, run = make_sae(session)
    publish(session, sae, run, wording(sae, 0, "rivers", senses=3))

    publish(session, sae, run, wording(sae, 0, "lakes", senses=2, examples="b"))

    history = labels_of(session, feature_id(sae, 0))
    in_force = {label.text for label in history if label.current}
    assert len(history) == 7
    assert in_force == {"lakes", "lakes 0", "lakes 1"}
    assert len(senses_of(session, feature_id(sae, 0), run.id)) == 2


def test_labels_of_people_models_and_imports_are_never_displaced(session: Session) -> None:
    sae, run = make_sae(session)
    for index, source in enumerate(("person", "llm", "import")):
        make_label(session, sae, index, f"by {source}", source=source)

    publish(session, sae, run, *(wording(sae, index, "by keywords") for index in range(3)))

    current = current_labels(session, [feature_id(sae, index) for index in range(3)])
    assert [label.text for label in current.values()] == ["by person", "by llm", "by import"]
    assert {label.text for label in labels_of(session, feature_id(sae, 0))} == {
        "by person",
        "by keywords",
    }


def test_senses_that_a_person_has_worded_stay(session: Session) -> None:
    sae, run = make_sae(session)
    publish(session, sae, run, wording(sae, 0, "rivers", senses=2))
    sense = session.scalars(select(Sense).where(Sense.ordinal == 1)).one()
    session.query(Label).filter_by(sense_id=sense.id).update({"current": False})
    make_label(session, sae, 0, "the Rhine", source="person", sense_id=sense.id)

    publish(session, sae, run, wording(sae, 0, "lakes", senses=3, examples="b"))

    senses = senses_of(session, feature_id(sae, 0), run.id)
    assert [sense.label.text for sense in senses if sense.label] == ["rivers 0", "the Rhine"]
    assert current_labels(session, [feature_id(sae, 0)])[feature_id(sae, 0)].text == "lakes"


def test_labels_of_an_older_runs_senses_are_no_longer_in_force(session: Session) -> None:
    sae, run = make_sae(session)
    newer = make_run(session, [sae], make_corpus(session, ["other"], name="newer"))
    publish(session, sae, run, wording(sae, 0, "rivers", senses=2))

    publish(session, sae, newer, wording(sae, 0, "seas", senses=2, examples="b"))

    in_force = {label.text for label in labels_of(session, feature_id(sae, 0)) if label.current}
    assert in_force == {"seas", "seas 0", "seas 1"}
    assert len(senses_of(session, feature_id(sae, 0), run.id)) == 2


def test_labels_are_listed_newest_first(session: Session) -> None:
    sae, _ = make_sae(session)
    make_label(session, sae, 3, "first", current=False)
    make_label(session, sae, 3, "second")

    texts = [label.text for label in labels_of(session, feature_id(sae, 3))]

    assert texts == ["second", "first"]


def test_nothing_to_publish_is_no_error(session: Session) -> None:
    sae, run = make_sae(session)

    added = publish(session, sae, run)

    assert added == 0
