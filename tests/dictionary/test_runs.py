import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from tests.makers import make_corpus, make_release

from scopebook.db.jobs import Job, Step
from scopebook.db.tables import Release, Run, Tokenisation
from scopebook.errors import InvalidInputError, NotFoundError
from scopebook.jobs import (
    ADD_RELEASE,
    EMBED_LABELS,
    LABEL_SAE,
    MERGE_SAE,
    PLAN_RUN,
    TIDY_RUN,
    TOKENISE_CORPUS,
)
from scopebook.run_reports import list_runs
from scopebook.runs import collection_steps, read_parameters, request_collection
from scopebook.settings import settings
from scopebook.steps import NewStep, create_job

RELEASE = "SAE-Res-Tiny-Model-W1K-L0_8"


def jobs(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(Job)) or 0


def steps_of(session: Session, job: Job) -> list[Step]:
    return list(
        session.scalars(select(Step).where(Step.job_id == job.id).order_by(Step.stage, Step.id))
    )


def test_a_collection_goes_from_tokens_to_embedded_labels(session: Session) -> None:
    saes = make_release(session)
    make_corpus(session, ["a text"])

    job = request_collection(session, RELEASE, "tiny")

    run = session.scalars(select(Run).where(Run.job_id == job.id)).one()
    both = [{"run_id": run.id, "sae_id": sae.id} for sae in saes]
    assert [(step.stage, step.kind, step.parameters) for step in steps_of(session, job)] == [
        (0, TOKENISE_CORPUS, {"tokenisation_id": run.tokenisation_id}),
        (1, PLAN_RUN, {"run_id": run.id, "anew": False}),
        (3, MERGE_SAE, both[0]),
        (3, MERGE_SAE, both[1]),
        (4, TIDY_RUN, {"run_id": run.id}),
        (4, LABEL_SAE, both[0] | {"anew": False}),
        (4, LABEL_SAE, both[1] | {"anew": False}),
        (5, EMBED_LABELS, {"sae_ids": [sae.id for sae in saes]}),
    ]
    assert run.layers == [1, 2]


def test_without_labels_it_ends_with_the_merged_files_removed(session: Session) -> None:
    make_release(session)
    make_corpus(session, ["a text"])

    job = request_collection(session, RELEASE, "tiny", [2], label=False)

    kinds = [step.kind for step in steps_of(session, job)]
    assert kinds == [TOKENISE_CORPUS, PLAN_RUN, MERGE_SAE, TIDY_RUN]
    assert job.parameters["layers"] == [2]


def test_the_limit_of_tokens_is_kept_with_the_run(session: Session) -> None:
    make_release(session)
    make_corpus(session, ["a text"])

    job = request_collection(session, RELEASE, "tiny", max_tokens=1000)

    run = session.scalars(select(Run).where(Run.job_id == job.id)).one()
    assert read_parameters(run).max_tokens == 1000


def test_runs_over_one_corpus_share_its_tokens(session: Session) -> None:
    make_release(session)
    make_corpus(session, ["a text"])

    request_collection(session, RELEASE, "tiny")
    request_collection(session, RELEASE, "tiny")

    tokenisation = session.scalars(select(Tokenisation)).one()
    assert tokenisation.context_tokens == settings().context_tokens
    assert set(session.scalars(select(Run.tokenisation_id))) == {tokenisation.id}


def test_a_job_that_adds_a_release_can_go_on_with_its_collection(session: Session) -> None:
    make_release(session)
    make_corpus(session, ["a text"])
    first = NewStep(kind=ADD_RELEASE, stage=0, title="Register")
    job = create_job(session, "demo", "Demo", [first])

    steps = collection_steps(
        session,
        job_id=job.id,
        release=session.scalars(select(Release)).one(),
        corpus_name="tiny",
        first_stage=1,
    )

    assert [step.stage for step in steps] == [1, 2, 4, 4, 5, 5, 5, 6]


def test_what_does_not_exist_is_named_and_no_job_is_made(session: Session) -> None:
    make_release(session)
    make_corpus(session, ["a text"])

    with pytest.raises(NotFoundError, match=f"no release 'SAE-Res-Gone' here; there is {RELEASE}"):
        request_collection(session, "SAE-Res-Gone", "tiny")
    with pytest.raises(NotFoundError, match="no corpus 'gone' here; there is tiny"):
        request_collection(session, RELEASE, "gone")
    with pytest.raises(NotFoundError, match=r"Layer 7, 9 is not registered .*; there is 1, 2"):
        request_collection(session, RELEASE, "tiny", [9, 1, 7])

    assert jobs(session) == 0


def test_asking_for_nothing_is_refused(session: Session) -> None:
    make_release(session)
    make_corpus(session, ["a text"])

    with pytest.raises(InvalidInputError, match="No layer of SAE-Res-Tiny-Model"):
        request_collection(session, RELEASE, "tiny", [])
    with pytest.raises(InvalidInputError, match="max_tokens is 0; give 1 or more"):
        request_collection(session, RELEASE, "tiny", max_tokens=0)

    assert jobs(session) == 0


@pytest.mark.parametrize("tokens", [3_000_000_000, 2**63 - 1])
def test_a_limit_of_many_tokens_can_be_listed(session: Session, tokens: int) -> None:
    make_release(session)
    make_corpus(session, ["a text"])
    request_collection(session, RELEASE, "tiny", max_tokens=tokens)

    assert [run.max_tokens for run in list_runs(session)[0]] == [tokens]


def test_a_limit_that_no_row_can_hold_is_refused(session: Session) -> None:
    make_release(session)
    make_corpus(session, ["a text"])

    with pytest.raises(InvalidInputError, match=r"max_tokens is \d+; give 1 or more"):
        request_collection(session, RELEASE, "tiny", max_tokens=2**63)
