"""Batch files: the same bytes for the same requests, and every key's end exactly once."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from tests.workers.llm.asking import request

from scopebook.errors import ConflictError, InvalidInputError
from scopebook_workers.llm.batch_files import BatchAnswers, write_batches
from scopebook_workers.llm.chat import ChatAnswer, ChatFailedError


def lines_of(*files: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def good(key: str, text: str = "yes") -> str:
    message = {"role": "assistant", "content": text}
    body = {
        "model": "m",
        "choices": [{"message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 2},
    }
    response = {"status_code": 200, "request_id": "r", "body": body}
    return json.dumps({"id": "b", "custom_id": key, "response": response, "error": None})


def bad(key: str, status: int, message: str = "no") -> str:
    response = {"status_code": status, "body": {"error": {"message": message}}}
    return json.dumps({"custom_id": key, "response": response, "error": None})


def test_a_line_is_what_the_server_would_be_sent_with_its_key(tmp_path: Path) -> None:
    [file] = write_batches([request("ключ 中")], tmp_path, model="m")

    [line] = lines_of(file)
    assert (line["custom_id"], line["method"]) == ("ключ 中", "POST")
    assert line["url"] == "/v1/chat/completions"
    assert line["body"]["model"] == "m"
    assert line["body"]["response_format"]["type"] == "json_schema"
    assert set(line["body"]) <= {
        "model", "messages", "max_tokens", "temperature", "seed", "response_format",
    }  # fmt: skip


def test_the_same_requests_give_the_same_bytes(tmp_path: Path) -> None:
    requests = [request(str(number)) for number in range(5)]

    [first] = write_batches(requests, tmp_path / "a", model="m")
    [again] = write_batches(requests, tmp_path / "b", model="m")

    assert first.read_bytes() == again.read_bytes()
    assert write_batches(requests, tmp_path / "a", model="m") == [first]


def test_files_end_at_their_most_requests_and_bytes(tmp_path: Path) -> None:
    requests = [request(str(number)) for number in range(7)]

    by_count = write_batches(requests, tmp_path / "count", model="m", max_requests=3)
    size = len(by_count[0].read_bytes()) // 3
    by_size = write_batches(requests, tmp_path / "size", model="m", max_bytes=2 * size + 10)

    assert [len(lines_of(file)) for file in by_count] == [3, 3, 1]
    assert [len(lines_of(file)) for file in by_size] == [2, 2, 2, 1]
    assert [line["custom_id"] for line in lines_of(*by_size)] == list("0123456")


def test_what_is_answered_is_not_written_again(tmp_path: Path) -> None:
    requests = [request(key) for key in "abc"]
    output = tmp_path / "output.jsonl"
    output.write_text(f"{good('b')}\n{bad('a', 500)}\n")

    files = write_batches(
        requests, tmp_path / "next", model="m", answered=BatchAnswers([output]).answered()
    )

    assert [line["custom_id"] for line in lines_of(*files)] == ["a", "c"]


def test_nothing_is_left_of_a_batch_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="names two requests"):
        write_batches([request("a"), request("b"), request("a")], tmp_path, model="m")
    with pytest.raises(InvalidInputError, match="shorten it"):
        write_batches([request("a"), request("b" * 999)], tmp_path, model="m", max_bytes=900)

    assert list(tmp_path.iterdir()) == []


def test_batches_of_other_requests_are_not_overwritten(tmp_path: Path) -> None:
    [file] = write_batches([request("a")], tmp_path, model="m")
    before = file.read_bytes()

    with pytest.raises(ConflictError, match="holds other requests"):
        write_batches([request("b")], tmp_path, model="m")

    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_answers_come_once_each_whatever_the_order_of_files_and_lines(tmp_path: Path) -> None:
    lines = [good(str(number), f"text {number}") for number in range(20)]
    lines += [bad(str(number), 500) for number in range(20, 25)]
    seen = []
    for seed in range(3):
        random.Random(seed).shuffle(lines)
        files = [tmp_path / "x.jsonl", tmp_path / "y.jsonl"]
        files[0].write_text("\n".join(lines[:9]) + "\n\n")
        files[1].write_text("\n".join(lines[9:]))
        seen.append([(key, str(vars(end))) for key, end in BatchAnswers(files)])

    assert len(seen[0]) == 25
    assert seen[0] == seen[1] == seen[2]


def test_an_answer_carries_what_the_server_reported(tmp_path: Path) -> None:
    (tmp_path / "o.jsonl").write_text(good("a", "<think>hm</think>yes"))

    [(key, answer)] = BatchAnswers([tmp_path / "o.jsonl"])

    assert isinstance(answer, ChatAnswer)
    assert (key, answer.text, answer.model) == ("a", "yes", "m")
    assert (answer.tokens_in, answer.tokens_out) == (7, 2)


def test_what_is_wrong_is_reported_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "o.jsonl"
    file.write_text(
        f"{good('a')}\nnonsense\n[1]\n{{}}\n{bad('b', 429)}\n{good('b')}\n{good('z')}\n"
    )

    answers = BatchAnswers([file], asked=["a", "b", "c"])

    assert {key: type(end) for key, end in answers} == {"a": ChatAnswer, "b": ChatAnswer}
    problems = answers.problems
    assert [place.split(": ")[0] for place in problems.malformed] == [
        "o.jsonl:2", "o.jsonl:3", "o.jsonl:4",
    ]  # fmt: skip
    assert (problems.duplicates, problems.unknown, problems.missing) == (["b"], ["z"], ["c"])
    assert problems.sentences()[0].startswith("3 lines are no answers: o.jsonl:2")


@pytest.mark.parametrize(
    ("line", "error_class"),
    [
        (bad("a", 429), "rate"),
        (bad("a", 503), "server"),
        (bad("a", 400), "protocol"),
        (bad("a", 400, "content_filter"), "refused"),
        (good("a", " "), "empty"),
        (
            json.dumps({"custom_id": "a", "response": None, "error": {"code": "batch_expired"}}),
            "timeout",
        ),
        (json.dumps({"custom_id": "a", "response": {"status_code": 200, "body": "?"}}), "protocol"),
    ],
)  # fmt: skip
def test_what_is_no_answer_fails_by_its_class(tmp_path: Path, line: str, error_class: str) -> None:
    (tmp_path / "e.jsonl").write_text(line)

    [(_, end)] = BatchAnswers([tmp_path / "e.jsonl"])

    assert isinstance(end, ChatFailedError)
    assert end.error_class == error_class


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"nowhere\.jsonl cannot be read"):
        BatchAnswers([tmp_path / "nowhere.jsonl"])
