from sqlalchemy import select
from sqlalchemy.orm import Session
from tests.annotating import hold, make_actor
from tests.makers import (
    feature_id,
    make_corpus,
    make_evidence,
    make_examples,
    make_label,
    make_release,
    make_run,
)

from scopebook.db.label_tables import Label, LabelChoice, LabelOutcome, Sense
from scopebook.db.tables import Run, Sae
from scopebook.labelings import (
    NewSense,
    NewWording,
    begin_labeling,
    find_labeling,
    finish_labeling,
    publish_keywords,
    settle_labels,
    sha256_of,
)
from scopebook.labels import current_labels, labels_of, senses_of
from scopebook.reviews import review_label
from scopebook.run_reports import use_run


def make_sae(session: Session) -> tuple[Sae, Run]:
    [sae] = make_release(session, layers=[1])
    return sae, make_run(session, [sae], make_corpus(session, ["text"]))


def wording(sae: Sae, index: int, text: str, *, senses: int = 0) -> NewWording:
    return NewWording(
        feature_id=feature_id(sae, index),
        example_set="a" * 64,
        text=text,
        kind="context",
        unassigned=0.1,
        held_out=[30, 31],
        senses=[
            NewSense(
                ordinal=i,
                share=0.9 / senses,
                keywords=[f"word{i}", 'with "quotes", {braces} and \\'],
                members=[i, i + senses],
                text=f"{text} {i}" if senses > 1 else None,
                medoid=i,
                representatives=[i],
                held_out=[30 + i],
                silhouette=0.5,
            )
            for i in range(senses)
        ],
    )


def begin(session: Session, sae: Sae, run: Run, *, source: str = "keywords", base: int = 0) -> int:
    return begin_labeling(
        session,
        sae_id=sae.id,
        run_id=run.id,
        source=source,
        method="keywords-1" if source == "keywords" else "a-model",
        parameters={"threshold": 0.8},
        sha256=sha256_of(source, {}),
        base_id=base or None,
    )


def publish(session: Session, sae: Sae, run: Run, *wordings: NewWording) -> int:
    labeling_id = begin(session, sae, run)
    publish_keywords(session, labeling_id, wordings)
    return labeling_id


def say(
    session: Session,
    labeling_id: int,
    sae: Sae,
    text: str,
    *,
    sense: Sense | None = None,
    also: list[int] | None = None,
    status: str = "ok",
) -> None:
    """Let a language model's labeling say something of feature 0."""
    key = (labeling_id, feature_id(sae, 0))
    if session.get(LabelOutcome, key) is None:
        session.add(
            LabelOutcome(
                labeling_id=key[0], feature_id=key[1], status=status, example_set=b"a" * 32
            )
        )
    session.add(
        Label(
            feature_id=key[1],
            sae_id=sae.id,
            labeling_id=labeling_id,
            sense_id=sense.id if sense else None,
            also=also or [],
            text=text,
            source="llm",
            status=status,
            method="a-model",
            provenance={},
            current=False,
        )
    )
    finish_labeling(session, labeling_id)
    settle_labels(session, [sae.id])


def in_force(session: Session, sae: Sae) -> set[str]:
    return {label.text for label in labels_of(session, feature_id(sae, 0)) if label.current}


def test_wordings_become_current_with_their_origin_and_choice(session: Session) -> None:
    sae, run = make_sae(session)

    labeling = publish(
        session, sae, run, wording(sae, 0, "rivers", senses=2), wording(sae, 1, "sea")
    )

    current = current_labels(session, [feature_id(sae, 0), feature_id(sae, 1)])
    assert {label.text for label in current.values()} == {"rivers", "sea"}
    label = current[feature_id(sae, 0)]
    assert (label.source, label.method, label.senses) == ("keywords", "keywords-1", [])
    assert (label.labeling_id, label.n_examples, label.kind) == (labeling, 4, "context")
    assert label.provenance == {"threshold": 0.8}
    assert session.scalars(select(LabelChoice.chosen_by)).all() == ["keywords-1"] * 4
    outcome = session.get_one(LabelOutcome, (labeling, feature_id(sae, 0)))
    assert (outcome.status, outcome.held_out, outcome.example_set.hex()) == (
        "ok",
        [30, 31],
        "a" * 64,
    )


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


def test_a_newer_labeling_is_in_force_and_the_older_ones_labels_and_senses_stay(
    session: Session,
) -> None:
    sae, run = make_sae(session)
    publish(session, sae, run, wording(sae, 0, "rivers", senses=3))

    publish(session, sae, run, wording(sae, 0, "lakes", senses=2))

    history = labels_of(session, feature_id(sae, 0))
    assert len(history) == 7
    assert in_force(session, sae) == {"lakes", "lakes 0", "lakes 1"}
    assert len(senses_of(session, feature_id(sae, 0), run.id)) == 2
    assert len(session.scalars(select(Sense)).all()) == 5
    newest = session.scalars(select(Label).where(Label.text == "lakes")).one()
    oldest = session.scalars(select(Label).where(Label.text == "rivers")).one()
    assert newest.supersedes_id == oldest.id


def test_labels_of_people_and_imports_are_never_displaced(session: Session) -> None:
    sae, run = make_sae(session)
    for index, source in enumerate(("person", "import")):
        make_label(session, sae, index, f"by {source}", source=source)

    publish(session, sae, run, *(wording(sae, index, "by keywords") for index in range(2)))

    ids = [feature_id(sae, index) for index in range(2)]
    current = current_labels(session, ids)
    assert [current[at].text for at in ids] == ["by person", "by import"]
    assert {label.text for label in labels_of(session, feature_id(sae, 0))} == {
        "by person",
        "by keywords",
    }


def test_a_language_models_label_goes_before_keywords_also_before_newer_ones(
    session: Session,
) -> None:
    sae, run = make_sae(session)
    base = publish(session, sae, run, wording(sae, 0, "text with river", senses=1))
    say(session, begin(session, sae, run, source="llm", base=base), sae, "rivers of Europe")

    publish(session, sae, run, wording(sae, 0, "text with lake", senses=1))

    assert in_force(session, sae) == {"rivers of Europe"}
    [sense] = senses_of(session, feature_id(sae, 0), run.id)
    assert sense.label is not None
    assert sense.label.text == "rivers of Europe"


def test_a_suspect_label_is_kept_and_keywords_stay_in_force(session: Session) -> None:
    sae, run = make_sae(session)
    base = publish(session, sae, run, wording(sae, 0, "text with river", senses=1))

    labeling = begin(session, sae, run, source="llm", base=base)
    say(session, labeling, sae, "ignore all", status="suspect")

    assert in_force(session, sae) == {"text with river"}
    assert labels_of(session, feature_id(sae, 0))[0].status == "suspect"


def test_senses_that_a_language_model_has_merged_are_one(session: Session) -> None:
    sae, run = make_sae(session)
    base = publish(session, sae, run, wording(sae, 0, "rivers", senses=3))
    first, second, third = session.scalars(select(Sense).order_by(Sense.ordinal))
    labeling = begin(session, sae, run, source="llm", base=base)
    say(session, labeling, sae, "water / banks")
    say(session, labeling, sae, "water", sense=first, also=[third.ordinal])
    say(session, labeling, sae, "banks", sense=second)

    senses = senses_of(session, feature_id(sae, 0), run.id)

    assert [(sense.ordinal, sense.members) for sense in senses] == [
        (0, [0, 2, 3, 5]),
        (1, [1, 4]),
    ]
    assert [sense.label.text for sense in senses if sense.label] == ["water", "banks"]
    assert in_force(session, sae) == {"water / banks", "water", "banks"}


def test_senses_that_a_language_model_has_worded_as_one_feature_are_one(session: Session) -> None:
    sae, run = make_sae(session)
    base = publish(session, sae, run, wording(sae, 0, "rivers", senses=2))

    say(session, begin(session, sae, run, source="llm", base=base), sae, "water")

    [sense] = senses_of(session, feature_id(sae, 0), run.id)
    assert sense.members == [0, 1, 2, 3]
    assert sense.label is not None
    assert sense.label.text == "water"


def test_a_labeling_whose_sense_a_person_has_worded_stays(session: Session) -> None:
    sae, run = make_sae(session)
    publish(session, sae, run, wording(sae, 0, "rivers", senses=2))
    sense = session.scalars(select(Sense).where(Sense.ordinal == 1)).one()
    session.query(Label).filter_by(sense_id=sense.id).update({"current": False})
    make_label(session, sae, 0, "the Rhine", source="person", sense_id=sense.id)

    publish(session, sae, run, wording(sae, 0, "lakes", senses=3))

    senses = senses_of(session, feature_id(sae, 0), run.id)
    assert [sense.label.text for sense in senses if sense.label] == ["rivers 0", "the Rhine"]
    assert in_force(session, sae) == {"rivers", "rivers 0", "the Rhine"}


def test_a_rejected_wording_of_a_sense_gives_way_to_an_earlier_one_of_the_same_sense(
    session: Session,
) -> None:
    sae, run = make_sae(session)
    base = publish(session, sae, run, wording(sae, 0, "rivers", senses=3))
    first, second, third = session.scalars(select(Sense).order_by(Sense.ordinal))
    labeling = begin(session, sae, run, source="llm", base=base)
    say(session, labeling, sae, "water / banks")
    say(session, labeling, sae, "water", sense=first, also=[third.ordinal])
    say(session, labeling, sae, "banks", sense=second)
    finish_labeling(session, labeling)
    settle_labels(session, [sae.id])
    ada = make_actor(session, "ada")

    for rejected, left in (
        # Two senses that one label has worded are two again: keywords word each.
        ("water", {"rivers 0", "rivers 2", "banks"}),
        ("banks", {"rivers 0", "rivers 2", "rivers 1"}),
        ("rivers 1", {"rivers 0", "rivers 2"}),
    ):
        label = session.scalars(select(Label).where(Label.text == rejected)).one()
        review_label(session, hold(session, ada, sae), label.id, "reject", None)
        assert in_force(session, sae) == {"water / banks"} | left

    senses = senses_of(session, feature_id(sae, 0), run.id)
    assert [sense.label and sense.label.text for sense in senses] == ["rivers 0", None, "rivers 2"]


def test_the_labels_in_force_are_those_of_the_run_that_is_shown(session: Session) -> None:
    sae, run = make_sae(session)
    make_evidence(session, run, sae, 0, examples=make_examples([]))
    publish(session, sae, run, wording(sae, 0, "rivers", senses=2))
    newer = make_run(session, [sae], make_corpus(session, ["other"], name="newer"))
    settle_labels(session, [sae.id])
    before = in_force(session, sae)
    publish(session, sae, newer, wording(sae, 0, "seas", senses=2))
    after = in_force(session, sae)

    use_run(session, run.id)

    # Until something words the new run's examples, the old labels are better than none.
    assert before == {"rivers", "rivers 0", "rivers 1"}
    assert after == {"seas", "seas 0", "seas 1"}
    assert in_force(session, sae) == before
    assert [s.members for s in senses_of(session, feature_id(sae, 0), run.id)] == [[0, 2], [1, 3]]
    assert [choice.label_id for choice in session.scalars(select(LabelChoice))][-3:] == [
        label.id for label in reversed(labels_of(session, feature_id(sae, 0))) if label.current
    ]


def test_settling_some_features_leaves_the_others_alone(session: Session) -> None:
    sae, run = make_sae(session)
    publish(session, sae, run, wording(sae, 0, "rivers"), wording(sae, 1, "seas"))
    session.query(Label).update({"current": False})

    settle_labels(session, [sae.id], [feature_id(sae, 1)])

    current = current_labels(session, [feature_id(sae, 0), feature_id(sae, 1)])
    assert {label.text for label in current.values()} == {"seas"}


def test_a_labeling_is_found_again_once_it_is_finished(session: Session) -> None:
    sae, run = make_sae(session)
    labeling_id = begin(session, sae, run)
    wanted = {"sae_id": sae.id, "run_id": run.id, "sha256": sha256_of("keywords", {})}
    unfinished = find_labeling(session, **wanted)

    finish_labeling(session, labeling_id)

    found = find_labeling(session, **wanted)
    assert unfinished is None
    assert found is not None
    assert found.id == labeling_id


def test_labels_are_listed_newest_first(session: Session) -> None:
    sae, _ = make_sae(session)
    make_label(session, sae, 3, "first", current=False)
    make_label(session, sae, 3, "second")

    texts = [label.text for label in labels_of(session, feature_id(sae, 3))]

    assert texts == ["second", "first"]


def test_a_feature_that_may_not_be_asked_about_has_its_keywords_and_says_why(
    session: Session,
) -> None:
    sae, run = make_sae(session)
    few = NewWording(
        feature_id=feature_id(sae, 0),
        example_set="b" * 64,
        text="text with fjord",
        ineligible="It fires in 4 documents; 30 are needed.",
    )

    labeling = publish(session, sae, run, few)

    outcome = session.get_one(LabelOutcome, (labeling, feature_id(sae, 0)))
    assert (outcome.status, outcome.reason) == (
        "ineligible",
        "It fires in 4 documents; 30 are needed.",
    )
    assert in_force(session, sae) == {"text with fjord"}


def test_nothing_to_publish_is_no_error(session: Session) -> None:
    sae, run = make_sae(session)

    publish(session, sae, run)

    assert session.scalars(select(Label)).all() == []
