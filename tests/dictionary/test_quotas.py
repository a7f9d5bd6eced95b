"""Who has taken as much as one may is refused in one sentence, also of two who ask at once."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from apps import app_over
from makers import make_corpus, make_release, make_run
from people import client_of, cookie_of, make_account
from scopebook import cli
from scopebook.accounts import LOCAL
from scopebook.corpora import add_corpus
from scopebook.db.account_tables import Account
from scopebook.db.inference_tables import Inference
from scopebook.db.jobs import Job
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.db.tables import Document, Release
from scopebook.errors import InvalidInputError, QuotaError
from scopebook.inferences import ask
from scopebook.labeling_requests import LanguageModel
from scopebook.quotas import ask_as, within_budget
from scopebook.scan_datasets import add_records
from scopebook.settings import Settings, settings, use_settings
from scopebook.steps import NewStep, cancel_job, create_job, retry_job

STEP = NewStep(kind="corpus.tokenise", stage=0, title="Tokenise")


@pytest.fixture
def limit() -> Iterator[Callable[..., None]]:
    """Return a function that sets limits for one test."""
    before = settings()

    def setting(**chosen: object) -> None:
        use_settings(Settings(**{**before.model_dump(), **chosen}))  # type: ignore[arg-type]

    yield setting
    use_settings(before)


def two_at_once(factory: Sessions, act: Callable[[Session], object]) -> list[QuotaError]:
    """Act twice over two connections: the second begins before the first has committed."""
    refusals: list[QuotaError] = []
    begun = threading.Event()

    def second() -> None:
        try:
            with unit_of_work(factory) as session:
                session.execute(select(1))
                begun.set()
                act(session)
        except QuotaError as refusal:
            refusals.append(refusal)

    thread = threading.Thread(target=second)
    with unit_of_work(factory) as session:
        act(session)
        thread.start()
        begun.wait()
        thread.join(timeout=0.3)
        assert thread.is_alive(), "the second waits until it is known what the first has taken"
    thread.join()
    return refusals


def test_of_two_jobs_at_once_one_is_refused_and_the_limit_named(
    sessions: Sessions, limit: Callable[..., None]
) -> None:
    limit(quota_jobs=1)

    refused = two_at_once(sessions, lambda session: create_job(session, "collect", "C", [STEP]))

    assert [str(one) for one in refused] == [
        "One account may have 1 job under way here (SCOPEBOOK_QUOTA_JOBS), and yours has 1; wait "
        "for one of them, or cancel one: `scopebook jobs cancel 1`."
    ]
    with sessions() as session:
        [job] = session.scalars(select(Job)).all()
        assert session.get_one(Account, job.account_id).name == LOCAL


def test_each_account_has_jobs_of_its_own_and_none_comes_back_beyond_the_limit(
    sessions: Sessions, limit: Callable[..., None]
) -> None:
    limit(quota_jobs=1)
    with unit_of_work(sessions) as session:
        ask_as(session, make_account(session, "eve", "editor").id)
        first = create_job(session, "collect", "C", [STEP]).id
        cancel_job(session, first)
        create_job(session, "collect", "C", [STEP])
        with pytest.raises(QuotaError):
            retry_job(session, first)
        # Who is at the limit can still make room.
        create_job(session, "delete", "D", [STEP])
    with unit_of_work(sessions) as session:
        create_job(session, "collect", "C", [STEP])


def test_without_a_limit_nothing_is_counted(sessions: Sessions) -> None:
    with unit_of_work(sessions) as session:
        for _ in range(3):
            create_job(session, "collect", "C", [STEP])

        assert session.scalar(select(func.count()).select_from(Job)) == 3


def test_of_two_live_requests_at_once_one_is_refused(
    sessions: Sessions, limit: Callable[..., None]
) -> None:
    limit(inference_waiting=1)
    with unit_of_work(sessions) as session:
        make_release(session)
        release_id, account_id = (
            session.scalars(select(Release.id)).one(),
            session.scalars(select(Account.id)).one(),
        )

    def act(session: Session) -> None:
        ask(
            session,
            account_id=account_id,
            release_id=release_id,
            kind="inspect",
            parameters={},
            deadline_s=9,
        )

    [refusal] = two_at_once(sessions, act)

    assert "You have 1 request waiting" in str(refusal)
    assert "SCOPEBOOK_INFERENCE_WAITING" in str(refusal)
    with sessions() as session:
        assert session.scalar(select(func.count()).select_from(Inference)) == 1


def test_of_two_corpora_at_once_one_is_refused_where_both_are_too_much(
    sessions: Sessions, limit: Callable[..., None], tmp_path: Path
) -> None:
    limit(quota_corpora_mb=1)
    names = iter("ab")
    for name in "ab":
        # Hexadecimal numbers, which a database cannot pack into a third.
        words = " ".join(f"{number * 2654435761 % 2**64:x}" for number in range(60_000))
        (tmp_path / f"{name}.txt").write_text(name + words)

    def act(session: Session) -> None:
        name = next(names)
        add_corpus(session, name, tmp_path / f"{name}.txt")

    [refusal] = two_at_once(sessions, act)

    assert "may take 1 MB here (SCOPEBOOK_QUOTA_CORPORA_MB), and with these they take 1." in str(
        refusal
    )
    assert "scopebook corpus remove" in str(refusal)
    with unit_of_work(sessions) as session:
        assert session.scalar(select(func.count()).select_from(Document)) == 1
        # What was there before is no reason to refuse a little more, and is once it is too much.
        add_records(session, "r", [{"text": "a few words"}])


def test_a_job_spends_what_is_set_at_most(limit: Callable[..., None]) -> None:
    model = LanguageModel(endpoint="https://x.example/v1", model="m", price_in=1, price_out=2)
    limit(quota_llm_usd=5)

    assert within_budget(model).budget_usd == 5
    asked = LanguageModel(**{**model.__dict__, "budget_usd": 2.0})
    assert within_budget(asked).budget_usd == 2
    with pytest.raises(QuotaError, match=r"may spend 5 US dollars .* and 6 were asked for"):
        within_budget(LanguageModel(**{**model.__dict__, "budget_usd": 6.0}))
    with pytest.raises(InvalidInputError, match="needs what tokens cost"):
        within_budget(LanguageModel(endpoint="https://x.example/v1", model="m"))
    local = LanguageModel(endpoint="/models/m", model="m")
    assert within_budget(local) == local


def test_the_api_answers_429_and_a_command_ends_with_2(
    sessions: Sessions,
    limit: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    limit(quota_jobs=1)
    with unit_of_work(sessions) as session:
        [sae] = make_release(session, layers=[1])
        make_run(session, [sae], make_corpus(session, ["text"]))
        make_account(session, "eve", "editor")
        headers = cookie_of(session, "eve")
        make_account(session, "ed", "editor")
        others = cookie_of(session, "ed")
    wanted = {"release": "SAE-Res-Tiny-Model-W1K-L0_8", "corpus": "tiny", "anew": True}
    app = app_over(sessions)

    def collect(who: dict[str, str]) -> httpx2.Response:
        with client_of(sessions, app=app, headers=who) as client:
            return client.post("/api/runs", json=wanted)

    answers = [collect(headers), collect(headers), collect(others)]

    assert [answer.status_code for answer in answers] == [202, 429, 202]
    refused = answers[1]
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.headers["Retry-After"] == "60"
    assert "yours has 1" in refused.json()["detail"]

    def refuse() -> None:
        raise QuotaError("Too many.", retry_after_s=1)

    monkeypatch.setattr(cli, "app", refuse)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert "Too many." in capsys.readouterr().err
