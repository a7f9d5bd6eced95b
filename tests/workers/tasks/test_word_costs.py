"""What asking a language model takes is told before, held while asking, and told after."""

from typing import Any

import pytest
from sqlalchemy import func, select
from tests.chat_server import Chats, by_keywords, serve_chats
from tests.workers.tasks.test_word import Dictionary, ask, do_all

from scopebook.commands.labels import ended_lines
from scopebook.db.jobs import Job, Step
from scopebook.db.label_tables import Labeling, LabelOrigin
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.db.tables import Release
from scopebook.jobs import WORD_SAE
from scopebook.llm_labelings import counted_by_guessed


def test_the_cost_is_told_before_the_first_call_and_is_what_is_then_counted(
    worker: Sessions, dictionary: Dictionary
) -> None:
    sae, _ = dictionary
    told = []
    chats = Chats()

    def answer(user: str) -> str:
        with worker() as session:
            titles = session.scalars(select(Step.title).where(Step.kind == WORD_SAE))
            told.append(next(iter(titles)))
        return by_keywords(user)

    chats.answer = answer
    with serve_chats(chats):
        ask(worker, sae, chats, price_in=1.0, price_out=2.0)
        do_all()

    assert "about 5 calls" in told[0]
    assert "$0.0" in told[0]
    with worker() as session:
        cost = session.scalars(select(Labeling.parameters).where(Labeling.source == "llm")).one()[
            "estimate"
        ]
        spent = session.execute(
            select(func.sum(LabelOrigin.tokens_in), func.sum(LabelOrigin.tokens_out))
        ).one()
    assert sum(spent) == chats.tokens
    assert cost["calls"] == 5


def test_what_a_model_has_counted_sets_the_next_estimate_right(
    worker: Sessions, dictionary: Dictionary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scopebook.llm_labelings._ENOUGH", 5)
    sae, _ = dictionary
    with serve_chats() as chats:
        for name in ("first", "second"):
            ask(worker, sae, chats, price_in=1.0, price_out=2.0)
            do_all()
            with unit_of_work(worker) as session:
                session.query(Job).update({"state": "done"})
                if name == "first":
                    # As if it had labelled another SAE: the same is not asked twice.
                    session.query(Labeling).filter_by(source="llm").update({"method": "before"})

    with worker() as session:
        first, second = session.scalars(
            select(Labeling.parameters).where(Labeling.source == "llm").order_by(Labeling.id)
        )
    told, again = first["estimate"], second["estimate"]
    assert told == first["guess"] == second["guess"]
    assert again["tokens_in"] + again["tokens_out"] == pytest.approx(chats.tokens / 2, abs=2)
    assert again["usd"] < told["usd"]


def test_a_server_that_counts_tells_the_cost_before_the_first_call(
    worker: Sessions, dictionary: Dictionary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scopebook.llm_labelings._ENOUGH", 1)
    told: list[dict[str, Any]] = []
    sae, _ = dictionary

    def word(user: str) -> str:
        if not told:  # the first call
            with worker() as session:
                told.append(session.scalars(llm_parameters()).one())
        return by_keywords(user)

    def llm_parameters() -> Any:
        return select(Labeling.parameters).where(Labeling.source == "llm")

    with serve_chats(
        Chats(answer=word, tokenize=lambda request: {"count": len(request["content"]) // 4})
    ) as chats:
        ask(worker, sae, chats)
        do_all()

    estimate = told[0]["estimate"]
    assert told[0]["counted_by"] == "server"
    assert estimate["tokens_in"] + estimate["tokens_out"] == pytest.approx(chats.tokens, rel=0.15)
    with worker() as session:
        [labeling] = session.scalars(select(Labeling).where(Labeling.source == "llm"))
        assert counted_by_guessed(session, labeling.id, counted_by="server") is not None
        # What was counted by a guess corrects guesses alone, and the other way round.
        assert counted_by_guessed(session, labeling.id, counted_by="guess") is None


def test_a_spent_budget_ends_the_job_and_a_larger_one_goes_on(
    worker: Sessions, dictionary: Dictionary
) -> None:
    sae, _ = dictionary
    with serve_chats() as chats:
        first = ask(worker, sae, chats, parallel=1, budget_tokens=6_000)
        do_all()
        before = len(chats.asked)
        second = ask(worker, sae, chats, parallel=1)
        do_all()

    with worker() as session:
        error = session.get_one(Job, first).error or ""
        labelings = session.scalars(select(Labeling).where(Labeling.source == "llm")).all()
    assert "--budget-tokens" in error
    assert 0 < before < 5
    assert len(chats.asked) == 5
    assert [labeling.job_id for labeling in labelings] == [second]


def test_at_the_end_it_is_said_how_it_ended_and_what_it_took(
    worker: Sessions, dictionary: Dictionary
) -> None:
    sae, _ = dictionary
    answers = iter(['{"senses": [], "abstain": true}'])
    with serve_chats(Chats(answer=lambda user: next(answers, None) or by_keywords(user))) as chats:
        job_id = ask(worker, sae, chats)
        do_all()

    with worker() as session:
        release = session.get_one(Release, sae.release_id).name
        by_keyword, by_model, spent = ended_lines(session, release, job_id)
        read = session.scalar(select(func.sum(LabelOrigin.tokens_in)))
    assert by_model == "Layer 1 by stub: 4 labelled, 1 abstained."
    assert by_keyword.startswith("Layer 1 by keywords-2: 5 labelled")
    assert f"{read:,} tokens in (0 of them cached)" in spent
