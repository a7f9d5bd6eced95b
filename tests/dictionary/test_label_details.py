"""What stands behind a feature's labels: scores, and what models were asked."""

from sqlalchemy import select
from sqlalchemy.orm import Session
from tests.makers import (
    feature_id,
    make_corpus,
    make_evidence,
    make_examples,
    make_label,
    make_labeling,
    make_origin,
    make_release,
    make_run,
    make_score,
)

from scopebook.db.tables import Context, Run, Sae
from scopebook.label_details import origins_of, scores_of

TEXTS = ["rivers run down", "kings ride out"]


def make_sae(session: Session) -> tuple[Sae, Run]:
    [sae] = make_release(session, layers=[1])
    run = make_run(session, [sae], make_corpus(session, TEXTS))
    contexts = session.scalars(select(Context.id).order_by(Context.id)).all()
    make_evidence(session, run, sae, 3, examples=make_examples(contexts, end=6))
    return sae, run


def test_scores_are_of_all_labels_of_the_feature_newest_first(session: Session) -> None:
    sae, _ = make_sae(session)
    old, new = (
        make_label(session, sae, 3, "rivers", current=False),
        make_label(session, sae, 3, "streams"),
    )
    other = make_label(session, sae, 4, "kings")
    for label, value in ((old, 0.6), (other, 0.1), (new, 0.9)):
        make_score(session, label, value)

    scores = scores_of(session, feature_id(sae, 3))

    assert [(score.label_id, score.value) for score in scores] == [(new.id, 0.9), (old.id, 0.6)]
    assert (scores[0].scorer, scores[0].judge, scores[0].null_value) == (
        "detection",
        "a-judge",
        0.5,
    )
    assert (scores[0].n_pos, scores[0].n_neg_random, scores[0].n_neg_hard, scores[0].n_failed) == (
        20,
        10,
        10,
        1,
    )


def test_an_origin_says_who_was_asked_and_which_examples_it_read(session: Session) -> None:
    sae, run = make_sae(session)
    labeling = make_labeling(session, sae, run.id, source="llm")
    labeling.parameters = {
        "endpoint": "http://127.0.0.1:1/v1",
        "prompt": "label-1",
        "temperature": 0.0,
        "seed": 0,
    }
    make_origin(session, labeling, 3, shown=[1, 0], raw_response='{"senses": []}')

    [origin], following = origins_of(session, feature_id(sae, 3))

    assert following is None
    assert (origin.endpoint, origin.model_requested, origin.model_reported) == (
        "http://127.0.0.1:1/v1",
        "test-1",
        "stub-1",
    )
    assert (origin.prompt_version, origin.prompt_sha256) == ("label-1", b"p".hex() * 32)
    assert (origin.tokens_in, origin.tokens_cached, origin.tokens_out) == (900, 600, 50)
    assert (origin.status, origin.raw_response) == ("ok", '{"senses": []}')
    texts = ["".join(piece.text for piece in example.tokens) for example in origin.shown]
    assert texts == ["kings ", "rivers"]


def test_origins_page_from_the_newest_back(session: Session) -> None:
    sae, run = make_sae(session)
    labelings = [make_labeling(session, sae, run.id, source="llm") for _ in range(3)]
    for labeling, status in zip(labelings, ("failed", "abstained", "ok"), strict=True):
        make_origin(session, labeling, 3, status=status)

    first, cursor = origins_of(session, feature_id(sae, 3), limit=2)
    second, end = origins_of(session, feature_id(sae, 3), limit=2, cursor=cursor)

    assert [origin.status for origin in [*first, *second]] == ["ok", "abstained", "failed"]
    assert end is None


def test_a_feature_no_model_was_asked_about_has_no_origin(session: Session) -> None:
    sae, _ = make_sae(session)

    assert origins_of(session, feature_id(sae, 4)) == ([], None)
