"""Scores of labels, end to end: a real server that judges, real rows."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session
from tests.chat_server import MODEL, Chats, serve_chats
from tests.embeddings_server import Embeddings, serve_embeddings
from tests.makers import feature_id
from tests.workers.labeling.planted import GERMAN
from tests.workers.tasks.panels import make_panel
from tests.workers.tasks.test_label import TEXTS, make_dictionary

from scopebook.db.jobs import Job, Step
from scopebook.db.label_tables import Label, LabelOrigin, LabelScore
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.db.tables import Release, Run, Sae
from scopebook.jobs import CHECK_LABELS, COMPARE_SAE, LABEL_SAE, SCORE_SAE, WORD_SAE
from scopebook.label_scores import labels_to_score, publish_scores
from scopebook.labeling_requests import LanguageModel, label_once
from scopebook.scoring_requests import Wanted, score_once
from scopebook.settings import settings, use_settings
from scopebook.steps import retry_job
from scopebook_workers.claims import work_off
from scopebook_workers.labeling.sampling import may_contrast
from scopebook_workers.tasks import embed as embed_task
from scopebook_workers.tasks import score as score_task
from scopebook_workers.tasks.score_cases import CaseReader

LANGUAGES = [language for _, _, language in TEXTS]
JUDGE = "judge-2026-11"
BLOCK = re.compile(r"^<(\w{12}) ([a-z]+)(?: \d+)?>\n(.*?)\n</\1 \2[^>]*>$", re.S | re.M)


def language_of(text: str) -> str:
    """Tell the language of a text by its letters, and German by its words."""
    if re.search(r"[一-鿿]", text):
        return "Chinese"
    if re.search(r"[а-яё]", text):
        return "Russian"
    return "German" if set(re.findall(r"\w+", text)) & set(GERMAN) - {"in", "is"} else "English"


def worder(user: str) -> str:
    """Word each group by the language of its examples."""
    groups = re.findall(r"^<\w+ group (\d+)>$\n(.*?)^</", user, re.M | re.S)
    senses = [
        {
            "clusters": [int(number)],
            "evidence": "",
            "label": f"{language_of(text)} prose",
            "description": "",
            "kind": "topic",
            "confidence": 0.9,
        }
        for number, text in groups
    ]
    return json.dumps({"senses": senses, "abstain": False})


def judge(user: str) -> str:
    """Answer by the languages that a description names."""
    blocks = [(kind, text) for _, kind, text in BLOCK.findall(user)]
    passages = [text for kind, text in blocks if kind == "passage"]
    wordings = [text for kind, text in blocks if kind == "description"]
    languages = [language_of(text) for text in passages]
    if not wordings:
        rare = min(languages, key=Counter(languages).__getitem__)
        return json.dumps({"stranger": languages.index(rare) + 1})
    fits = [language in wordings[0] for language in languages]
    return json.dumps({"right" if "⟦" in user else "fires": fits})


def judging(**more: Any) -> Chats:
    """Return a server that judges, and reports another name than the one that words."""
    return Chats(**({"answer": judge, "model": JUDGE} | more))


class ByLanguage(Embeddings):
    """Puts texts and labels of one language in one direction."""

    def vector(self, text: str) -> list[float]:
        named = [language for language in LANGUAGES if f"{language} " in text]
        return [
            1.0 if language in (named or [language_of(text)]) else 0.1 for language in LANGUAGES
        ]


@pytest.fixture
def vectors() -> Iterator[Embeddings]:
    """Serve the vectors by which labels are compared, at one address for the whole test."""
    embed_task._server.cache_clear()  # the one before is gone
    with serve_embeddings(ByLanguage()) as server:
        yield server


@pytest.fixture
def dictionary(worker: Sessions, vectors: Embeddings) -> tuple[Sae, Run]:
    """Make features that fire in a language each, worded by a model, and a panel."""
    served = {"embeddings_url": vectors.url, "embeddings_model": "languages"}
    use_settings(settings().model_copy(update=served))
    with unit_of_work(worker) as session:
        sae, run = make_dictionary(session)
    make_panel(worker, sae, run)
    with serve_chats(Chats(answer=worder)) as chats:
        with unit_of_work(worker) as session:
            release = session.get_one(Release, sae.release_id).name
            label_once(session, release, llm=LanguageModel(endpoint=chats.url, model="worder"))
        work_off(LABEL_SAE)
        work_off(WORD_SAE)
        work_off(CHECK_LABELS)
    with unit_of_work(worker) as session:
        session.query(Job).update({"state": "done"})
    return sae, run


def ask(
    sessions: Sessions,
    sae: Sae,
    chats: Chats | None = None,
    *,
    wanted: Wanted | None = None,
    **model: Any,
) -> int:
    """Ask for scores by the server's model; return the job's id."""
    llm = LanguageModel(endpoint=chats.url, **({"model": "judge"} | model)) if chats else None
    with unit_of_work(sessions) as session:
        release = session.get_one(Release, sae.release_id).name
        return score_once(session, release, judge=llm, wanted=wanted)


def scores_of(sessions: Sessions, **equal: Any) -> list[LabelScore]:
    with sessions() as session:
        rows = select(LabelScore).where(LabelScore.scorer != "support").filter_by(**equal)
        return list(session.scalars(rows.order_by(LabelScore.id)))


def label_of(sessions: Sessions, sae: Sae, index: int) -> Label:
    with sessions() as session:
        return session.scalars(
            select(Label).where(
                Label.feature_id == feature_id(sae, index),
                Label.current,
                Label.sense_id.is_(None),
            )
        ).one()


def test_labels_that_say_where_a_feature_fires_score_high_beside_a_null_of_others_labels(
    worker: Sessions, dictionary: tuple[Sae, Run]
) -> None:
    sae, run = dictionary
    with serve_chats(judging()) as chats:
        job_id = ask(worker, sae, chats)
        work_off(SCORE_SAE)

    with worker() as session:
        job = session.get_one(Job, job_id)
        senses = session.scalar(
            select(func.count()).where(Label.current, Label.sense_id.is_not(None))
        )
    assert (job.error, job.state) == (None, "done")
    assert senses == 2
    by_scorer = Counter(score.scorer for score in scores_of(worker))
    assert by_scorer == {"embedding": 7, "detection": 7, "fuzzing": 7, "union": 1, "intruder": 6}
    [german] = scores_of(worker, scorer="detection", label_id=label_of(worker, sae, 1).id)
    assert (german.value, german.f1, german.n_failed) == (1.0, 1.0, 0)
    assert (german.judge, german.details["asked"], german.job_id) == (JUDGE, "judge", job_id)
    assert german.n_pos >= 5
    assert (german.n_neg_random, german.n_neg_hard) == (10, 10)
    assert german.null_value is not None
    assert german.null_value < 0.6
    assert german.details["run"] == run.id
    assert {score.null_value for score in scores_of(worker, scorer="detection")} == {
        german.null_value
    }
    assert german.details["null_labels"] == 5


def test_no_label_is_tried_on_a_text_that_its_model_may_have_seen_as_a_contrast(
    worker: Sessions, dictionary: tuple[Sae, Run]
) -> None:
    sae, run = dictionary
    with worker() as session:
        labels = labels_to_score(session, sae, run.id, None)
        shown = session.scalars(select(LabelOrigin.contrasts)).all()

    reader = CaseReader(
        sae_id=sae.id, run_id=run.id, labels=labels, embed=lambda texts: [[1.0, 0.0]] * len(texts)
    )

    cases = [case for one in reader.prepare(labels) for case in one.cases]
    seen = {context for pairs in shown for context, _ in pairs}
    assert len(seen) > 5
    assert not seen & {case.passage.id for case in cases}
    assert not [c for c in cases if not c.fires and may_contrast(c.passage.document_hash)]


def test_the_tokens_of_all_scores_and_nulls_are_what_the_server_counted(
    worker: Sessions, dictionary: tuple[Sae, Run]
) -> None:
    sae, _ = dictionary
    told: list[str] = []
    chats = judging()

    def answer(user: str) -> str:
        if not told:
            with worker() as session:
                told.extend(session.scalars(select(Step.title).where(Step.kind == SCORE_SAE)))
        return judge(user)

    chats.answer = answer
    with serve_chats(chats):
        ask(worker, sae, chats, price_in=1.0, price_out=2.0)
        work_off(SCORE_SAE)

    with worker() as session:
        step = session.scalars(select(Step).where(Step.kind == SCORE_SAE)).one()
    calls = int(re.findall(r"about (\d+) calls", told[0])[0])
    assert "$" in told[0]
    assert 0.8 * len(chats.asked) < calls < 1.2 * len(chats.asked)
    spent = step.parameters["spent"]
    assert spent["tokens_in"] + spent["tokens_out"] == chats.tokens
    assert step.title.startswith("Score layer 1 by judge: 28 new scores, 7 labels tried")


def test_without_a_judge_the_vectors_are_compared_and_nobody_is_asked(
    worker: Sessions, dictionary: tuple[Sae, Run]
) -> None:
    sae, _ = dictionary

    ask(worker, sae)
    work_off(COMPARE_SAE)

    found = scores_of(worker)
    assert {score.scorer for score in found} == {"embedding"}
    assert len(found) == 7
    [german] = scores_of(worker, label_id=label_of(worker, sae, 1).id)
    assert german.value == 1.0
    assert german.judge.startswith("languages at 127.0.0.1")
    assert german.null_value == pytest.approx(
        german.n_pos / (german.n_pos + german.n_neg_random + german.n_neg_hard)
    )


def test_what_is_stored_is_not_asked_for_again(
    worker: Sessions, dictionary: tuple[Sae, Run]
) -> None:
    sae, _ = dictionary
    with serve_chats(judging()) as chats:
        ask(worker, sae, chats)
        work_off(SCORE_SAE)
        before, asked = scores_of(worker), len(chats.asked)
        second = ask(worker, sae, chats)
        work_off(SCORE_SAE)

    with worker() as session:
        job = session.get_one(Job, second)
        title = session.scalars(select(Step.title).where(Step.job_id == second)).one()
    assert job.state == "done"
    assert title.endswith(": 0 new scores, 0 labels tried")
    assert len(chats.asked) == asked
    assert len(scores_of(worker)) == len(before)


def test_a_step_that_is_cut_off_goes_on_and_asks_nobody_twice_for_what_is_stored(
    worker: Sessions, dictionary: tuple[Sae, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    sae, _ = dictionary
    monkeypatch.setattr(score_task, "BATCH", 2)
    with serve_chats(judging()) as chats:
        undisturbed = ask(worker, sae, chats, wanted=Wanted(scorers=["detection"]))
        work_off(SCORE_SAE)
        once = sorted(json.dumps(asked, sort_keys=True) for asked in chats.asked)
    with unit_of_work(worker) as session:
        session.query(LabelScore).delete()

    # Refused in the null, then among the scores.
    stops = {20: 403, len(once) - 20: 403}
    chats = judging(status_of=lambda number: stops.get(number, 200))
    with serve_chats(chats):
        job_id = ask(worker, sae, chats, wanted=Wanted(scorers=["detection"]), parallel=1)
        states = []
        kept = []
        for _ in range(3):
            work_off(SCORE_SAE)
            with unit_of_work(worker) as session:
                states.append(session.get_one(Job, job_id).state)
                kept.append(len(scores_of(worker)))
                if states[-1] == "failed":
                    retry_job(session, job_id)

    assert undisturbed != job_id
    assert states == ["failed", "failed", "done"]
    assert 0 == kept[0] < kept[1] < kept[2] == 7
    again = Counter(json.dumps(asked, sort_keys=True) for asked in chats.asked)
    # Of a label that was cut off, its eight requests at most are sent anew, and those of one more
    # that may have been under way.
    assert set(again) == set(once)
    assert sum(again.values()) - len(once) <= 2 * 2 * 8


def test_a_killed_worker_loses_one_batch_and_its_successor_asks_for_nothing_that_is_stored(
    worker: Sessions, dictionary: tuple[Sae, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    sae, _ = dictionary
    monkeypatch.setattr(score_task, "BATCH", 2)
    writes = Counter[str]()

    def die_at_fifth(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
        writes["all"] += 1
        if writes["all"] == 5:
            raise SystemExit("killed")
        publish_scores(session, rows)

    # Three writes of the null, one of scores; the second of scores never comes.
    monkeypatch.setattr(score_task, "publish_scores", die_at_fifth)
    with serve_chats(judging()) as chats:
        job_id = ask(worker, sae, chats, wanted=Wanted(scorers=["detection"]))
        with pytest.raises(SystemExit, match="killed"):
            work_off(SCORE_SAE)
        kept, before = scores_of(worker), len(chats.asked)
        with unit_of_work(worker) as session:
            session.query(Step).filter_by(job_id=job_id).update(
                {"lease_until": func.now() - text("interval '1 second'")}
            )
        work_off(SCORE_SAE)

    again = Counter(json.dumps(asked, sort_keys=True) for asked in chats.asked)
    with worker() as session:
        assert session.get_one(Job, job_id).state == "done"
    assert (len(kept), len(scores_of(worker))) == (2, 7)
    # Two labels of the lost batch, and what is left; nulls are asked about once.
    assert sum(again.values()) - len(again) <= 2 * 8
    assert len(chats.asked) > before


def test_answers_that_cannot_be_read_are_counted_and_are_wrong(
    worker: Sessions, dictionary: tuple[Sae, Run]
) -> None:
    sae, _ = dictionary
    with serve_chats(judging(answer=lambda user: "I cannot say.")) as chats:
        ask(worker, sae, chats, wanted=Wanted(scorers=["detection"]))
        work_off(SCORE_SAE)

    for score in scores_of(worker):
        cases = score.n_pos + score.n_neg_random + score.n_neg_hard
        assert (score.n_failed, score.value, score.tp, score.tn) == (cases, 0.0, 0, 0)


def test_a_null_that_is_far_off_is_said_in_the_steps_title(
    worker: Sessions, dictionary: tuple[Sae, Run]
) -> None:
    sae, _ = dictionary
    with serve_chats(judging(answer=lambda user: "I cannot say.")) as chats:
        job_id = ask(worker, sae, chats, wanted=Wanted(scorers=["detection"]))
        work_off(SCORE_SAE)

    with worker() as session:
        title = session.scalars(
            select(Step.title).where(Step.job_id == job_id, Step.kind == SCORE_SAE)
        ).one()
    assert "detection: Labels of other features score 0.00 where 0.50" in title


def test_a_spent_budget_ends_the_job_and_holds_over_retries(
    worker: Sessions, dictionary: tuple[Sae, Run]
) -> None:
    sae, _ = dictionary
    with serve_chats(judging()) as chats:
        job_id = ask(worker, sae, chats, parallel=1, budget_tokens=40_000)
        work_off(SCORE_SAE)
        first = len(chats.asked)
        with unit_of_work(worker) as session:
            retry_job(session, job_id)
        work_off(SCORE_SAE)

    with worker() as session:
        error = session.get_one(Job, job_id).error or ""
    assert "--budget-tokens" in error
    assert 0 < first == len(chats.asked)
    assert chats.tokens <= 40_000


def test_a_server_that_answers_by_the_labelers_name_is_refused_unless_allowed(
    worker: Sessions, dictionary: tuple[Sae, Run]
) -> None:
    sae, _ = dictionary
    with serve_chats(Chats(answer=judge)) as chats:  # the worder's server reported this name, too
        refused = ask(worker, sae, chats, wanted=Wanted(scorers=["detection"]))
        work_off(SCORE_SAE)
        stored = len(scores_of(worker))
        ask(worker, sae, chats, wanted=Wanted(scorers=["detection"], allow_same_judge=True))
        work_off(SCORE_SAE)

    with worker() as session:
        error = session.get_one(Job, refused).error or ""
    assert f"The judge {MODEL} also worded labels that it would score" in error
    assert (stored, len(scores_of(worker))) == (0, 7)


def test_the_judges_key_goes_to_the_judge_and_to_no_other_server(
    worker: Sessions, dictionary: tuple[Sae, Run]
) -> None:
    sae, _ = dictionary
    with serve_chats(judging()) as ours, serve_chats(judging()) as other:
        use_settings(
            settings().model_copy(
                update={
                    "judge_endpoint": ours.url,
                    "judge_api_key": SecretStr("sk-geheim-1234"),
                    "llm_endpoint": "http://words/v1",
                    "llm_api_key": SecretStr("sk-worte-1234"),
                }
            )
        )
        for chats, scorer in ((ours, "detection"), (other, "fuzzing")):
            ask(worker, sae, chats, wanted=Wanted(scorers=[scorer]))
            work_off(SCORE_SAE)

    assert set(ours.keys) == {"Bearer sk-geheim-1234"}
    assert set(other.keys) == {None}


def test_keywords_are_judged_when_they_are_asked_for(
    worker: Sessions, dictionary: tuple[Sae, Run]
) -> None:
    sae, _ = dictionary
    with serve_chats(judging()) as chats:
        wanted = Wanted(scorers=["detection"], source="keywords", sample=2)
        ask(worker, sae, chats, wanted=wanted)
        work_off(SCORE_SAE)

    found = scores_of(worker)
    with worker() as session:
        labels = session.scalars(
            select(Label).where(Label.id.in_([score.label_id for score in found]))
        ).all()
    assert {label.source for label in labels} == {"keywords"}
    assert len({label.feature_id for label in labels}) == 2
