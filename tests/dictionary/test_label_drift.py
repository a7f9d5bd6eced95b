"""What two labelings of one layer say of the same features."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session
from tests.dictionary.test_labels import begin, make_sae
from tests.makers import feature_id, make_model, make_release

from scopebook.db.label_tables import (
    Embedder,
    Label,
    LabelEmbedding,
    Labeling,
    LabelOutcome,
    LabelScore,
    Sense,
)
from scopebook.db.tables import Run, Sae
from scopebook.embedders import embedder_name
from scopebook.errors import InvalidInputError, NotFoundError
from scopebook.label_drift import drift, newest_two
from scopebook.labelings import finish_labeling
from scopebook.settings import settings

#: A label: its text, and its vector.
Said = tuple[str, tuple[float, float]]


@pytest.fixture
def dictionary(session: Session) -> tuple[Sae, Run, int]:
    sae, run = make_sae(session)
    embedder = Embedder(
        name=embedder_name(settings()), sha256="e" * 64, dimension=2, artifact="somewhere"
    )
    session.add(embedder)
    session.flush()
    return sae, run, embedder.id


def labeling(
    session: Session,
    sae: Sae,
    run: Run,
    embedder_id: int,
    labels: dict[int, list[Said] | str],
    *,
    support: float = 0.8,
) -> int:
    """Add a finished labeling by a model: a feature's labels, or the state it ended in."""
    key = begin(session, sae, run, source="llm")
    for index, said in labels.items():
        feature = feature_id(sae, index)
        status = said if isinstance(said, str) else "ok"
        session.add(
            LabelOutcome(labeling_id=key, feature_id=feature, status=status, example_set=b"a" * 32)
        )
        if isinstance(said, str):
            continue
        for ordinal, (text, vector) in enumerate(said):
            sense = Sense(
                feature_id=feature,
                labeling_id=key,
                ordinal=ordinal,
                share=0.5,
                keywords=[],
                members=[ordinal],
            )
            session.add(sense)
            session.flush()
            label = Label(
                feature_id=feature,
                sae_id=sae.id,
                labeling_id=key,
                sense_id=sense.id if len(said) > 1 else None,
                text=text,
                source="llm",
                method="a-model",
                current=False,
            )
            session.add(label)
            session.flush()
            session.add(
                LabelEmbedding(
                    label_id=label.id,
                    embedder_id=embedder_id,
                    sae_id=sae.id,
                    embedding=list(vector),
                )
            )
            session.add(
                LabelScore(
                    label_id=label.id,
                    scorer="support",
                    scorer_version="1",
                    judge="j",
                    n_pos=5,
                    n_neg_random=5,
                    n_neg_hard=0,
                    n_failed=0,
                    value=support,
                    held_out_sha256=bytes([index]) * 32,
                )
            )
    finish_labeling(session, key)
    session.flush()
    return key


def test_labels_are_compared_by_what_they_mean_senses_in_any_order(
    session: Session, dictionary: tuple[Sae, Run, int]
) -> None:
    one = labeling(
        session,
        *dictionary,
        {
            0: [("rivers", (1, 0))],
            1: [("rivers", (1, 0)), ("code", (0, 1))],
            2: [("rivers", (1, 0))],
            3: [("rivers", (1, 0))],
        },
    )
    other = labeling(
        session,
        *dictionary,
        {
            0: [("streams", (1, 0.1))],
            1: [("code", (0, 1)), ("streams", (1, 0))],
            2: [("code", (0, 1))],
            3: "abstained",
        },
        support=0.9,
    )

    found = drift(session, one, other)

    sae, *_ = dictionary
    assert [item.id.rsplit("/", 1)[1] for item in found.items] == ["2", "0", "1"]
    assert [round(item.cosine, 2) for item in found.items] == [0, 1, 1]
    assert (found.items[0].first, found.items[0].second) == ("rivers", "code")
    assert (found.compared, found.same) == (3, 2)
    assert (found.both, found.gained, found.lost) == (3, 0, 1)
    assert drift(session, other, one).gained == 1
    assert found.median_cosine == pytest.approx(0.995, abs=0.01)
    assert found.outcomes == {"ok, ok": 3, "ok, abstained": 1}
    change, count = found.score_changes["support"]
    assert change == pytest.approx(0.1)
    # Features 0 and 2: the labelings found senses of their own in feature 1.
    assert count == 2
    assert newest_two(session, "SAE-Res-Tiny-Model-W1K-L0_8", sae.layer) == (one, other)


def test_a_suspect_label_is_lost_and_not_compared(
    session: Session, dictionary: tuple[Sae, Run, int]
) -> None:
    said: dict[int, list[Said] | str] = {0: [("rivers", (1, 0))], 1: [("kings", (0, 1))]}
    one, other = (labeling(session, *dictionary, said) for _ in range(2))
    suspect = select(Label).where(Label.labeling_id == other, Label.text == "kings")
    session.scalars(suspect).one().status = "suspect"
    session.flush()

    found = drift(session, one, other)

    assert [item.first for item in found.items] == ["rivers"]
    assert (found.both, found.lost, found.compared) == (1, 1, 1)


def test_pages_neither_skip_nor_repeat(session: Session, dictionary: tuple[Sae, Run, int]) -> None:
    same: dict[int, list[Said] | str] = {index: [("rivers", (1, 0))] for index in range(5)}
    one, other = (labeling(session, *dictionary, same) for _ in range(2))

    seen: list[str] = []
    cursor = None
    while True:
        page = drift(session, one, other, limit=2, cursor=cursor)
        seen += [item.id for item in page.items]
        cursor = page.next
        if cursor is None:
            break

    assert len(seen) == len(set(seen)) == 5


def test_what_cannot_be_compared_is_refused(
    session: Session, dictionary: tuple[Sae, Run, int]
) -> None:
    sae, run, embedder_id = dictionary
    only = labeling(session, sae, run, embedder_id, {0: "failed"})

    with pytest.raises(NotFoundError, match="was labelled 1 times"):
        newest_two(session, "SAE-Res-Tiny-Model-W1K-L0_8", sae.layer)
    with pytest.raises(NotFoundError, match="There is no labeling 999"):
        drift(session, only, 999)
    [foreign] = make_release(
        session, "SAE-Res-Other-W1K-L0_8", model=make_model(session, "Other"), layers=[1]
    )
    other = labeling(session, foreign, run, embedder_id, {0: "failed"})
    with pytest.raises(InvalidInputError, match="are of two layers"):
        drift(session, only, other)
    assert drift(session, only, only).items == []


def test_a_labeling_of_some_features_is_not_one_of_the_last_two(
    session: Session, dictionary: tuple[Sae, Run, int]
) -> None:
    sae, run, embedder_id = dictionary
    same: dict[int, list[Said] | str] = {0: [("rivers", (1, 0))]}
    one, other, some = (labeling(session, sae, run, embedder_id, same) for _ in range(3))
    session.get_one(Labeling, some).parameters = {"features": [0]}

    assert newest_two(session, "SAE-Res-Tiny-Model-W1K-L0_8", sae.layer) == (one, other)
