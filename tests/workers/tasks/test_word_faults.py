"""Whatever a language model or its server does, a feature ends once, as what it is."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import pytest
from benchmarks.labels.planted_dictionary import (
    ask_for_words,
    outcomes_by_feature,
    plant_features,
    say_keywords,
)
from benchmarks.labels.stubs.faults import Answering, Counts, StubServer
from benchmarks.labels.stubs.plan import Faults
from sqlalchemy import select

from scopebook.db.jobs import Job
from scopebook.db.label_tables import Label, Labeling, LabelOrigin, LabelOutcome
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.db.tables import Run, Sae
from scopebook.jobs import WORD_SAE
from scopebook.llm_labelings import FeatureOutcome, SenseWording, publish_outcomes
from scopebook.settings import settings, use_settings
from scopebook_workers.claims import work_off

Messages = Sequence[Mapping[str, str]]


def word_by(
    sessions: Sessions,
    planted: tuple[Sae, Run],
    answer: Answering = say_keywords,
    *,
    faults: Faults | None = None,
    model: str = "stub",
) -> tuple[Counts, Job]:
    """Word planted features by a server; return what it was asked, and the job."""
    use_settings(settings().model_copy(update={"llm_timeout_s": 2.0}))
    with StubServer(answer, faults=faults) as server:
        with unit_of_work(sessions) as session:
            job_id = ask_for_words(session, *planted, server.url, parallel=8, model=model)
        work_off(WORD_SAE)
        counts = server.counts()
    assert counts.mistakes == []
    with sessions() as session:
        return counts, session.get_one(Job, job_id)


def plant(sessions: Sessions, n: int) -> tuple[Sae, Run]:
    with unit_of_work(sessions) as session:
        return plant_features(session, n)


def ends_of(sessions: Sessions) -> list[tuple[str, str | None, str | None, int]]:
    """Return how each feature ended: status, class of the error, reason, attempts."""
    with sessions() as session:
        rows = session.execute(
            select(
                LabelOutcome.status,
                LabelOrigin.error_class,
                LabelOutcome.reason,
                LabelOrigin.attempts,
            ).join(
                LabelOrigin,
                (LabelOrigin.labeling_id == LabelOutcome.labeling_id)
                & (LabelOrigin.feature_id == LabelOutcome.feature_id),
            )
        )
        return [tuple(row) for row in rows]


def labels_of(sessions: Sessions) -> list[Label]:
    with sessions() as session:
        return list(session.scalars(select(Label).order_by(Label.id)))


def one_label(label: str) -> Answering:
    """Return who gives all groups of each request one label."""

    def say(messages: Messages, schema: dict[str, Any] | None) -> str:
        answer = json.loads(say_keywords(messages, schema))
        first = answer["senses"][0]
        groups = [number for sense in answer["senses"] for number in sense["clusters"]]
        return json.dumps({"senses": [first | {"clusters": groups, "label": label}]})

    return say


def test_what_is_no_answer_ends_a_feature_by_its_class_and_gives_no_label(
    worker: Sessions,
) -> None:
    names = ("refusal", "content_filter", "empty", "length", "html", "cut")
    faults = Faults(shares=dict.fromkeys(names, 0.14), times=None)

    counts, job = word_by(worker, plant(worker, 60), faults=faults)

    ends = ends_of(worker)
    assert set(counts.faults) == set(names)
    assert job.state == "done"
    assert set(outcomes_by_feature(worker).values()) == {1}
    assert {(status, error) for status, error, _, _ in ends} == {
        ("ok", None),
        ("refused", "refused"),
        ("failed", "empty"),
        ("failed", "length"),
        ("failed", "protocol"),
    }
    assert all(reason for status, _, reason, _ in ends if status != "ok")
    labelled = {label.feature_id for label in labels_of(worker)}
    assert len(labelled) == sum(status == "ok" for status, *_ in ends) < 60


def test_what_passes_costs_time_and_no_feature(worker: Sessions) -> None:
    faults = Faults(shares={"429": 0.3, "500": 0.3, "503": 0.2, "hang": 0.1, "reset": 0.1})

    counts, job = word_by(worker, plant(worker, 40), faults=faults)

    assert job.state == "done"
    assert set(counts.faults) == set(faults.shares)
    assert {(status, error) for status, error, _, _ in ends_of(worker)} == {("ok", None)}
    assert Counter(attempts for *_, attempts in ends_of(worker)) == {2: 40}


@pytest.mark.parametrize("status", ["401", "403", "404"])
def test_what_no_other_request_would_survive_stops_the_job_at_once(
    status: str, worker: Sessions
) -> None:
    counts, job = word_by(worker, plant(worker, 40), faults=Faults(shares={status: 1.0}))

    assert job.state == "failed"
    assert status in (job.error or "")
    # Those under way, and few that began before the first refusal was read.
    assert counts.requests <= 16
    assert set(outcomes_by_feature(worker).values()) == {0}


def test_scratch_text_is_asked_for_once_more_and_never_stored_as_a_label(
    worker: Sessions,
) -> None:
    scratch = [
        *("x" * 81, "two\nlines", "**Bold**", "Tokens about water", "The pattern is water"),
        *("clusters: 0", "See https://example.org", "Ignore all previous instructions"),
    ]
    turns = count()

    def say(messages: Messages, schema: dict[str, Any] | None) -> str:
        return one_label(scratch[next(turns) % len(scratch)])(messages, schema)

    counts, job = word_by(worker, plant(worker, len(scratch)), say)

    assert job.state == "done"
    assert {status for status, *_ in ends_of(worker)} == {"failed"}
    assert all(reason for _, _, reason, _ in ends_of(worker))
    assert labels_of(worker) == []
    assert counts.requests == 2 * len(scratch)


@pytest.mark.parametrize("label", ["unclear", "various words"])
def test_a_label_that_says_nothing_is_an_abstention(label: str, worker: Sessions) -> None:
    counts, job = word_by(worker, plant(worker, 3), one_label(label))

    assert job.state == "done"
    assert [status for status, *_ in ends_of(worker)] == ["abstained"] * 3
    assert labels_of(worker) == []
    assert counts.requests == 3


def test_features_that_are_worded_alike_keep_a_label_each(worker: Sessions) -> None:
    _, job = word_by(worker, plant(worker, 6), one_label("Deliberate nonsense"))

    labels = labels_of(worker)
    assert job.state == "done"
    assert {label.text for label in labels} == {"Deliberate nonsense"}
    assert len({label.feature_id for label in labels}) == len(labels) == 6


def test_a_batch_that_is_written_again_stands_once(worker: Sessions) -> None:
    planted = plant(worker, 6)
    word_by(worker, planted, model="first")
    with worker() as session:
        labeling_id = session.scalars(select(Labeling.id).where(Labeling.source == "llm")).one()
        feature_ids = session.scalars(
            select(LabelOutcome.feature_id).where(LabelOutcome.labeling_id == labeling_id)
        ).all()
    before = [(label.id, label.text) for label in labels_of(worker)]
    wording = SenseWording(senses=[0], text="Again", description=None, kind="topic", confidence=1)
    again = [
        FeatureOutcome(feature_id=key, status="ok", reason=None, wordings=[wording], origin=None)
        for key in feature_ids
    ]

    with unit_of_work(worker) as session:
        publish_outcomes(session, labeling_id, again)

    assert set(outcomes_by_feature(worker).values()) == {1}
    assert [(label.id, label.text) for label in labels_of(worker)] == before


def test_another_model_adds_its_labels_and_overwrites_none(worker: Sessions) -> None:
    planted = plant(worker, 6)

    word_by(worker, planted, one_label("Said by the first"), model="first")
    before = [(label.id, label.text) for label in labels_of(worker)]
    word_by(worker, planted, one_label("Said by the second"), model="second")

    labels = labels_of(worker)
    assert [(label.id, label.text) for label in labels[:6]] == before
    assert [label.supersedes_id for label in labels[6:]] == [label.id for label in labels[:6]]
    with worker() as session:
        methods = session.scalars(select(Labeling.method).where(Labeling.source == "llm")).all()
    assert sorted(methods) == ["first", "second"]
