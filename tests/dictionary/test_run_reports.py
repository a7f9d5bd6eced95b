"""Runs, and the choice of the one that the dictionary shows."""

import pytest
from sqlalchemy import delete
from sqlalchemy.orm import Session

from makers import make_corpus, make_evidence, make_examples, make_release, make_run
from scopebook.db.tables import Evidence, Model, Release, Run, Sae
from scopebook.errors import ConflictError, NotFoundError
from scopebook.feature_page import read_feature
from scopebook.release_names import parse_feature_id
from scopebook.run_reports import list_runs, read_run, use_run


@pytest.fixture
def saes(session: Session) -> list[Sae]:
    """Two layers of one release."""
    return make_release(session)


def collected(session: Session, saes: list[Sae], corpus: str, largest: float) -> Run:
    """Add a run with evidence for each layer, which becomes the one that is shown."""
    run = make_run(session, saes, make_corpus(session, ["das 中文 text"], name=corpus))
    for sae in saes:
        make_evidence(session, run, sae, 0, examples=make_examples([]), largest=largest)
    return run


def test_runs_say_for_which_layers_they_are_shown(session: Session, saes: list[Sae]) -> None:
    large = collected(session, saes, "large", 3.0)
    small = collected(session, saes[:1], "small", 1.0)

    (newer, older), following = list_runs(session)

    assert following is None
    assert (newer.id, newer.corpus, newer.layers, newer.shown) == (small.id, "small", [1], [1])
    assert (older.id, older.collected, older.shown) == (large.id, [1, 2], [2])


def test_an_earlier_run_can_be_shown_again(session: Session, saes: list[Sae]) -> None:
    large = collected(session, saes, "large", 3.0)
    collected(session, saes, "small", 1.0)
    wanted = parse_feature_id("Tiny-Model/1-res-w1k-l0_8/0")
    before = read_feature(session, wanted).max_activation

    report = use_run(session, large.id)

    assert report.shown == [1, 2]
    assert (before, read_feature(session, wanted).max_activation) == (1.0, 3.0)


def test_only_the_layers_that_are_named_change(session: Session, saes: list[Sae]) -> None:
    large = collected(session, saes, "large", 3.0)
    small = collected(session, saes, "small", 1.0)

    use_run(session, large.id, [2])

    assert read_run(session, small.id).shown == [1]


def test_a_run_without_evidence_is_not_shown(session: Session, saes: list[Sae]) -> None:
    large = collected(session, saes, "large", 3.0)
    empty = collected(session, saes, "empty", 1.0)
    use_run(session, large.id)
    session.execute(
        delete(Evidence).where(Evidence.run_id == empty.id, Evidence.feature_id < saes[1].id << 20)
    )

    with pytest.raises(ConflictError, match="no evidence for layer 1 yet"):
        use_run(session, empty.id)

    assert read_run(session, large.id).shown == [1, 2]
    assert use_run(session, empty.id, [2]).shown == [2]


def test_a_layer_the_run_did_not_read_is_named(session: Session, saes: list[Sae]) -> None:
    run = collected(session, saes, "large", 3.0)

    with pytest.raises(NotFoundError, match="has no layer 7; it has 1, 2"):
        use_run(session, run.id, [1, 7])
    with pytest.raises(NotFoundError, match="no run 99999999"):
        use_run(session, 99_999_999)


def test_runs_are_listed_by_release(session: Session, saes: list[Sae]) -> None:
    run = collected(session, saes, "large", 3.0)
    release = session.get_one(Release, saes[0].release_id)
    other = make_release(
        session,
        "SAE-Res-Tiny-Model-W2K-L0_8",
        model=session.get_one(Model, release.model_id),
        set_name="res-w2k-l0_8",
    )
    collected(session, other, "other", 1.0)

    runs, _ = list_runs(session, release=release.name)

    assert [item.id for item in runs] == [run.id]
    with pytest.raises(NotFoundError, match="no release 'nope'"):
        list_runs(session, release="nope")


def test_runs_page_from_new_to_old_without_gaps(session: Session, saes: list[Sae]) -> None:
    made = [collected(session, saes, f"corpus {i}", 1.0).id for i in range(3)]

    first, cursor = list_runs(session, limit=2)
    second, end = list_runs(session, limit=2, cursor=cursor)

    assert [run.id for run in first + second] == made[::-1]
    assert end is None
