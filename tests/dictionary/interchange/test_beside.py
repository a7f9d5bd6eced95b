"""A dump of a release that is here: labels come in as imports, and rank as what they were."""

from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dictionary.interchange.conftest import Instance
from dumps import TEXTS
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
from scopebook.db.label_tables import Label, LabelChoice, Labeling, LabelScore, Sense
from scopebook.db.sessions import Sessions
from scopebook.db.tables import Corpus, Evidence, Run, Sae
from scopebook.interchange.parquet_in import import_parquet
from scopebook.labelings import settle_labels


def current_of(session: Session, sae: Sae, index: int) -> list[tuple[str, str]]:
    rows = session.execute(
        select(Label.text, Label.source).where(
            Label.feature_id == feature_id(sae, index), Label.current, Label.sense_id.is_(None)
        )
    )
    return [(row.text, row.source) for row in rows]


def first_sae(session: Session) -> Sae:
    return session.scalars(select(Sae).order_by(Sae.layer)).first() or pytest.fail("no SAE")


def collected(factory: Sessions) -> None:
    """Give an instance the same release with a collection of its own, and no labels."""
    with factory.begin() as session:
        saes = make_release(session)
        run = make_run(session, saes, make_corpus(session, ["other text"], name="other"))
        for sae in saes:
            make_evidence(session, run, sae, 0, examples=make_examples([]))


def machine_says(factory: Sessions, source: str, text: str) -> None:
    """Let a labeling of the instance's own word feature 0 of the first layer."""
    with factory.begin() as session:
        sae = first_sae(session)
        labeling = make_labeling(session, sae, sae.current_run_id or 0, source=source)
        label = make_label(session, sae, 0, text, source=source, current=False)
        label.labeling_id = labeling.id
        settle_labels(session, [sae.id])


def test_labels_come_in_as_imports_with_their_author_and_method(
    dump: Path, instance: Instance
) -> None:
    target = instance()
    collected(target)

    report = import_parquet(target, dump)

    assert (report.layers_new, report.layers_known) == ({}, {report.releases[0]: [1, 2]})
    assert report.equal is None
    with target() as session:
        sae = first_sae(session)
        labels = session.scalars(select(Label).where(Label.sae_id == sae.id)).all()
        assert {label.source for label in labels} == {"import"}
        [mine] = [label for label in labels if label.text == "barking dogs"]
        assert (mine.author, mine.method) == ("ada", "test-1")
        assert mine.provenance["import"]["source"] == "person"
        [model] = [label for label in labels if label.text == "sleeping cats"]
        assert (model.method, model.labeling_id, model.sense_id) == ("a-model", None, None)
        assert model.provenance["import"]["in_force"] is True


def test_nothing_but_labels_and_their_scores_comes_in_beside_what_is_here(
    dump: Path, instance: Instance
) -> None:
    target = instance()
    collected(target)

    import_parquet(target, dump)

    with target() as session:
        counted = {
            table: session.scalar(select(func.count()).select_from(table))
            for table in (Run, Evidence, Corpus, Labeling, Sense, LabelScore)
        }
    assert counted == {Run: 1, Evidence: 2, Corpus: 1, Labeling: 0, Sense: 0, LabelScore: 4}


def test_a_models_import_is_in_force_before_keywords_and_behind_a_checked_model(
    dump: Path, instance: Instance
) -> None:
    target = instance()
    collected(target)
    machine_says(target, "keywords", "own keywords")

    import_parquet(target, dump)
    with target() as session:
        before = current_of(session, first_sae(session), 0)
    machine_says(target, "keywords", "newer keywords")
    with target() as session:
        between = current_of(session, first_sae(session), 0)
    machine_says(target, "llm", "own model")
    with target() as session:
        after = current_of(session, first_sae(session), 0)

    assert before == between == [("sleeping cats", "import")]
    assert after == [("own model", "llm")]


def test_an_import_does_not_displace_a_label_that_passed_checks(
    dump: Path, instance: Instance
) -> None:
    target = instance()
    collected(target)
    machine_says(target, "llm", "own model")

    import_parquet(target, dump)

    with target() as session:
        assert current_of(session, first_sae(session), 0) == [("own model", "llm")]


def test_what_a_person_said_here_stays_and_what_one_said_there_goes_before_machines(
    dump: Path, instance: Instance
) -> None:
    target = instance()
    collected(target)
    with target.begin() as session:
        first, second = session.scalars(select(Sae).order_by(Sae.layer))
        make_label(session, first, 1, "mine", source="person")
        labeling = make_labeling(session, second, second.current_run_id or 0, source="llm")
        model = make_label(session, second, 1, "own model", source="llm")
        model.labeling_id = labeling.id

    import_parquet(target, dump)

    with target() as session:
        first, second = session.scalars(select(Sae).order_by(Sae.layer))
        assert current_of(session, first, 1) == [("mine", "person")]
        assert current_of(session, second, 1) == [("barking dogs", "import")]


def test_each_import_in_force_is_a_choice_on_record(dump: Path, instance: Instance) -> None:
    target = instance()
    collected(target)

    import_parquet(target, dump)

    with target() as session:
        in_force = set(session.scalars(select(Label.id).where(Label.current)))
        chosen = session.scalars(select(LabelChoice.label_id)).all()
    assert len(in_force) == 6
    assert sorted(chosen) == sorted(in_force)


def test_a_dump_read_twice_adds_nothing_the_second_time(dump: Path, instance: Instance) -> None:
    target = instance()
    collected(target)
    first = import_parquet(target, dump)

    second = import_parquet(target, dump)

    # Two are the words of a sense that was parted, which are the same for the whole feature.
    assert (first.tables["labels"].written, first.tables["labels"].known) == (17, 2)
    assert second.tables["labels"].known == 19
    assert second.tables["labels"].written == 0
    with target() as session:
        assert session.scalar(select(func.count()).select_from(Label)) == 17


def test_an_instances_own_dump_adds_nothing_to_it(source: Sessions, dump: Path) -> None:
    with source() as session:
        before = session.execute(select(Label.id, Label.current).order_by(Label.id)).all()

    report = import_parquet(source, dump)

    assert (report.tables["labels"].written, report.tables["labels"].known) == (0, 19)
    with source() as session:
        after = session.execute(select(Label.id, Label.current).order_by(Label.id)).all()
    assert after == before


def test_a_layer_that_is_here_without_findings_takes_everything_with_its_origin(
    dump: Path, instance: Instance
) -> None:
    target = instance()
    with target.begin() as session:
        make_release(session, layers=[1])

    report = import_parquet(target, dump)

    assert report.refusals == []
    assert report.layers_known == {}
    with target() as session:
        sae = first_sae(session)
        assert sae.current_run_id is not None
        assert current_of(session, sae, 0) == [("sleeping cats", "llm")]


def test_texts_that_are_here_are_used_and_nobodys_corpus_grows(
    dump: Path, instance: Instance
) -> None:
    same, other = instance(), instance()
    with same.begin() as session:
        make_corpus(session, TEXTS, name="tiny texts")
    with other.begin() as session:
        make_corpus(session, ["something else"], name="tiny texts")

    known, beside = import_parquet(same, dump), import_parquet(other, dump)

    assert known.tables["documents"].known == 6
    assert not [note for note in known.notes if "corpus" in note]
    assert beside.tables["documents"].written == 6
    assert "There is a corpus 'tiny texts' with other texts here" in beside.notes[-1]
    with other() as session:
        names = session.scalars(select(Corpus.name).order_by(Corpus.id)).all()
    assert names[0] == "tiny texts"
    assert names[1].startswith("tiny texts (import ")
