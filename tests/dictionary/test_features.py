"""Features: lists in a stable order, one in full."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from makers import (
    feature_id,
    make_corpus,
    make_evidence,
    make_examples,
    make_label,
    make_labeling,
    make_release,
    make_run,
)
from scopebook.db.tables import Context
from scopebook.errors import InvalidInputError, NotFoundError
from scopebook.feature_page import read_feature, token_text
from scopebook.features import Sort, list_features
from scopebook.labelings import NewSense, NewWording, publish_keywords
from scopebook.release_names import parse_feature_id
from scopebook.search_filters import Filters


def test_features_are_listed_by_index_and_layer(session: Session) -> None:
    make_release(session, d_sae=3)

    first, cursor = list_features(session, limit=4)
    second, end = list_features(session, limit=4, cursor=cursor)

    assert [(feature.layer, feature.index) for feature in first + second] == [
        (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2),
    ]  # fmt: skip
    assert end is None


@pytest.mark.parametrize("sort", ["density", "max"])
def test_pages_by_a_measure_neither_skip_nor_repeat(session: Session, sort: Sort) -> None:
    (sae,) = make_release(session, layers=[1])
    run = make_run(session, [sae], make_corpus(session, ["abcdef"]))
    for index in range(10):
        tied = 0.25 if index < 6 else 0.5
        make_evidence(
            session, run, sae, index, examples=make_examples([]), density=tied, largest=tied
        )

    seen: list[int] = []
    cursor = None
    for _ in range(4):
        features, cursor = list_features(session, sort=sort, limit=3, cursor=cursor)
        seen += [feature.index for feature in features]

    assert seen == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]


def test_a_flag_filters_features(session: Session) -> None:
    (sae,) = make_release(session, layers=[1])
    run = make_run(session, [sae], make_corpus(session, ["abcdef"]))
    make_evidence(session, run, sae, 3, examples=make_examples([]), flags=["dense"])
    make_evidence(session, run, sae, 4, examples=make_examples([]))

    features, _ = list_features(session, Filters(flags=("dense",)))

    assert [feature.index for feature in features] == [3]


def test_a_feature_in_full_tells_everything(session: Session) -> None:
    (sae,) = make_release(session, layers=[1])
    run = make_run(session, [sae], make_corpus(session, ["abcdef"], tag="zh"))
    context_id = session.scalars(select(Context.id)).one()
    make_evidence(session, run, sae, 3, examples=make_examples([context_id], peak=2))
    make_label(session, sae, 3, "an older label", current=False)
    make_label(session, sae, 3, "the letter c")

    found = read_feature(session, parse_feature_id("Tiny-Model/1-res-w1k-l0_8/3"))

    assert found.label is not None
    assert found.label.text == "the letter c"
    assert {label.text for label in found.labels} == {"the letter c", "an older label"}
    assert [(weight.text, weight.value) for weight in found.promoted] == [
        ("the", 2.5),
        ("\\xe4\\xb8", 1.5),
    ]
    assert found.statistics is not None
    assert found.statistics.corpus == "tiny"
    assert sum(found.statistics.histogram.counts) == 5
    assert len(found.statistics.histogram.edges) == len(found.statistics.histogram.counts) + 1
    assert [(tag.tag, tag.lift) for tag in found.statistics.tags] == [("zh", 4.0)]
    assert found.examples[0].tokens[found.examples[0].peak].text == "c"
    assert [neighbour.index for neighbour in found.neighbours] == [4]
    assert found.previous == "Tiny-Model/1-res-w1k-l0_8/2"
    assert found.following == "Tiny-Model/1-res-w1k-l0_8/4"
    assert found.caution == "For research."


def test_examples_say_of_which_sense_they_are_typical_and_what_nobody_saw(
    session: Session,
) -> None:
    (sae,) = make_release(session, layers=[1])
    run = make_run(session, [sae], make_corpus(session, ["abcdef", "ghijkl", "mnopqr", "stuvwx"]))
    contexts = session.scalars(select(Context.id).order_by(Context.id)).all()
    make_evidence(session, run, sae, 3, examples=make_examples(contexts))
    labeling = make_labeling(session, sae, run.id)
    sense = NewSense(
        ordinal=0,
        share=0.75,
        keywords=["letters"],
        members=[0, 1, 2],
        text=None,
        medoid=2,
        representatives=[2, 0],
        silhouette=0.25,
    )
    wording = NewWording(
        feature_id=feature_id(sae, 3),
        example_set="a" * 64,
        text="letters",
        senses=[sense],
        kind="token",
        unassigned=0.25,
        held_out=[3],
    )
    publish_keywords(session, labeling.id, [wording])

    found = read_feature(session, parse_feature_id("Tiny-Model/1-res-w1k-l0_8/3"))

    assert (found.kind, found.unassigned, found.senses[0].silhouette) == ("token", 0.25, 0.25)
    assert [example.typical for example in found.examples] == [1, None, 0, None]
    assert [example.held_out for example in found.examples] == [False, False, False, True]


def test_a_feature_says_where_in_the_corpus_it_fires(session: Session) -> None:
    (sae,) = make_release(session, layers=[1])
    documents = make_corpus(session, [f"text number {i}" for i in range(5)])
    run = make_run(session, [sae], documents)
    contexts = list(session.scalars(select(Context.id).order_by(Context.document_id)))
    evidence = make_evidence(session, run, sae, 3, examples=make_examples([]))
    evidence.first_context_id, evidence.last_context_id = contexts[1], contexts[4]
    evidence.top_tokens_exact = False
    make_evidence(session, run, sae, 4, examples=make_examples([]))

    measured = read_feature(session, parse_feature_id("Tiny-Model/1-res-w1k-l0_8/3")).statistics
    unknown = read_feature(session, parse_feature_id("Tiny-Model/1-res-w1k-l0_8/4")).statistics

    assert measured is not None
    assert measured.first_seen is not None
    assert measured.last_seen is not None
    assert (measured.first_seen.document.name, measured.first_seen.position) == ("doc-1", 0.25)
    assert (measured.last_seen.document.name, measured.last_seen.position) == ("doc-4", 1.0)
    assert not measured.top_tokens_exact
    assert unknown is not None
    assert (unknown.first_seen, unknown.last_seen) == (None, None)
    assert unknown.top_tokens_exact


def test_a_feature_never_collected_says_so(session: Session) -> None:
    make_release(session, layers=[1])

    found = read_feature(session, parse_feature_id("Tiny-Model/1-res-w1k-l0_8/0"))

    assert found.statistics is None
    assert found.examples == []
    assert found.label is None
    assert found.previous is None


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("Tiny-Model/1-res-w1k-l0_8/16", "its SAE has 16 features, numbered 0 to 15"),
        ("Tiny-Model/1-res-w1k-l0_8/1048576", "its SAE has 16 features, numbered 0 to 15"),
        ("Tiny-Model/1-res-w1k-l0_8/99999999999", "its SAE has 16 features, numbered 0 to 15"),
        ("Tiny-Model/3-res-w1k-l0_8/0", "has no SAE 3-res-w1k-l0_8 here; it has 1-res-w1k-l0_8"),
        ("Other/Model/1-res-w1k-l0_8/0", "Other/Model is not registered here; there is Tiny-Model"),
    ],
)
def test_an_unknown_feature_says_which_part_is_unknown(
    session: Session, wanted: str, said: str
) -> None:
    make_release(session)

    with pytest.raises(NotFoundError, match=said):
        read_feature(session, parse_feature_id(wanted, any_index=True))


@pytest.mark.parametrize("wanted", ["", "6159", "model/12/3", "model/12-set/x", "model/12-set/-1"])
def test_what_is_no_id_is_refused(wanted: str) -> None:
    with pytest.raises(InvalidInputError):
        parse_feature_id(wanted)


def test_token_bytes_that_are_no_character_stay_visible() -> None:
    assert token_text("中".encode()) == "中"
    assert token_text(b"\xe4\xb8") == "\\xe4\\xb8"
