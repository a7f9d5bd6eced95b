"""Labels by a language model, end to end: a real server, real rows."""

import json
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select
from tests.chat_server import MODEL, Chats, by_keywords, serve_chats
from tests.embeddings_server import Embeddings, serve_embeddings
from tests.makers import feature_id

from scopebook.db.jobs import Job
from scopebook.db.label_tables import (
    Label,
    Labeling,
    LabelOrigin,
    LabelScore,
    Sense,
)
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.db.tables import Release, Run, Sae
from scopebook.errors import InvalidInputError
from scopebook.jobs import CHECK_LABELS, LABEL_SAE, WORD_SAE
from scopebook.label_details import origins_of
from scopebook.label_reports import label_coverage, outcomes_of
from scopebook.labeling_requests import LanguageModel, label_once
from scopebook.labels import current_labels, senses_of
from scopebook.settings import settings, use_settings
from scopebook.steps import retry_job
from scopebook_workers.claims import work_off
from scopebook_workers.tasks import embed as embed_task

Dictionary = tuple[Sae, Run]


def ask(sessions: Sessions, sae: Sae, chats: Chats, **wanted: Any) -> int:
    """Ask for labels by the server's model; return the job's id."""
    features = wanted.pop("features", None)
    with unit_of_work(sessions) as session:
        release = session.get_one(Release, sae.release_id).name
        llm = LanguageModel(endpoint=chats.url, model="stub", **wanted)
        job_id, is_new = label_once(session, release, [sae.layer], features=features, llm=llm)
        assert is_new
        assert job_id is not None
        return job_id


class Scripts(Embeddings):
    """Puts a text beside those of its script; a label beside those of its keyword's."""

    def vector(self, text: str) -> list[float]:
        letters = text.removeprefix("Texts with ")
        cyrillic = sum("\u0400" <= char < "\u0500" for char in letters)
        chinese = sum(char >= "\u3000" for char in letters)
        latin = sum(char.isascii() and char.isalpha() for char in letters)
        return [float(cyrillic), float(chinese), float(latin), 0.1]


def do_all(embeddings: Embeddings | None = None) -> None:
    """Do the job's steps; labels are checked with vectors of a local server."""
    work_off(LABEL_SAE)
    work_off(WORD_SAE)
    check_labels(embeddings)


def check_labels(embeddings: Embeddings | None = None) -> None:
    """Do the step that checks labels, with vectors of a local server."""
    embed_task._server.cache_clear()  # the one before is gone
    with serve_embeddings(embeddings or Scripts()) as server:
        before = settings()
        use_settings(before.model_copy(update={"embeddings_url": server.url}))
        try:
            work_off(CHECK_LABELS)
        finally:
            use_settings(before)


def test_a_models_labels_come_into_force_with_all_that_they_rest_on(
    worker: Sessions, dictionary: Dictionary
) -> None:
    sae, run = dictionary
    with serve_chats() as chats:
        job_id = ask(worker, sae, chats)
        do_all()

    wanted = [feature_id(sae, index) for index in range(5)]
    with worker() as session:
        labels = current_labels(session, wanted)
        labeling = session.scalars(select(Labeling).where(Labeling.source == "llm")).one()
        origins = {row.feature_id: row for row in session.scalars(select(LabelOrigin))}
        senses = senses_of(session, feature_id(sae, 4), run.id)
    assert set(labels) == set(wanted) == set(origins)
    assert {label.source for label in labels.values()} == {"llm"}
    assert labels[wanted[0]].text.startswith("Texts with ")
    assert labels[wanted[4]].text.count("Texts with ") == 2
    assert [sense.label.senses for sense in senses if sense.label] == [[0], [1]]
    origin = origins[wanted[0]]
    assert (origin.model_reported, origin.finish_reason, origin.error_class) == (
        MODEL,
        "stop",
        None,
    )
    assert len(origin.shown) == 8
    with worker() as session:
        [view], _ = origins_of(session, wanted[0])
        [layer] = label_coverage(session)
    asked = [request["messages"][-1]["content"] for request in chats.asked]
    read_back = ["".join(token.text for token in one.tokens) for one in view.contrasts]
    assert len(read_back) == len(origin.contrasts) == 3
    assert any(all(text[:30].strip() in user for text in read_back) for user in asked)
    assert all(token.activation == 0 for one in view.contrasts for token in one.tokens)
    assert view.rules == chats.asked[0]["messages"][0]["content"]
    assert "rules" not in layer.labelings[0].parameters
    assert (labeling.job_id, labeling.method) == (job_id, "stub")
    assert labeling.finished_at is not None
    assert {"endpoint", "prompt", "temperature", "estimate"} <= set(labeling.parameters)


def test_what_a_model_does_not_say_is_shown_as_that_with_keywords_beside_it(
    worker: Sessions, dictionary: Dictionary
) -> None:
    sae, _ = dictionary
    answers = iter(
        [
            json.dumps({"senses": [], "abstain": True}),
            "I'm sorry, but I cannot help with that.",
            "no JSON",
            "still no JSON",
        ]
    )
    with serve_chats(Chats(answer=lambda user: next(answers))) as chats:
        ask(worker, sae, chats, limit=3, parallel=1)
        do_all()

    wanted = [feature_id(sae, index) for index in range(3)]
    with worker() as session:
        outcomes = outcomes_of(session, wanted)
        labels = current_labels(session, wanted)
    assert [outcomes[key].status for key in wanted] == ["abstained", "refused", "failed"]
    assert outcomes[wanted[2]].reason == "The answer holds no JSON object."
    assert {label.source for label in labels.values()} == {"keywords"}
    assert len(labels) == 3


def end_embedding(sessions: Sessions) -> None:
    """Let no job stand in the way of the next one."""
    with unit_of_work(sessions) as session:
        session.query(Job).update({"state": "done"})


def test_features_that_are_named_are_asked_about_again_and_no_other_label_changes(
    worker: Sessions, dictionary: Dictionary
) -> None:
    sae, _ = dictionary
    wanted = [feature_id(sae, index) for index in range(5)]
    answers = iter(["no JSON", "still none"])
    with serve_chats(Chats(answer=lambda user: next(answers, by_keywords(user)))) as chats:
        ask(worker, sae, chats, parallel=1)
        do_all()
        end_embedding(worker)
        with worker() as session:
            before, failed = current_labels(session, wanted), outcomes_of(session, wanted)
        asked_before = len(chats.asked)
        chats.answer = lambda user: by_keywords(user).replace("0.7", "0.875")
        ask(worker, sae, chats, features=[0, 2])
        do_all()

    assert {key: one.status for key, one in failed.items()} == {wanted[0]: "failed"}
    assert len(chats.asked) - asked_before == 2
    with worker() as session:
        after = current_labels(session, wanted)
        labelings = session.scalars(
            select(Labeling).where(Labeling.source == "llm").order_by(Labeling.id)
        ).all()
        assert outcomes_of(session, wanted) == {}
    assert {key for key in wanted if after[key] != before[key]} == {wanted[0], wanted[2]}
    assert [after[wanted[place]].confidence for place in (0, 2)] == [0.875, 0.875]
    assert [labeling.parameters.get("features") for labeling in labelings] == [None, [0, 2]]
    assert labelings[0].base_id == labelings[1].base_id


def test_a_feature_that_fails_again_keeps_the_label_it_had(
    worker: Sessions, dictionary: Dictionary
) -> None:
    sae, run = dictionary
    wanted = [feature_id(sae, 4)]
    with serve_chats() as chats:
        ask(worker, sae, chats)
        do_all()
        end_embedding(worker)
        with worker() as session:
            before = current_labels(session, wanted), senses_of(session, wanted[0], run.id)
        chats.answer = lambda user: "no JSON"
        ask(worker, sae, chats, features=[4])
        do_all()

    with worker() as session:
        after = current_labels(session, wanted), senses_of(session, wanted[0], run.id)
        [newest, _], _ = origins_of(session, wanted[0])
    assert after == before
    assert (newest.status, len(newest.shown) > 0) == ("failed", True)


def test_a_label_that_fits_its_unseen_examples_no_better_is_suspect_and_not_in_force(
    worker: Sessions, dictionary: Dictionary
) -> None:
    sae, _ = dictionary

    class Contrary(Embeddings):
        """Puts the label beside the windows of all features but the first's."""

        def vector(self, text: str) -> list[float]:
            return [0.0, 1.0] if "汉" in text or "中" in text else [1.0, 0.0]

    with serve_chats(Chats(answer=lambda user: SOMETHING)) as chats:
        ask(worker, sae, chats, limit=1)
        do_all(Contrary())

    key = feature_id(sae, 0)
    with worker() as session:
        score = session.scalars(select(LabelScore)).one()
        label = session.scalars(select(Label).where(Label.source == "llm")).one()
        outcome = outcomes_of(session, [key])[key]
        current = current_labels(session, [key])[key]
    assert (score.scorer, score.n_pos, score.null_value) == ("support", 10, 0.5)
    assert score.value < 0.6
    assert score.ci_low is not None
    assert (label.status, label.current, outcome.status) == ("suspect", False, "suspect")
    assert current.source == "keywords"


SOMETHING = json.dumps(
    {
        "senses": [
            {
                "clusters": [0],
                "evidence": "",
                "label": "Deliberate nonsense",
                "description": "",
                "kind": "topic",
                "confidence": 1.0,
            }
        ],
        "abstain": False,
    }
)


def test_a_wrong_key_stops_everything_names_the_server_and_not_the_key(
    worker: Sessions, dictionary: Dictionary
) -> None:
    sae, _ = dictionary
    with serve_chats(Chats(status_of=lambda number: 401)) as chats:
        use_settings(
            settings().model_copy(
                update={"llm_endpoint": chats.url, "llm_api_key": SecretStr("sk-geheim-1234")}
            )
        )
        job_id = ask(worker, sae, chats, parallel=1)
        do_all()

    with worker() as session:
        error = session.get_one(Job, job_id).error or ""
    # One more may be under way when the first answer comes.
    assert len(chats.asked) <= 2
    assert set(chats.keys) == {"Bearer sk-geheim-1234"}
    assert chats.url in error
    assert "401" in error
    assert "geheim" not in error


def test_the_key_goes_to_no_other_server(worker: Sessions, dictionary: Dictionary) -> None:
    sae, _ = dictionary
    use_settings(
        settings().model_copy(
            update={"llm_endpoint": "http://ours/v1", "llm_api_key": SecretStr("sk-geheim-1234")}
        )
    )
    with serve_chats() as chats:
        ask(worker, sae, chats)
        do_all()

    assert set(chats.keys) == {None}


def test_a_stopped_job_keeps_what_was_answered_and_a_retry_asks_for_the_rest(
    worker: Sessions, dictionary: Dictionary
) -> None:
    sae, _ = dictionary
    chats = Chats(status_of=lambda number: 403 if number == 3 else 200)
    with serve_chats(chats):
        job_id = ask(worker, sae, chats, parallel=1)
        work_off(LABEL_SAE)
        work_off(WORD_SAE)
        with worker() as session:
            state = session.get_one(Job, job_id).state
            kept = session.scalar(select(func.count()).select_from(LabelOrigin))
        with unit_of_work(worker) as session:
            retry_job(session, job_id)
        do_all()

    with worker() as session:
        labels = current_labels(session, [feature_id(sae, index) for index in range(5)])
        asked = session.scalar(select(func.count()).select_from(LabelOrigin))
    assert (state, kept) == ("failed", 2)
    assert asked == 5
    # The refused one, one more that may have been under way, and five with an answer.
    assert 6 <= len(chats.asked) <= 7
    assert {label.source for label in labels.values()} == {"llm"}


def test_merged_groups_are_one_label_over_several_senses(
    worker: Sessions, dictionary: Dictionary
) -> None:
    sae, run = dictionary

    def merged(user: str) -> str:
        answer = json.loads(by_keywords(user))
        first, *others = answer["senses"]
        first["clusters"] += [number for other in others for number in other["clusters"]]
        return json.dumps({"senses": [first], "abstain": False})

    with serve_chats(Chats(answer=merged)) as chats:
        ask(worker, sae, chats)
        do_all()

    with worker() as session:
        [sense] = senses_of(session, feature_id(sae, 4), run.id)
        found = session.scalar(select(func.count()).where(Sense.feature_id == feature_id(sae, 4)))
    assert found == 2
    assert sense.label is not None
    assert sense.label.source == "llm"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"endpoint": "http://me:secret@host/v1"}, "no password"),
        ({"endpoint": "http://host/v1?key=secret"}, "no password"),
        ({"endpoint": ""}, "give --endpoint"),
        ({"model": " "}, "give --endpoint"),
        ({"budget_usd": 3.0}, "--price-in"),
    ],
)
def test_what_cannot_be_asked_is_refused_without_repeating_a_secret(
    changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidInputError, match=said) as refusal:
        LanguageModel(**({"endpoint": "http://host/v1", "model": "m"} | changes))

    assert "secret" not in str(refusal.value)
