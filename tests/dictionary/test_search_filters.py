"""Filters, facets, paging and reasons of searches; entries that repeat what they rest on."""

from collections.abc import Sequence

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from annotating import hold, make_actor
from makers import (
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
from scopebook.db.entry_tables import FeatureEntry
from scopebook.db.label_tables import Label
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.db.tables import Context, Sae
from scopebook.entries import refresh_entries, refresh_saes
from scopebook.errors import InvalidInputError
from scopebook.features import list_features
from scopebook.label_scores import publish_scores
from scopebook.labelings import settle_labels
from scopebook.search import Answer, search_facets, search_features
from scopebook.search_filters import Filters, chosen, range_of
from scopebook.search_ways import QueryVector, Scope, count_about
from scopebook.tags import save_tag, tag_feature


def no_meaning(_: str) -> QueryVector | None:
    return None


def ask(session: Session, query: str = "river", **filters: object) -> list[int]:
    wanted = Filters(**filters)  # type: ignore[arg-type]
    answer = search_features(session, query, embed=no_meaning, filters=wanted)
    return [hit.index for hit in answer.items]


@pytest.fixture
def sae(session: Session) -> Sae:
    """Ten features about rivers that fire from seldom to often; every third is dense."""
    sae, _ = make_release(session)
    run = make_run(session, [sae], make_corpus(session, ["text"]))
    context_id = session.scalars(select(Context.id)).one()
    for index in range(10):
        make_evidence(
            session,
            run,
            sae,
            index,
            examples=make_examples([context_id], end=3),
            density=10.0 ** (index - 10),
            largest=float(index),
            flags=["dense"] if index % 3 == 0 else ["token"] if index == 1 else [],
        )
        label = make_label(session, sae, index, f"rivers {'in Asia' if index < 5 else 'in Europe'}")
        make_score(session, label, index / 10)
    refresh_saes(session, [sae.id])
    return sae


@pytest.mark.parametrize(
    ("filters", "left"),
    [
        ({"density_min": 1e-4}, [6, 7, 8, 9]),
        ({"density_max": 1e-9}, [0, 1]),
        ({"density_min": 1e-6, "density_max": 1e-5}, [4, 5]),
        ({"score_min": 0.8}, [8, 9]),
        ({"flags": ("dense",)}, [0, 3, 6, 9]),
        ({"without_flags": ("dense", "token")}, [2, 4, 5, 7, 8]),
        ({"states": ("labelled",), "layers": (2,)}, []),
        ({"sources": ("llm", "person")}, []),
        ({"scripts": ("Latn",), "score_max": 0.1}, [0, 1]),
        ({"scorers": ("embedding",)}, []),
        ({"reviewed": True}, []),
        ({"authors": ("ada",)}, []),
    ],
)
@pytest.mark.usefixtures("sae")
def test_a_filter_leaves_what_it_says_in_a_search_and_in_a_list(
    session: Session, filters: dict[str, object], left: list[int]
) -> None:
    listed, _ = list_features(session, Filters(**filters, release="SAE-Res-Tiny-Model-W1K-L0_8"))  # type: ignore[arg-type]

    assert sorted(ask(session, **filters)) == left
    assert [one.index for one in listed if one.layer == 1 and one.label] == left


@pytest.mark.usefixtures("sae")
def test_a_filter_acts_before_the_limit(session: Session) -> None:
    wanted = Filters(score_min=0.85)

    answer = search_features(session, "river", embed=no_meaning, filters=wanted, limit=1)

    assert [hit.index for hit in answer.items] == [9]
    assert answer.next is None


def test_tags_leave_and_are_counted(session: Session, sae: Sae) -> None:
    actor = make_actor(session, "ada", "editor")
    for name, indices in (("code", (1, 4)), ("style", (4, 6))):
        save_tag(session, actor, name, description=None)
        for index in indices:
            tag_feature(session, hold(session, actor, sae, index), name, present=True)

    found = search_facets(
        session,
        "rivers",
        embed=no_meaning,
        filters=Filters(tags=("code",), density_min=1e-8),
        facets=("tag", "layer"),
    )

    assert sorted(ask(session, tags=("Code",))) == [1, 4]
    assert sorted(ask(session, tags=("code", "style"))) == [1, 4, 6]
    assert ask(session, tags=("gone",)) == []
    assert [(one.value, one.count) for one in found.facets["tag"]] == [("style", 2), ("code", 1)]
    assert [(one.value, one.count) for one in found.facets["layer"]] == [("1", 1)]


@pytest.mark.usefixtures("sae")
def test_an_index_found_by_its_number_obeys_the_filters_too(session: Session) -> None:
    assert ask(session, "9", density_min=0.01) == [9]
    assert ask(session, "9", density_max=0.01) == []


@pytest.mark.usefixtures("sae")
def test_what_answers_can_be_sorted_by_numbers(session: Session) -> None:
    answer = search_features(session, "rivers in Asia", embed=no_meaning, order="score", limit=4)

    assert [hit.index for hit in answer.items] == [9, 8, 7, 6]


def test_a_list_pages_by_a_number_without_gaps(session: Session, sae: Sae) -> None:
    seen, cursor = [], None
    for _ in range(4):
        page, cursor = list_features(
            session, Filters(layers=(sae.layer,)), sort="score", limit=3, cursor=cursor
        )
        seen += [one.index for one in page]

    assert seen == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert cursor is None


def test_a_facet_counts_without_its_own_filter(session: Session, sae: Sae) -> None:
    found = search_facets(
        session,
        "rivers",
        embed=no_meaning,
        filters=Filters(flags=("dense",), score_min=0.5),
        facets=("flag", "score", "layer", "state"),
    )

    assert found.of == 2
    assert {one.value: one.count for one in found.facets["flag"]} == {"dense": 2}
    assert [one.count for one in found.facets["score"]] == [2, 0, 1, 0, 0, 1]
    assert [(one.value, one.count) for one in found.facets["layer"]] == [("1", 2)]


def page_through(session: Session, between: Sequence[object]) -> list[int]:
    """Read pages of three; before each further page something is written."""
    seen: list[int] = []
    cursor = None
    for act in [None, *between]:
        if callable(act):
            act()
            refresh_saes(session, [session.query(Sae).order_by(Sae.id).first().id])  # type: ignore[union-attr]
        answer = search_features(session, "river", embed=no_meaning, limit=3, cursor=cursor)
        seen += [hit.index for hit in answer.items]
        cursor = answer.next
        if cursor is None:
            break
    return seen


def test_paging_neither_skips_nor_repeats_while_labels_are_written(
    session: Session, sae: Sae
) -> None:
    def better_one_comes() -> None:
        make_label(session, sae, 12, "river river rivers")

    def seen_one_goes() -> None:
        session.execute(
            text("UPDATE label SET current = false WHERE feature_id = :id"),
            {"id": feature_id(sae, 0)},
        )

    def unseen_one_moves_up() -> None:
        label = session.scalars(select(Label).where(Label.feature_id == feature_id(sae, 9))).one()
        label.text = "river"
        session.flush()

    seen = page_through(session, [better_one_comes, seen_one_goes, unseen_one_moves_up, None, None])

    assert sorted(seen) == [*range(10), 12]
    assert len(seen) == len(set(seen))


def answer_to(session: Session, query: str) -> Answer:
    return search_features(session, query, embed=no_meaning)


@pytest.mark.usefixtures("sae")
def test_a_hit_says_which_words_matched(session: Session) -> None:
    (hit, *_) = answer_to(session, "asian river").items

    assert hit.why is not None
    assert [(piece.text, piece.matches) for piece in hit.why.text] == [
        ("rivers", True),
        (" in ", False),
        ("Asia", True),
    ]


@pytest.mark.usefixtures("sae")
def test_a_mistyped_word_is_set_right_and_said(session: Session) -> None:
    answer = answer_to(session, "rivvers")

    assert answer.meant == {"rivvers": ["rivers"]}
    assert len(answer.items) == 10


@pytest.mark.usefixtures("sae")
@pytest.mark.parametrize("query", ["riv", "in Eur"])
def test_a_word_that_is_being_typed_finds_what_begins_with_it(session: Session, query: str) -> None:
    assert answer_to(session, query).items


@pytest.mark.parametrize(("query", "found"), [("form", [1]), ("formalde", [2])])
def test_a_word_that_labels_hold_is_taken_whole(
    session: Session, query: str, found: list[int]
) -> None:
    sae, _ = make_release(session)
    make_label(session, sae, 1, "form and shape")
    make_label(session, sae, 2, "formaldehyde")
    refresh_saes(session, [sae.id])

    assert [hit.index for hit in answer_to(session, query).items] == found


@pytest.mark.parametrize(
    ("query", "found"),
    [("法律", [1, 2]), ("法", [1, 2]), ("律文", [2]), ("法律文本", [2]), ("文法", []), ("の", [3])],
)
def test_chinese_and_japanese_are_found_without_spaces(
    session: Session, query: str, found: list[int]
) -> None:
    sae, _ = make_release(session)
    for index, words in enumerate(["Chinese text: 法律, 合同", "法律文本", "日本の詩"], start=1):
        make_label(session, sae, index, words)

    answer = answer_to(session, query)

    assert sorted(hit.index for hit in answer.items) == found
    for hit in answer.items:
        assert hit.why is not None
        assert any(piece.matches and piece.text in query for piece in hit.why.text)


def test_a_description_is_searched_and_shown_where_it_matched(session: Session) -> None:
    sae, _ = make_release(session)
    label = make_label(session, sae, 1, "legal text")
    label.description = "Statutes and contracts."
    refresh_saes(session, [sae.id])

    (hit,) = answer_to(session, "contract").items

    assert hit.why is not None
    assert hit.why.description is not None
    assert [piece.text for piece in hit.why.description if piece.matches] == ["contracts"]


def test_entries_follow_labels_scores_and_runs(session: Session, sae: Sae) -> None:
    entry = session.get_one(FeatureEntry, feature_id(sae, 3))
    assert (entry.state, entry.source, entry.script) == ("labelled", "keywords", "Latn")
    assert (entry.score, entry.scorer) == (pytest.approx(0.3), "detection")

    said = make_label(session, sae, 12, "河流", source="person")
    refresh_entries(session, [said.feature_id])
    sae.current_run_id = None
    refresh_saes(session, [sae.id])
    session.expire_all()

    fresh = session.get_one(FeatureEntry, said.feature_id)
    assert (fresh.state, fresh.source, fresh.script) == ("labelled", "person", "Hani")
    old = session.get_one(FeatureEntry, feature_id(sae, 3))
    assert (old.density, old.max, old.flags) == (None, None, [])


def test_a_label_that_is_settled_and_a_score_that_is_stored_reach_the_entry(
    session: Session, sae: Sae
) -> None:
    labeling = make_labeling(session, sae, sae.current_run_id or 0, source="llm")
    label = make_label(session, sae, 3, "streams", source="llm", current=False)
    label.labeling_id = labeling.id
    make_origin(session, labeling, 4, status="abstained")

    settle_labels(session, [sae.id], [feature_id(sae, 3), feature_id(sae, 4)])
    settled = session.get_one(Label, label.id)
    columns = {
        "label_id": label.id,
        "scorer": "union",
        "scorer_version": "1",
        "judge": "j",
        "n_pos": 1,
        "n_neg_random": 1,
        "n_neg_hard": 0,
        "n_failed": 0,
        "value": 0.9,
        "held_out_sha256": b"h",
    }
    if settled.current:
        publish_scores(session, [columns])
    session.expire_all()

    entry = session.get_one(FeatureEntry, feature_id(sae, 4))
    assert entry.state == "abstained"


def test_two_who_change_one_feature_leave_an_entry_with_both_changes(sessions: Sessions) -> None:
    with unit_of_work(sessions) as session:
        sae, _ = make_release(session)
        label = make_label(session, sae, 1, "rivers")
        refresh_saes(session, [sae.id])
        key, label_id = feature_id(sae, 1), label.id
    first, second = sessions(), sessions()
    make_score(first, first.get_one(Label, label_id), 0.7)
    refresh_entries(first, [key])
    first.commit()
    second.execute(text("UPDATE label SET author = 'ada' WHERE id = :id"), {"id": label_id})
    refresh_entries(second, [key])
    second.commit()

    with unit_of_work(sessions) as session:
        entry = session.get_one(FeatureEntry, key)
        assert (entry.author, entry.score) == ("ada", pytest.approx(0.7))


@pytest.mark.usefixtures("sae")
def test_the_size_of_what_filters_leave_is_estimated(session: Session) -> None:
    session.execute(text("ANALYZE feature_entry"))

    assert count_about(session, Scope()) is None
    about = count_about(session, Scope(None, (FeatureEntry.flags.contains(["dense"]),)))
    assert about is not None
    assert 1 <= about <= 20


def test_filters_that_cannot_be_met_get_a_sentence() -> None:
    with pytest.raises(InvalidInputError, match=r"No density is at least 0\.5 and at most 0\.1"):
        Filters(density_min=0.5, density_max=0.1)
    with pytest.raises(InvalidInputError, match="--state 'gone' is not known; give one of"):
        chosen("--state", ["gone"], ("labelled",))
    for wrong in ("0.1", "a..b", "1..2..3"):
        with pytest.raises(InvalidInputError, match="is not a range"):
            range_of("--score", wrong)
    assert range_of("--score", "..0.5") == (None, 0.5)
