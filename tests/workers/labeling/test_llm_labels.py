import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from tests.workers.labeling.materials import firing_on, material_of

from scopebook.errors import UnavailableError
from scopebook_workers.labeling.llm_labels import Wording, word, wording_of
from scopebook_workers.llm.chat import ChatAnswer, ChatFailedError, ChatRequest

MATERIAL = material_of([[firing_on("the river rose", "river")]])
GOOD = json.dumps(
    {
        "senses": [
            {
                "clusters": [0],
                "evidence": "",
                "label": "Rivers",
                "description": "",
                "kind": "topic",
                "confidence": 1,
            }
        ],
        "abstain": False,
    }
)


@dataclass
class Script:
    """A language model that says what it was given, turn by turn."""

    turns: Sequence[str | Exception]
    heard: list[ChatRequest] = field(default_factory=list)
    model: str = "scripted"
    endpoint: str = "http://nowhere"

    async def ask(self, request: ChatRequest) -> ChatAnswer:
        self.heard.append(request)
        turn = self.turns[len(self.heard) - 1]
        if isinstance(turn, Exception):
            raise turn
        return ChatAnswer(
            text=turn, model="scripted-1", finish_reason="stop", tokens_in=100, tokens_out=7
        )


def asked(*turns: str | Exception) -> tuple[Wording, Script]:
    script = Script(turns)
    return asyncio.run(word(script, "a", MATERIAL)), script


def test_a_good_answer_is_taken_at_once_with_what_it_took() -> None:
    wording, script = asked(GOOD)

    assert wording.status == "ok"
    assert [sense.label for sense in wording.senses] == ["Rivers"]
    assert (wording.model_reported, wording.tokens_in, wording.tokens_out) == ("scripted-1", 100, 7)
    assert (wording.shown, wording.raw, wording.attempts) == ((0,), GOOD, 1)
    assert len(wording.prompt_sha256) == 32
    assert len(script.heard) == 1


def test_an_answer_that_cannot_stand_is_asked_for_once_more_with_the_reason() -> None:
    wording, script = asked(GOOD.replace("Rivers", "**Rivers**"), GOOD)

    assert wording.status == "ok"
    assert (wording.tokens_in, wording.attempts) == (200, 2)
    last = script.heard[1].messages
    assert [message.role for message in last] == ["system", "user", "assistant", "user"]
    assert "has markup" in last[-1].content
    assert "**Rivers**" in wording.raw


def test_a_second_bad_answer_fails_and_keeps_what_was_said() -> None:
    wording, _ = asked("nonsense", "more nonsense")

    assert wording.status == "failed"
    assert wording.reason == "The answer holds no JSON object."
    assert wording.raw == "nonsense\n---\nmore nonsense"
    assert wording.senses == ()


@pytest.mark.parametrize(
    ("error_class", "status"), [("timeout", "failed"), ("refused", "refused"), ("empty", "failed")]
)
def test_a_request_without_an_answer_ends_as_what_it_is(error_class: str, status: str) -> None:
    wording, _ = asked(ChatFailedError(error_class, "no answer", attempts=5))  # type: ignore[arg-type]

    assert (wording.status, wording.error_class, wording.attempts) == (status, error_class, 5)


def test_what_no_request_would_survive_is_raised() -> None:
    with pytest.raises(UnavailableError):
        asked(UnavailableError("The key is wrong."))


def test_an_answer_of_a_batch_file_is_read_alike_and_not_asked_for_again() -> None:
    good = wording_of("a", MATERIAL, ChatAnswer(text=GOOD))
    bad = wording_of("a", MATERIAL, ChatAnswer(text="nonsense"))
    none = wording_of("a", MATERIAL, ChatFailedError("length", "cut off"))

    assert [one.status for one in (good, bad, none)] == ["ok", "failed", "failed"]
    assert good.senses[0].label == "Rivers"
