"""What people wait for, from the queue to the answer, with a real model and a real database."""

from collections.abc import Sequence

import numpy as np
import pytest
from sqlalchemy import select, text, update
from tests.people import make_account
from tests.tiny_collections import LAYERS, ask_for_collection, do_all_steps
from tests.workers.inference.conftest import Asking

from scopebook import inference_queue, inferences
from scopebook.accounts import Actor, actor_of
from scopebook.activations import Activations, unpack_activations
from scopebook.db.inference_tables import Inference
from scopebook.db.sessions import unit_of_work
from scopebook.db.tables import FEATURE_BITS, Document, Evidence, Sae
from scopebook.errors import ConflictError, InvalidInputError, UnavailableError
from scopebook.inference_queue import tidy_inferences
from scopebook.packing import ExampleSet, unpack_examples
from scopebook.settings import settings, use_settings
from scopebook_workers import process
from scopebook_workers.inference import works
from scopebook_workers.inference.running import Wanted
from scopebook_workers.inference.service import Service

TEXTS = [
    "the cat sat on the mat",
    "中文 中国 🎉🎉 the cat",
    "der Hund und die Katze " * 4,
    *(f"the dog number {number} ran to the mat {number}" for number in range(17)),
]


def values_of(found: Activations, layer: int) -> dict[tuple[int, int], float]:
    of_layer = found.layers[layer]
    pairs = zip(of_layer.token.tolist(), of_layer.feature.tolist(), strict=True)
    return dict(zip(pairs, of_layer.value.tolist(), strict=True))


def assert_same(one: Activations, other: Activations) -> None:
    """Hold that both have the same tokens and, but for rounding, the same activations."""
    assert one.token_ids.tolist() == other.token_ids.tolist()
    for layer in LAYERS:
        first, second = values_of(one, layer), values_of(other, layer)
        assert first.keys() == second.keys()
        wanted = [second[key] for key in first]
        np.testing.assert_allclose(list(first.values()), wanted, rtol=1e-4, atol=1e-5)


@pytest.fixture
def people(asking: Asking) -> list[Actor]:
    with unit_of_work(asking.sessions) as session:
        return [
            actor_of(make_account(session, f"person-{number}"), "login") for number in range(20)
        ]


def test_a_text_fires_what_a_collection_keeps_of_it(asking: Asking) -> None:
    ask_for_collection(asking.sessions, left=64, right=64)
    do_all_steps()
    with unit_of_work(asking.sessions) as session:
        [words] = session.scalars(select(Document.text))
        layer_of = {sae.id: sae.layer for sae in session.scalars(select(Sae))}
        rows = session.scalars(select(Evidence).where(Evidence.count > 0)).all()
    collected: dict[tuple[int, int, int], float] = {}
    for row in rows:
        layer, index = layer_of[row.feature_id >> FEATURE_BITS], row.feature_id % 2**FEATURE_BITS
        collected |= _tokens_of(unpack_examples(row.examples), layer, index)

    found = asking.run(words)

    live = {
        (layer, token, feature): value
        for layer in LAYERS
        for (token, feature), value in values_of(found, layer).items()
        if found.usable(layer)[token]
    }
    assert len(live) > 20
    assert live == pytest.approx(collected, rel=1e-3)


def _tokens_of(examples: ExampleSet, layer: int, index: int) -> dict[tuple[int, int, int], float]:
    positions, values = examples.activations(0)
    return {
        (layer, position, index): value
        for position, value in zip(positions.tolist(), values.tolist(), strict=True)
    }


def test_twenty_at_once_get_their_own_as_if_they_were_alone(
    asking: Asking, people: list[Actor]
) -> None:
    alone = [asking.run(words) for words in TEXTS]

    asked = [asking.ask(words, by=person) for words, person in zip(TEXTS, people, strict=True)]
    asking.work()

    with unit_of_work(asking.sessions) as session:
        for one, person, inference_id in zip(alone, people, asked, strict=True):
            packed = inferences.answer_of(session, inference_id, account_id=person.account_id)
            assert_same(one, unpack_activations(packed))


def test_only_the_layers_asked_for_are_answered_though_others_share_the_batch(
    asking: Asking,
) -> None:
    both, one = asking.ask(TEXTS[0]), asking.ask(TEXTS[0], layers=[3])
    asking.work()

    assert asking.answer(one).layers.keys() == {3}
    whole = asking.answer(both)
    assert whole.layers.keys() == set(LAYERS)
    assert values_of(asking.answer(one), 3) == values_of(whole, 3)


def test_a_long_text_of_one_does_not_keep_others_waiting_for_all_of_it(
    asking: Asking, people: list[Actor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(works, "_TURN_TOKENS", 40)
    turns: list[list[int]] = []
    run_turn = works.run_turn

    def noted(chosen: Sequence[tuple[works.Work, Wanted]]) -> None:
        turns.append([work.id for work, _ in chosen])
        run_turn(chosen)

    monkeypatch.setattr(works, "run_turn", noted)
    first = asking.ask(TEXTS[2] * 3, by=people[0])
    others = [asking.ask("the cat", by=person) for person in people[1:4]]

    asking.work()

    assert turns[0] == [first]
    assert turns[1] == others


def test_what_is_cancelled_is_not_answered(asking: Asking) -> None:
    asked = asking.ask("the cat")
    with unit_of_work(asking.sessions) as session:
        inferences.cancel(session, asked, account_id=asking.account_id)

    asking.work()

    assert asking.state(asked).state == "cancelled"
    with pytest.raises(ConflictError, match="was cancelled"):
        asking.answer(asked)


def test_nobody_sees_what_another_has_asked(asking: Asking, people: list[Actor]) -> None:
    asked = asking.ask("the cat", by=people[0])

    with pytest.raises(Exception, match=f"You have no request {asked}"):
        asking.state(asked)


def test_everybodys_first_comes_before_anybodys_second(asking: Asking, people: list[Actor]) -> None:
    mine = [asking.ask("the cat", by=people[0]) for _ in range(3)]
    theirs = asking.ask("the cat", by=people[1])

    with unit_of_work(asking.sessions) as session:
        places = [
            inferences.read_inference(session, one, account_id=person.account_id).ahead
            for one, person in [*((one, people[0]) for one in mine), (theirs, people[1])]
        ]
        taken = [one.id for one in inference_queue.take(session, worker="w", limit=9).asked]

    assert places == [0, 2, 3, 1]
    assert taken == [mine[0], theirs, *mine[1:]]


def test_who_has_too_many_waiting_is_told_to_wait(asking: Asking) -> None:
    use_settings(settings().model_copy(update={"inference_waiting": 2}))
    asking.ask("one"), asking.ask("two")

    with pytest.raises(Exception, match="You have 2 requests waiting for the model already"):
        asking.ask("three")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("", "The text is empty"),
        ("a\0b", r"The text is no plain text \(holds a NUL character\)"),
        ("\ud83d", "The text is no plain text"),
        ("x" * 1_000_001, "The text has 1,000,001 characters"),
    ],
)
def test_what_is_no_text_is_refused_before_it_is_queued(
    asking: Asking, words: str, sentence: str
) -> None:
    with pytest.raises(InvalidInputError, match=sentence):
        asking.ask(words)


def test_a_text_of_too_many_tokens_is_refused_and_the_others_go_on(asking: Asking) -> None:
    use_settings(settings().model_copy(update={"inference_tokens": 8}))
    long, short = asking.ask("zq " * 20), asking.ask("the cat")

    asking.work()

    assert asking.state(short).state == "done"
    with pytest.raises(InvalidInputError, match=r"The text has \d+ tokens and 8 are run live"):
        asking.answer(long)


def test_a_layer_without_sae_is_named(asking: Asking) -> None:
    with pytest.raises(Exception, match=r"Layer 2 is not registered .* there is 1, 3"):
        asking.ask("the cat", layers=[2])


def test_what_a_dead_worker_held_is_done_by_the_next(asking: Asking) -> None:
    asked = asking.ask("the cat")
    with unit_of_work(asking.sessions) as session:
        assert inference_queue.take(session, worker="dead", limit=1).asked
        session.execute(update(Inference).values(lease_until=text("now() - interval '1 s'")))

    with unit_of_work(asking.sessions) as session:
        assert tidy_inferences(session)
    asking.work()

    assert asking.state(asked).state == "done"


def test_what_kills_its_workers_is_given_up(asking: Asking) -> None:
    asked = asking.ask("the cat")
    for _ in range(inference_queue.MOST_ATTEMPTS):
        with unit_of_work(asking.sessions) as session:
            assert inference_queue.take(session, worker="dead", limit=1).asked
            session.execute(update(Inference).values(lease_until=text("now() - interval '1 s'")))
        with unit_of_work(asking.sessions) as session:
            tidy_inferences(session)

    with pytest.raises(UnavailableError, match="The worker died 3 times"):
        asking.answer(asked)


def test_a_late_worker_does_not_write_over_its_successor(asking: Asking) -> None:
    asked = asking.ask("the cat")
    with unit_of_work(asking.sessions) as session:
        inference_queue.take(session, worker="late", limit=1)
        session.execute(update(Inference).values(state="queued", lease_until=None))
        inference_queue.take(session, worker="next", limit=1)
        inference_queue.note_answer(session, asked, b"", worker="late")

    assert asking.state(asked).state == "loading"


def test_what_is_past_its_deadline_ends_with_a_sentence(asking: Asking) -> None:
    asked = asking.ask("the cat")
    with unit_of_work(asking.sessions) as session:
        session.execute(update(Inference).values(deadline=text("now()")))

    with unit_of_work(asking.sessions) as session:
        tidy_inferences(session)

    with pytest.raises(UnavailableError, match="has not answered in time"):
        asking.answer(asked)


def test_a_worker_that_stops_gives_back_what_it_has_not_done(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asking.ask("the cat")
    stopping = iter([False, True])
    monkeypatch.setattr(process, "stopping", lambda: next(stopping))
    monkeypatch.setattr(Service, "_turn", lambda _: None)

    asking.work()

    assert asking.state(asked).state == "queued"


def test_requests_are_forgotten_within_the_hour(asking: Asking) -> None:
    asked = asking.ask("the cat")
    with unit_of_work(asking.sessions) as session:
        session.execute(update(Inference).values(created_at=text("now() - interval '61 min'")))

    with unit_of_work(asking.sessions) as session:
        tidy_inferences(session)

    with pytest.raises(Exception, match=f"You have no request {asked}"):
        asking.state(asked)
