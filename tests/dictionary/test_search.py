"""Search: by id, words and meaning, in one stable ranking."""

import pytest
from sqlalchemy.orm import Session

from makers import (
    feature_id,
    make_corpus,
    make_embedding,
    make_label,
    make_labeling,
    make_model,
    make_release,
    make_run,
)
from scopebook.db.label_tables import Sense
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.db.tables import Sae
from scopebook.entries import refresh_saes
from scopebook.errors import InvalidInputError, NotFoundError, UnavailableError
from scopebook.search import EmbedQuery, Hit, search_features
from scopebook.search_filters import Filters
from scopebook.search_ways import QueryVector


def no_meaning(_: str) -> QueryVector | None:
    return None


def toward(embedder_id: int, vector: list[float]) -> EmbedQuery:
    return lambda _: QueryVector(embedder_id, vector)


def find(
    session: Session, query: str, embed: EmbedQuery = no_meaning, **filters: object
) -> list[Hit]:
    answer = search_features(session, query, embed=embed, filters=Filters(**filters))  # type: ignore[arg-type]
    return answer.items


def test_words_find_labels_by_their_stems(session: Session) -> None:
    sae, _ = make_release(session)
    make_label(session, sae, 7, "names of rivers")
    make_label(session, sae, 8, "names of kings")

    hits = find(session, "river")

    assert [(hit.index, hit.matched) for hit in hits] == [(7, ["words"])]


def test_more_of_the_words_come_first(session: Session) -> None:
    sae, _ = make_release(session)
    make_label(session, sae, 1, "German verbs")
    make_label(session, sae, 2, "Chinese text: poems")

    hits = find(session, "chinese text about German")

    assert [hit.index for hit in hits] == [2, 1]


def test_a_label_that_holds_some_of_the_words_gives_way_to_one_that_is_nearer(
    session: Session,
) -> None:
    sae, _ = make_release(session)
    meant = make_label(session, sae, 5, "statutes and courts")
    said = make_label(session, sae, 4, "text set in tables")
    make_embedding(session, said, [0.0, 1.0])
    embedder_id = make_embedding(session, meant, [1.0, 0.0])

    hits = find(session, "legal text", toward(embedder_id, [1.0, 0.0]))

    # Both are first by one way, and feature order would put the other one first.
    assert [(hit.index, hit.matched) for hit in hits] == [(5, ["meaning"]), (4, ["words"])]


def test_a_label_not_in_force_is_not_found(session: Session) -> None:
    sae, _ = make_release(session)
    make_label(session, sae, 7, "names of rivers", current=False)

    assert find(session, "river") == []


def test_chinese_is_found_inside_labels(session: Session) -> None:
    sae, _ = make_release(session)
    make_label(session, sae, 3, "Chinese text: 系统文件, 的")

    assert [hit.index for hit in find(session, "系统")] == [3]


@pytest.mark.parametrize("query", ["5", "#5"])
def test_an_index_finds_the_feature_of_every_layer(session: Session, query: str) -> None:
    make_release(session)

    hits = find(session, query)

    assert [(hit.layer, hit.index, hit.matched) for hit in hits] == [(1, 5, ["id"]), (2, 5, ["id"])]


def test_a_full_id_finds_one_feature(session: Session) -> None:
    make_release(session)

    (hit,) = find(session, "Tiny-Model/2-res-w1k-l0_8/5")

    assert hit.id == "Tiny-Model/2-res-w1k-l0_8/5"


def test_meaning_finds_what_words_do_not(session: Session) -> None:
    sae, _ = make_release(session)
    near = make_label(session, sae, 1, "statutes and courts")
    far = make_label(session, sae, 2, "cooking with butter")
    make_embedding(session, near, [1.0, 0.0])
    embedder_id = make_embedding(session, far, [0.0, 1.0])

    (hit,) = find(session, "legal language", toward(embedder_id, [0.8, 0.6 - 0.4]))

    assert (hit.index, hit.matched) == (1, ["meaning"])
    assert hit.similarity == pytest.approx(0.97, abs=0.02)


def test_a_feature_counts_with_its_nearest_sense_and_once(session: Session) -> None:
    sae, _ = make_release(session)
    whole = make_label(session, sae, 1, "rivers / kings")
    sense = Sense(
        feature_id=feature_id(sae, 1),
        labeling_id=make_labeling(session, sae, _run_id(session)).id,
        ordinal=0,
        share=0.5,
        keywords=[],
        members=[],
    )
    session.add(sense)
    session.flush()
    part = make_label(session, sae, 1, "rivers", sense_id=sense.id)
    make_embedding(session, whole, [0.6, 0.8])
    embedder_id = make_embedding(session, part, [1.0, 0.0])

    (hit,) = find(session, "streams", toward(embedder_id, [1.0, 0.0]))

    assert hit.similarity == pytest.approx(1.0, abs=1e-3)
    assert hit.label is not None
    assert hit.label.text == "rivers / kings"


def _run_id(session: Session) -> int:
    sae = session.query(Sae).first()
    assert sae is not None
    return make_run(session, [sae], make_corpus(session, ["x"])).id


def test_pages_neither_skip_nor_repeat(session: Session) -> None:
    sae, _ = make_release(session)
    for index in range(9):
        make_label(session, sae, index, "names of rivers")

    seen: list[int] = []
    cursor = None
    for _ in range(3):
        page = search_features(session, "river", embed=no_meaning, limit=4, cursor=cursor)
        hits, cursor = page.items, page.next
        seen += [hit.index for hit in hits]

    assert seen == list(range(9))
    assert cursor is None


def test_a_filter_keeps_other_layers_and_releases_out(session: Session) -> None:
    model = make_model(session)
    one, two = make_release(session, model=model)
    (other,) = make_release(
        session, "SAE-Res-Tiny-Model-W2K-L0_8", model=model, layers=[1], set_name="res-w2k-l0_8"
    )
    for sae in (one, two, other):
        make_label(session, sae, 1, "names of rivers")

    hits = find(session, "river", release="SAE-Res-Tiny-Model-W1K-L0_8", layers=(2,))

    assert [hit.id for hit in hits] == ["Tiny-Model/2-res-w1k-l0_8/1"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "is empty"),
        ("  \x00 ", "is empty"),
        ("x" * 10_000, "10,000 characters"),
        ("🙂🎉", "no letters or digits"),
    ],
)
def test_a_query_that_cannot_be_searched_gets_a_sentence(
    session: Session, query: str, said: str
) -> None:
    with pytest.raises(InvalidInputError, match=said):
        find(session, query)


def test_an_unknown_release_or_layer_is_named(session: Session) -> None:
    make_release(session)

    with pytest.raises(NotFoundError, match="no release 'nope' here; there is SAE-Res-Tiny"):
        find(session, "x", release="nope")
    with pytest.raises(NotFoundError, match="Layer 9 is not registered; there is 1, 2"):
        find(session, "x", layers=(9,))


@pytest.mark.parametrize(
    "query", ["a & b | !c", "'quoted", "100%", "under_score", "\\", "<->", "a:*b"]
)
def test_special_characters_are_only_text(session: Session, query: str) -> None:
    sae, _ = make_release(session)
    make_label(session, sae, 1, "names of rivers")

    assert find(session, query) == []


@pytest.mark.parametrize("cursor", ["nonsense", "🙂", "W10", "eyJhIjogMX0"])
def test_a_foreign_cursor_is_refused(session: Session, cursor: str) -> None:
    make_release(session)

    with pytest.raises(InvalidInputError, match="cursor"):
        search_features(session, "x", embed=no_meaning, cursor=cursor)


def test_meaning_decides_between_labels_with_the_same_words(session: Session) -> None:
    sae, _ = make_release(session)
    far = make_label(session, sae, 1, "names of rivers in Asia")
    near = make_label(session, sae, 2, "names of rivers in Europe")
    make_embedding(session, far, [0.6, 0.8])
    embedder_id = make_embedding(session, near, [1.0, 0.0])

    hits = find(session, "river", toward(embedder_id, [1.0, 0.0]))

    assert [hit.index for hit in hits] == [2, 1]


def test_an_embedder_that_is_down_leaves_words_to_answer(session: Session) -> None:
    def down(_: str) -> QueryVector | None:
        raise UnavailableError("The embeddings server does not answer.")

    sae, _ = make_release(session)
    make_label(session, sae, 1, "names of rivers")

    assert [hit.index for hit in find(session, "river", down)] == [1]


def test_no_connection_is_held_while_the_query_is_embedded(sessions: Sessions) -> None:
    pool = sessions.kw["bind"].pool
    held: list[int] = []

    def embed(_: str) -> QueryVector | None:
        held.append(pool.checkedout())
        return None

    with unit_of_work(sessions) as session:
        search_features(session, "river", embed=embed)

    assert held == [0]


@pytest.mark.parametrize("query", ["rivers", "by meaning alone"])
def test_features_of_a_concept_as_a_whole_come_before_those_of_which_it_is_one_sense(
    session: Session, query: str
) -> None:
    sae, _ = make_release(session)
    run = make_run(session, [sae], make_corpus(session, ["text"]))
    labeling = make_labeling(session, sae, run.id)
    embedder = 0
    for index, shares in enumerate([(0.2, 0.8), (0.8, 0.2), (1.0,)]):
        whole = make_label(session, sae, index, "kings / rivers" if index < 2 else "rivers")
        whole.labeling_id = labeling.id
        embedder = make_embedding(session, whole, [1.0, 0.0])
        for ordinal, share in enumerate(shares if index < 2 else ()):
            sense = Sense(
                feature_id=feature_id(sae, index),
                labeling_id=labeling.id,
                ordinal=ordinal,
                share=share,
                keywords=[],
                members=[ordinal],
            )
            session.add(sense)
            session.flush()
            label = make_label(session, sae, index, ("rivers", "kings")[ordinal], sense_id=sense.id)
            label.labeling_id, label.share = labeling.id, share
            make_embedding(session, label, [1.0, 0.1] if ordinal == 0 else [0.0, 1.0])
    session.flush()
    refresh_saes(session, [sae.id])

    hits = find(session, query, toward(embedder, [1.0, 0.1]))

    assert [hit.index for hit in hits] == [2, 1, 0]
    assert "meaning" in hits[0].matched
