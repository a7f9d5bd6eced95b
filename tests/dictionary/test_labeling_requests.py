import pytest
from sqlalchemy import select
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
from scopebook.db.label_tables import LabelOutcome, Panel
from scopebook.db.tables import Run, Sae
from scopebook.errors import ConflictError, InvalidInputError, NotFoundError
from scopebook.jobs import (
    CHECK_LABELS,
    COMPUTE_PANEL,
    EMBED_LABELS,
    LABEL_SAE,
    LABEL_SAE_BY_MODEL,
    WORD_SAE,
)
from scopebook.label_reports import label_coverage, outcomes_of
from scopebook.labeling_methods import KEYWORDS, WORDING
from scopebook.labeling_requests import LanguageModel, label_once
from scopebook.labelings import sha256_of
from scopebook.llm_labelings import newest_base
from scopebook.releases import list_releases
from scopebook.window_embedders import AskedEmbedder


def make_collected(session: Session) -> tuple[str, list[Sae], Run]:
    saes = make_release(session, layers=[1, 2])
    run = make_run(session, saes, make_corpus(session, ["text"]))
    for sae in saes:
        make_evidence(session, run, sae, 3, examples=make_examples([1]))
    return list_releases(session)[0].name, saes, run


def make_worded(session: Session, sae: Sae, run: Run) -> None:
    labeling = make_labeling(session, sae, run.id)
    labeling.sha256 = sha256_of(KEYWORDS, {})
    job = Job(kind="test", title="Earlier", parameters={}, state="done")
    session.add(job)
    session.flush()
    labeling.job_id = job.id


def steps(session: Session, job_id: int) -> list[tuple[str, dict[str, object]]]:
    rows = session.query(Step).filter_by(job_id=job_id).order_by(Step.stage, Step.id)
    return [(row.kind, row.parameters) for row in rows]


def test_each_layer_is_worded_from_the_run_that_is_shown_then_embedded(session: Session) -> None:
    release, saes, run = make_collected(session)

    job_id, is_new = label_once(session, release)

    assert is_new
    assert job_id is not None
    assert steps(session, job_id) == [
        *((LABEL_SAE, {"sae_id": sae.id, "run_id": run.id, "anew": False}) for sae in saes),
        (EMBED_LABELS, {"sae_ids": [sae.id for sae in saes]}),
    ]


def test_only_layers_that_were_not_worded_are(session: Session) -> None:
    release, saes, run = make_collected(session)
    make_worded(session, saes[0], run)

    job_id, _ = label_once(session, release)

    assert job_id is not None
    assert session.get_one(Job, job_id).parameters["layers"] == [2]


def test_the_same_is_not_worded_twice_unless_asked_for(session: Session) -> None:
    release, saes, run = make_collected(session)
    for sae in saes:
        make_worded(session, sae, run)

    known, is_new = label_once(session, release)
    again, again_new = label_once(session, release, anew=True)

    assert known is not None
    assert session.get_one(Job, known).title == "Earlier"
    assert (is_new, again_new) == (False, True)
    assert again is not None
    assert steps(session, again)[0][1]["anew"] is True


def test_a_release_is_worded_by_one_job_at_a_time(session: Session) -> None:
    release, _, _ = make_collected(session)
    job_id, _ = label_once(session, release, [1])

    with pytest.raises(ConflictError, match=f"Job {job_id} labels .* at this moment; wait for it"):
        label_once(session, release, [2])


def make_known(session: Session, sae: Sae, run: Run, **statuses: str) -> None:
    """Let the keywords have found the senses of features; `f3="ok"` is feature 3."""
    labeling = make_labeling(session, sae, run.id)
    labeling.sha256 = sha256_of(KEYWORDS, {})
    session.add_all(
        LabelOutcome(
            labeling_id=labeling.id,
            feature_id=feature_id(sae, int(name[1:])),
            status=status,
            reason=None if status == "ok" else "Its examples are of too few documents.",
            example_set=b"",
        )
        for name, status in statuses.items()
    )
    session.flush()


def test_features_that_are_named_are_worded_again_by_a_model_and_no_others(
    session: Session,
) -> None:
    release, saes, run = make_collected(session)
    make_known(session, saes[0], run, f3="ok", f4="ok")
    llm = LanguageModel(endpoint="http://127.0.0.1:1/v1", model="stub")

    job_id, is_new = label_once(session, release, [1], features=[4, 3, 4], llm=llm)

    assert job_id is not None
    assert is_new
    job = session.get_one(Job, job_id)
    assert (job.title, job.parameters["features"]) == (
        f"Label 2 features of layer 1 of {release} by stub",
        [3, 4],
    )
    kinds = [kind for kind, _ in steps(session, job_id)]
    assert kinds == [WORD_SAE, CHECK_LABELS, EMBED_LABELS]
    assert steps(session, job_id)[0][1]["features"] == [3, 4]


def test_a_feature_is_worded_again_by_keywords_alone_though_they_have_worded_it(
    session: Session,
) -> None:
    release, saes, run = make_collected(session)
    make_known(session, saes[0], run, f3="ok")

    job_id, is_new = label_once(session, release, [1], features=[3])

    assert job_id is not None
    assert is_new
    assert steps(session, job_id)[0] == (
        LABEL_SAE,
        {"sae_id": saes[0].id, "run_id": run.id, "anew": True, "features": [3]},
    )


@pytest.mark.parametrize(
    ("layers", "features", "sentence"),
    [
        (None, [3], "Features are named by their numbers in one layer; give that layer"),
        ([1], [], "give that layer and one or more numbers"),
        ([1], [3, 16], "Layer 1 of .* has 16 features, numbered 0 to 15; there is no feature 16"),
        ([1], [5], "Feature 5 of layer 1 cannot be labelled again: It has no examples"),
        ([1], [4], "Feature 4 .* cannot be labelled again: Its examples are of too few documents"),
        ([2], [3], "Layer 2 of .* has no labels yet; label all of it by keywords first"),
    ],
)
def test_features_that_cannot_be_worded_are_refused_by_name(
    session: Session, layers: list[int] | None, features: list[int], sentence: str
) -> None:
    release, saes, run = make_collected(session)
    make_known(session, saes[0], run, f3="ok", f4="ineligible")

    with pytest.raises(InvalidInputError, match=sentence):
        label_once(session, release, layers, features=features)
    assert session.query(Step).count() == 0


def test_a_labeling_of_some_features_does_not_stand_for_one_of_all(session: Session) -> None:
    release, saes, run = make_collected(session)
    llm = LanguageModel(endpoint="http://127.0.0.1:1/v1", model="test-1")
    some = make_labeling(session, saes[0], run.id, source="llm")
    said = {"endpoint": llm.endpoint, "prompt": WORDING}
    some.parameters = said | {"features": [3]}

    _, first_is_new = label_once(session, release, [1], llm=llm)
    session.query(Job).update({"state": "done"})
    some.parameters = said
    _, second_is_new = label_once(session, release, [1], llm=llm)

    assert (first_is_new, second_is_new) == (True, False)


def test_a_model_that_words_a_layer_is_shown_silent_texts_which_are_found_first(
    session: Session,
) -> None:
    release, saes, run = make_collected(session)
    llm = LanguageModel(endpoint="http://127.0.0.1:1/v1", model="test-1")

    first, _ = label_once(session, release, [1], llm=llm)
    session.query(Job).update({"state": "done"})
    session.add(Panel(run_id=run.id, sae_id=saes[0].id, artifact="panel.npz", contexts=1))
    session.flush()
    second, _ = label_once(session, release, [1], anew=True, llm=llm)

    assert first is not None
    assert second is not None
    stages = {step.kind: step.stage for step in session.query(Step).filter_by(job_id=first)}
    assert stages == {
        LABEL_SAE: 0,
        COMPUTE_PANEL: 0,
        WORD_SAE: 1,
        CHECK_LABELS: 2,
        EMBED_LABELS: 3,
    }
    assert COMPUTE_PANEL not in [kind for kind, _ in steps(session, second)]


def test_layers_without_examples_are_named(session: Session) -> None:
    saes = make_release(session, layers=[1, 2])
    make_run(session, saes[:1], make_corpus(session, ["text"]))
    release = list_releases(session)[0].name

    with pytest.raises(InvalidInputError, match=r"Layer 2 of .* has no examples .* collect some"):
        label_once(session, release)
    with pytest.raises(NotFoundError, match="Layer 7 is not registered"):
        label_once(session, release, [7])


def test_the_coverage_counts_by_source_and_outcome(session: Session) -> None:
    release, saes, run = make_collected(session)
    make_label(session, saes[0], 3, "rivers", source="person")
    make_label(session, saes[0], 4, "kings")
    labeling = make_labeling(session, saes[0], run.id, source="llm")
    session.add(
        LabelOutcome(
            labeling_id=labeling.id,
            feature_id=feature_id(saes[0], 3),
            status="abstained",
            reason="Nothing is shared.",
            example_set=b"",
        )
    )
    session.flush()

    first, second = label_coverage(session, release)

    assert (first.layer, first.fired, first.by_source) == (1, 1, {"keywords": 1, "person": 1})
    assert [(one.id, one.outcomes) for one in first.labelings] == [(labeling.id, {"abstained": 1})]
    assert (second.layer, second.by_source, second.labelings) == (2, {}, [])


def test_why_a_model_gave_no_label_is_told_until_a_newer_one_gives_one(session: Session) -> None:
    _, saes, run = make_collected(session)
    wanted = feature_id(saes[0], 3)
    seen = []
    for status in ("refused", "ok"):
        labeling = make_labeling(session, saes[0], run.id, source="llm")
        session.add(
            LabelOutcome(labeling_id=labeling.id, feature_id=wanted, status=status, example_set=b"")
        )
        session.flush()
        seen.append(outcomes_of(session, [wanted]))

    assert seen[0][wanted].status == "refused"
    assert seen[1] == {}


def test_why_a_model_gave_no_label_is_not_told_while_an_earlier_ones_is_in_force(
    session: Session,
) -> None:
    _, saes, run = make_collected(session)
    wanted = feature_id(saes[0], 3)
    make_label(session, saes[0], 3, "rivers", source="llm")
    labeling = make_labeling(session, saes[0], run.id, source="llm")
    session.add(
        LabelOutcome(labeling_id=labeling.id, feature_id=wanted, status="failed", example_set=b"")
    )
    session.flush()

    assert outcomes_of(session, [wanted]) == {}


def test_what_a_model_has_said_is_checked_layer_by_layer_side_by_side(session: Session) -> None:
    release, saes, _ = make_collected(session)
    llm = LanguageModel(endpoint="http://127.0.0.1:1/v1", model="stub")

    job_id, _ = label_once(session, release, None, llm=llm)

    checks = session.scalars(
        select(Step).where(Step.job_id == job_id, Step.kind == CHECK_LABELS).order_by(Step.id)
    ).all()
    assert [step.parameters["sae_ids"] for step in checks] == [[sae.id] for sae in saes]
    assert len({step.stage for step in checks}) == 1
    assert "layer 1" in checks[0].title


MINILM = AskedEmbedder(name="all-MiniLM-L6-v2")
SERVER = AskedEmbedder(name="http://localhost:8080/v1", model="m")


def make_found(session: Session, sae: Sae, run: Run, embedder: AskedEmbedder) -> None:
    """Add a labeling by keywords whose senses this embedder has found."""
    labeling = make_labeling(session, sae, run.id)
    labeling.method = KEYWORDS
    labeling.parameters = embedder.parameters()
    labeling.sha256 = sha256_of(KEYWORDS, {"embedder": "with its weights"})


def end_jobs(session: Session) -> None:
    for job in session.query(Job):
        job.state = "done"
    session.flush()


def test_another_embedder_labels_anew_and_the_same_one_does_nothing(session: Session) -> None:
    release, saes, run = make_collected(session)
    for sae in saes:
        make_worded(session, sae, run)

    _, terms_are_new = label_once(session, release, embedder=AskedEmbedder())
    job_id, is_new = label_once(session, release, embedder=MINILM)
    end_jobs(session)
    for sae in saes:
        make_found(session, sae, run, MINILM)
    _, again = label_once(session, release, embedder=MINILM)
    _, by_server = label_once(session, release, embedder=SERVER)

    assert (terms_are_new, is_new, again, by_server) == (False, True, False, True)
    assert job_id is not None
    embedder = {"name": "all-MiniLM-L6-v2", "model": None}
    assert steps(session, job_id)[0] == (
        LABEL_SAE_BY_MODEL,
        {"sae_id": saes[0].id, "run_id": run.id, "anew": False, "embedder": embedder},
    )


def test_another_model_of_a_server_is_another_embedder(session: Session) -> None:
    release, saes, run = make_collected(session)
    for sae in saes:
        make_found(session, sae, run, SERVER)

    _, same = label_once(session, release, embedder=SERVER)
    job_id, other = label_once(
        session, release, embedder=AskedEmbedder(name=SERVER.name, model="n")
    )

    assert (same, other) == (False, True)
    assert job_id is not None
    assert steps(session, job_id)[0][0] == LABEL_SAE


def test_whether_a_folders_weights_are_the_same_is_for_the_worker_to_see(session: Session) -> None:
    release, saes, run = make_collected(session)
    folder = AskedEmbedder(name="/models/encoder")
    for sae in saes:
        make_found(session, sae, run, folder)

    _, is_new = label_once(session, release, embedder=folder)

    assert is_new


def test_a_model_words_the_senses_of_the_embedder_that_is_asked_for(session: Session) -> None:
    release, [sae, _], run = make_collected(session)
    llm = LanguageModel(endpoint="http://localhost:1/v1", model="m")
    make_found(session, sae, run, MINILM)
    worded = make_labeling(session, sae, run.id, source="llm")
    worded.method = "m"
    worded.parameters = {"endpoint": llm.endpoint, "prompt": WORDING}
    worded.base_id = newest_base(session, sae.id, run.id)
    session.flush()

    _, any_senses = label_once(session, release, [1], llm=llm)
    _, same_senses = label_once(session, release, [1], llm=llm, embedder=MINILM)
    job_id, other_senses = label_once(session, release, [1], llm=llm, embedder=SERVER)

    assert (any_senses, same_senses, other_senses) == (False, False, True)
    assert job_id is not None
    assert [
        parameters["embedder"] for kind, parameters in steps(session, job_id) if kind == WORD_SAE
    ] == [{"name": SERVER.name, "model": "m"}]


def test_a_model_cannot_word_features_whose_senses_an_embedder_has_not_found(
    session: Session,
) -> None:
    release, [sae, _], run = make_collected(session)
    make_worded(session, sae, run)
    llm = LanguageModel(endpoint="http://localhost:1/v1", model="m")

    with pytest.raises(InvalidInputError, match="no labels by the embedder all-MiniLM-L6-v2 yet"):
        label_once(session, release, [1], features=[3], llm=llm, embedder=MINILM)
