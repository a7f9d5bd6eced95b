"""What the labeler hands to whoever words a feature."""

from dataclasses import replace
from functools import cache

import pytest
from tests.workers.labeling.planted import fire, topic_passages

from scopebook_workers.labeling.evidence import FeatureEvidence
from scopebook_workers.labeling.keyword_labels import KeywordLabeler
from scopebook_workers.labeling.material import Material
from scopebook_workers.labeling.sampling import EXPLAIN, HELD_OUT

NAMES = ("ab", "cd", "ef", "gh", "ij", "kl")


@cache
def labeler() -> KeywordLabeler:
    return KeywordLabeler(
        fire(topic_passages(name, 60, share=0.4, seed=i)) for i, name in enumerate(NAMES)
    )


@cache
def union() -> FeatureEvidence:
    first, second = (
        topic_passages(name, 60, share=0.4, seed=50 + i) for i, name in enumerate(NAMES[:2])
    )
    return fire([*first, *second])


@cache
def material() -> Material:
    found = labeler().material(union())
    assert isinstance(found, Material)
    return found


def test_explaining_and_held_out_examples_share_no_document() -> None:
    found = material()

    def documents(positions: list[int]) -> set[int]:
        return {found.firings[i].passage.document_hash for i in positions}

    explained = documents([i for cluster in found.clusters for i in cluster.members])
    assert 0 < len(found.held_out) <= HELD_OUT
    assert not explained & documents(list(found.held_out))


def test_a_cluster_shows_members_only_its_medoid_first() -> None:
    for cluster in material().clusters:
        assert set(cluster.representatives) <= set(cluster.members)
        assert cluster.representatives[0] == cluster.medoid
        assert len(cluster.representatives) <= 8


def test_members_stand_strongest_first() -> None:
    found = material()

    for cluster in found.clusters:
        peaks = [float(found.firings[i].activations.max()) for i in cluster.members]
        assert peaks == sorted(peaks, reverse=True)


def test_shares_and_what_is_in_no_sense_make_one() -> None:
    found = material()

    assert sum(cluster.share for cluster in found.clusters) + found.unassigned == pytest.approx(1)
    assert sum(len(cluster.members) for cluster in found.clusters) <= EXPLAIN


def test_a_held_out_example_goes_to_the_sense_of_its_topic() -> None:
    found = material()

    assert len(found.clusters) == 2
    for cluster in found.clusters:
        [topic] = {keyword[:2] for keyword in cluster.keywords[:3]}
        assert {
            found.firings[i].passage.text.count(f" {topic}") > 10 for i in cluster.held_out
        } == {True}
    assert sorted(i for cluster in found.clusters for i in cluster.held_out) == sorted(
        found.held_out
    )


def test_an_only_sense_has_no_silhouette_and_two_have_good_ones() -> None:
    one = labeler().material(fire(topic_passages("kl", 60, share=0.4, seed=70)))

    assert isinstance(one, Material)
    assert [cluster.silhouette for cluster in one.clusters] == [None]
    assert all((cluster.silhouette or 0) > 0.3 for cluster in material().clusters)


def test_an_ineligible_feature_has_a_reason_and_keywords_all_the_same() -> None:
    few = fire(topic_passages("cd", 12, share=0.4, seed=80))

    study = labeler().study(few)

    assert study.material == "few_documents"
    assert study.words is not None
    assert study.words.senses[0].members == list(range(12))


def test_wording_and_material_speak_of_the_same_senses() -> None:
    study = labeler().study(union())

    assert study.words is not None
    assert isinstance(study.material, Material)
    assert [sorted(cluster.members) for cluster in study.material.clusters] == [
        sense.members for sense in study.words.senses
    ]
    assert study.words == labeler().word(union())


def test_what_is_held_out_changes_no_word() -> None:
    held_out = set(material().held_out)
    strange = topic_passages("zz", 1, share=1.0, seed=90)[0]
    # The hash, which decides on the side, stays; only what is read there is another text.
    changed = FeatureEvidence(
        firings=[
            replace(
                firing,
                passage=replace(
                    strange,
                    id=firing.passage.id + 10**6,
                    document_hash=firing.passage.document_hash,
                    group=firing.passage.group,
                ),
            )
            if i in held_out
            else firing
            for i, firing in enumerate(union().firings)
        ]
    )

    assert labeler().word(changed) == labeler().word(union())
