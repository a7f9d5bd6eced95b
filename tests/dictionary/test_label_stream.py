"""The stream of labels: those in force at one moment, never all in memory."""

from sqlalchemy import text

from makers import (
    feature_id,
    make_corpus,
    make_label,
    make_labeling,
    make_release,
    make_run,
    make_score,
)
from scopebook.db.label_tables import Sense
from scopebook.db.sessions import Sessions
from scopebook.label_stream import label_batches, saes_of_stream


def test_the_labels_are_those_of_one_moment_whatever_is_written_meanwhile(
    sessions: Sessions,
) -> None:
    with sessions.begin() as session:
        saes = make_release(session)
        for sae in saes:
            for index in range(3):
                make_label(session, sae, index, f"label {sae.layer} {index}")
        wanted = saes_of_stream(session)

    with sessions.begin() as reading:
        batches = label_batches(reading, wanted, together=2)
        found = next(batches)
        cursors = reading.execute(text("SELECT count(*) FROM pg_cursors")).scalar_one()
        with sessions.begin() as session:
            session.execute(text("UPDATE label SET current = false WHERE text = 'label 2 1'"))
            for sae in saes:
                make_label(session, sae, 9, "later")
        rest = list(batches)

    assert cursors == 1
    assert [len(batch) for batch in rest] == [1, 2, 1]
    found += [line for batch in rest for line in batch]
    assert [line.text for line in found] == [
        f"label {layer} {index}" for layer in (1, 2) for index in range(3)
    ]


def test_a_line_has_the_senses_and_the_scores_of_its_label(sessions: Sessions) -> None:
    with sessions.begin() as session:
        sae, _ = make_release(session)
        run = make_run(session, [sae], make_corpus(session, ["text"]))
        labeling = make_labeling(session, sae, run.id)
        sense = Sense(
            feature_id=feature_id(sae, 3), labeling_id=labeling.id, ordinal=1, share=0.4,
            keywords=[], members=[],
        )  # fmt: skip
        session.add(sense)
        session.flush()
        make_label(session, sae, 3, "the Rhine", sense_id=sense.id)
        whole = make_label(session, sae, 3, "rivers")
        make_label(session, sae, 3, "earlier", current=False)
        session.flush()
        make_score(session, whole, 0.7)
        make_score(session, whole, 0.8, scorer="fuzzing")
        [first, second] = saes_of_stream(session)

    with sessions.begin() as session:
        [lines] = label_batches(session, [first])
    with sessions.begin() as session:
        none = list(label_batches(session, [second]))

    assert [(line.text, line.senses) for line in lines] == [("rivers", []), ("the Rhine", [1])]
    assert [one["scorer"] for one in lines[0].scores] == ["fuzzing", "detection"]
    newest = lines[0].scores[0]
    assert (round(newest["value"], 3), newest["null_value"], newest["n_pos"]) == (0.8, 0.5, 20)
    assert lines[1].scores == []
    assert none == []
