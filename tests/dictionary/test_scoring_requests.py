"""Asking for scores: which steps, which labels, which judge."""

from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy.orm import Session
from tests.makers import (
    feature_id,
    make_corpus,
    make_evidence,
    make_examples,
    make_label,
    make_labeling,
    make_release,
    make_run,
)

from scopebook.db.jobs import Job, Step
from scopebook.db.label_tables import (
    Label,
    Labeling,
    LabelOrigin,
    LabelOutcome,
    LabelScore,
    Panel,
    Sense,
)
from scopebook.db.tables import Run, Sae
from scopebook.errors import ConflictError, InvalidInputError
from scopebook.jobs import COMPARE_SAE, COMPUTE_PANEL, SCORE_SAE
from scopebook.label_scores import (
    Asked,
    known_null,
    labels_to_score,
    publish_scores,
    stored_scores,
)
from scopebook.labeling_requests import LanguageModel
from scopebook.releases import list_releases
from scopebook.scoring_requests import Wanted, score_once

JUDGE = LanguageModel(endpoint="http://host/v1", model="judge-1")
HELD_OUT = [30, 31, 32, 33, 34, 35]


def outcome(session: Session, labeling: Labeling, index: int, sae: Sae) -> None:
    session.add(
        LabelOutcome(
            labeling_id=labeling.id,
            feature_id=feature_id(sae, index),
            status="ok",
            example_set=b"",
            held_out=HELD_OUT,
        )
    )


def make_worded(session: Session) -> tuple[str, list[Sae], Run]:
    """Make two layers with one feature each, worded by keywords."""
    saes = make_release(session, layers=[1, 2])
    run = make_run(session, saes, make_corpus(session, ["text"]))
    for sae in saes:
        make_evidence(session, run, sae, 3, examples=make_examples([1]))
        labeling = make_labeling(session, sae, run.id)
        outcome(session, labeling, 3, sae)
        make_label(session, sae, 3, "rivers, lakes").labeling_id = labeling.id
    session.flush()
    return list_releases(session)[0].name, saes, run


def word_by_model(session: Session, sae: Sae, run: Run, *, reported: str = "snapshot") -> Label:
    """Put a model's label of the feature in force, which words two senses of the keywords'."""
    base = session.query(Labeling).filter_by(sae_id=sae.id, source="keywords").one()
    for ordinal in (0, 1):
        session.add(
            Sense(
                feature_id=feature_id(sae, 3),
                labeling_id=base.id,
                ordinal=ordinal,
                share=0.5,
                keywords=[],
                members=[ordinal, 2 + ordinal],
                held_out=HELD_OUT[ordinal::2],
            )
        )
    labeling = make_labeling(session, sae, run.id, source="llm")
    labeling.method, labeling.base_id = "worder-1", base.id
    outcome(session, labeling, 3, sae)
    session.query(Label).filter_by(sae_id=sae.id).update({"current": False})
    session.add(
        LabelOrigin(
            labeling_id=labeling.id,
            feature_id=feature_id(sae, 3),
            shown=[],
            prompt_sha256=b"",
            model_reported=reported,
            attempts=1,
            latency_ms=1,
            tokens_in=1,
            tokens_cached=0,
            tokens_out=1,
            raw_response="",
        )
    )
    session.flush()
    senses = session.query(Sense).filter_by(labeling_id=base.id).order_by(Sense.ordinal).all()
    labels = [
        make_label(session, sae, 3, f"water {n}", source="llm", sense_id=sense_id)
        for n, sense_id in enumerate([None, *(sense.id for sense in senses)])
    ]
    for label in labels:
        label.labeling_id = labeling.id
    session.flush()
    return labels[0]


def steps(session: Session, job_id: int) -> list[Step]:
    return session.query(Step).filter_by(job_id=job_id).order_by(Step.stage, Step.id).all()


def test_without_a_judge_vectors_are_compared_after_a_panel_was_drawn(session: Session) -> None:
    release, saes, run = make_worded(session)

    job_id = score_once(session, release)

    found = steps(session, job_id)
    assert [step.kind for step in found] == [COMPUTE_PANEL, COMPARE_SAE, COMPARE_SAE]
    assert found[0].parameters == {"run_id": run.id}
    assert [step.parameters["sae_id"] for step in found[1:]] == [sae.id for sae in saes]
    assert {step.stage for step in found[1:]} == {1}
    assert found[1].parameters["scorers"] == ["embedding"]


def test_a_panel_that_is_there_is_not_drawn_again_and_a_judge_takes_one_layer_at_a_time(
    session: Session,
) -> None:
    release, saes, run = make_worded(session)
    for sae in saes:
        word_by_model(session, sae, run)
        session.add(Panel(run_id=run.id, sae_id=sae.id, artifact="panels/x", contexts=9))
    session.flush()

    found = steps(session, score_once(session, release, judge=JUDGE))

    assert [(step.kind, step.stage) for step in found] == [(SCORE_SAE, 1), (SCORE_SAE, 2)]
    assert found[0].parameters["scorers"] == [
        *("embedding", "detection", "fuzzing", "union", "intruder")
    ]
    assert found[0].parameters["judge"]["model"] == "judge-1"


def test_a_release_is_scored_by_one_job_at_a_time(session: Session) -> None:
    release, _, _ = make_worded(session)
    job_id = score_once(session, release, [1])

    with pytest.raises(ConflictError, match=f"Job {job_id} scores labels .* wait for it"):
        score_once(session, release, [2])


@pytest.mark.parametrize("same", ["worder-1", "maker/Worder-1", "snapshot"])
def test_a_judge_that_worded_the_labels_is_refused_unless_allowed(
    session: Session, same: str
) -> None:
    release, saes, run = make_worded(session)
    word_by_model(session, saes[0], run)
    judge = LanguageModel(endpoint="http://host/v1", model=same)

    with pytest.raises(InvalidInputError, match="also worded labels that it would score"):
        score_once(session, release, [1], judge=judge)
    job_id = score_once(session, release, [1], judge=judge, wanted=Wanted(allow_same_judge=True))

    assert session.get_one(Job, job_id).title.endswith(", which also worded labels")


def test_a_judge_of_keywords_may_have_worded_the_labels_in_force(session: Session) -> None:
    release, saes, run = make_worded(session)
    word_by_model(session, saes[0], run)
    judge = LanguageModel(endpoint="http://host/v1", model="worder-1")

    job_id = score_once(session, release, [1], judge=judge, wanted=Wanted(source="keywords"))

    assert session.get_one(Job, job_id).parameters["source"] == "keywords"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scorers": ["detektion"]}, "'detektion' is no scorer; name one or more of embedding"),
        ({"scorers": []}, "is no scorer"),
        ({"source": "person"}, "'person' is no source .* expected is keywords or llm"),
        ({"sample": 0}, "A sample of 0 features is none"),
    ],
)
def test_what_cannot_be_scored_so_is_one_sentence(changes: Mapping[str, Any], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        Wanted(**changes)


def test_scorers_that_ask_need_a_judge(session: Session) -> None:
    release, _, _ = make_worded(session)

    with pytest.raises(InvalidInputError, match="Scores by detection, fuzzing need a model"):
        score_once(session, release, wanted=Wanted(scorers=["detection", "fuzzing"]))


def test_keywords_are_not_judged_unless_asked_for(session: Session) -> None:
    release, _, _ = make_worded(session)

    with pytest.raises(InvalidInputError, match=r"All labels in force .* --source keywords"):
        score_once(session, release, judge=JUDGE)
    assert score_once(session, release, judge=JUDGE, wanted=Wanted(source="keywords"))


def test_layers_without_labels_of_what_is_shown_are_named(session: Session) -> None:
    release, saes, _ = make_worded(session)
    session.query(Label).filter_by(sae_id=saes[1].id).delete()

    with pytest.raises(InvalidInputError, match=r"Layer 2 of .* has no labels .*scopebook label"):
        score_once(session, release)
    with pytest.raises(InvalidInputError, match=r"Layer 1, 2 of .* has no labels by llm"):
        score_once(session, release, wanted=Wanted(source="llm"))


def test_a_label_is_tried_on_what_its_own_senses_have_held_out(session: Session) -> None:
    _, saes, run = make_worded(session)
    word_by_model(session, saes[0], run)

    whole, first, second = labels_to_score(session, saes[0], run.id, None)

    assert (whole.senses, whole.held_out) == ([], HELD_OUT)
    assert sorted(whole.members) == [0, 1, 2, 3]
    assert (first.senses, first.held_out, first.members) == ([0], [30, 32, 34], [0, 2])
    assert (second.senses, second.held_out, second.members) == ([1], [31, 33, 35], [1, 3])
    assert {label.source for label in (whole, first, second)} == {"llm"}
    assert second.feature_held_out == HELD_OUT


def test_labels_of_a_named_source_need_not_be_in_force(session: Session) -> None:
    _, saes, run = make_worded(session)
    word_by_model(session, saes[0], run)

    [label] = labels_to_score(session, saes[0], run.id, "keywords")

    assert (label.text, label.held_out) == ("rivers, lakes", HELD_OUT)


def test_a_persons_label_is_tried_on_what_the_newest_keywords_held_out(session: Session) -> None:
    _, saes, run = make_worded(session)
    session.query(Label).filter_by(sae_id=saes[0].id).update({"current": False})
    make_label(session, saes[0], 3, "bodies of water", source="person")

    [label] = labels_to_score(session, saes[0], run.id, None)

    assert (label.source, label.held_out) == ("person", HELD_OUT)


def test_labels_of_another_runs_examples_are_left_out(session: Session) -> None:
    _, saes, run = make_worded(session)
    other = make_run(session, saes, make_corpus(session, ["other"], name="other"))

    assert labels_to_score(session, saes[0], other.id, None) == []
    assert len(labels_to_score(session, saes[0], run.id, None)) == 1


def score(label: Label, **changes: Any) -> dict[str, Any]:
    return {
        "label_id": label.id,
        "scorer": "detection",
        "scorer_version": "detection-1",
        "judge": "judge-1-2026",
        "n_pos": 20,
        "n_neg_random": 10,
        "n_neg_hard": 10,
        "n_failed": 0,
        "value": 0.9,
        "null_value": 0.5,
        "held_out_sha256": b"x",
        "details": {"asked": "judge-1", "run": 1, "null_labels": 12},
    } | changes


ASKED = Asked(scorer="detection", version="detection-1", name="judge-1")


def test_a_score_is_stored_once_and_known_by_the_name_that_was_asked_for(session: Session) -> None:
    _, saes, run = make_worded(session)
    label = word_by_model(session, saes[0], run)

    publish_scores(session, [score(label)])
    publish_scores(session, [score(label, value=0.1), score(label, judge="judge-1-2027")])

    assert [row.value for row in session.query(LabelScore).order_by(LabelScore.id)] == [0.9, 0.9]
    assert stored_scores(session, saes[0].id, [ASKED]) == {(label.id, "detection")}
    assert stored_scores(session, saes[1].id, [ASKED]) == set()
    other = Asked(scorer="detection", version="detection-2", name="judge-1")
    assert stored_scores(session, saes[0].id, [other]) == set()


def test_a_null_of_enough_labels_of_the_run_is_known(session: Session) -> None:
    _, saes, run = make_worded(session)
    label = word_by_model(session, saes[0], run)
    publish_scores(session, [score(label)])

    assert known_null(session, saes[0].id, 1, ASKED, least=12) == (0.5, 12)
    assert known_null(session, saes[0].id, 1, ASKED, least=13) is None
    assert known_null(session, saes[0].id, 2, ASKED, least=1) is None
