"""What stands in a line of the log, and what never does."""

import io
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError

from scopebook import log_fields, log_setup
from scopebook.db.sessions import sessions_for, unit_of_work
from scopebook.log_fields import logged_as_step, logged_with, note_field, note_process
from scopebook.log_setup import JsonLineFormatter, TextFormatter, set_up_logs
from scopebook.settings import Settings

log = logging.getLogger("scopebook.test")

_TEXT = text("INSERT INTO corpus (name, source) VALUES (:n, '')")

#: Named here, since a traceback tells the line of code that failed.
_VALUES = {"n": "my private text"}

Lines = Callable[[], list[dict[str, object]]]


def listening(formatter: logging.Formatter) -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    yield stream
    log.removeHandler(handler)


@pytest.fixture
def lines() -> Iterator[Lines]:
    listened = listening(JsonLineFormatter())
    stream = next(listened)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    next(listened, None)


@pytest.fixture
def words() -> Iterator[io.StringIO]:
    yield from listening(TextFormatter())


@pytest.fixture(autouse=True)
def _nothing_of_this_process_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_fields._Process, "fields", {})


def test_a_line_is_one_json_object_with_its_fields(lines: Lines) -> None:
    note_process(worker="host:1")
    with logged_with(request_id="r1"):
        note_field("account", 7)
        log.info("Read %s rows\nof %s", 3, "法律", extra={"ms": 4.5})
    log.warning("after")

    first, second = lines()
    assert first["message"] == "Read 3 rows\nof 法律"
    assert (first["level"], first["logger"]) == ("INFO", "scopebook.test")
    assert str(first["timestamp"]).endswith("+00:00")
    own = {name: first[name] for name in ("worker", "request_id", "account", "ms")}
    assert own == {"worker": "host:1", "request_id": "r1", "account": 7, "ms": 4.5}
    assert second["worker"] == "host:1"
    assert "request_id" not in second


def test_what_a_line_says_of_itself_stands_before_what_is_known_around_it(lines: Lines) -> None:
    with logged_with(kind="around"):
        log.info("own", extra={"kind": "own"})

    assert lines()[0]["kind"] == "own"


def test_threads_of_a_step_log_its_fields_and_two_requests_are_told_apart(lines: Lines) -> None:
    with logged_as_step(job=1, step=2, kind="shard.collect"):
        thread = threading.Thread(target=lambda: log.info("from a thread"))
        thread.start()
        thread.join()
    ready, go_on = threading.Event(), threading.Event()

    def other() -> None:
        with logged_with(request_id="other"):
            ready.set()
            go_on.wait(5)
            log.info("other")

    thread = threading.Thread(target=other)
    thread.start()
    with logged_with(request_id="mine"):
        ready.wait(5)
        log.info("mine")
        go_on.set()
        thread.join()

    of_step, *requests = lines()
    assert (of_step["job"], of_step["step"], of_step["kind"]) == (1, 2, "shard.collect")
    assert {line["message"]: line["request_id"] for line in requests} == {
        "mine": "mine",
        "other": "other",
    }


SECRETS = {
    "postgresql+psycopg://scopebook:hunter2@db/x is away": "hunter2",
    "redis://:hunter2@broker:6379/0": "hunter2",
    "sent Authorization: Bearer abcdefghijk.123": "abcdefghijk",
    "the token sb_0123456789abcdef was shown": "0123456789",
    "GET https://llm.example/v1?text=a+private+prompt&key=1": "private",
    "ERROR: duplicate\nDETAIL:  Key (name)=(a private name) already exists.": "private",
}


@pytest.mark.parametrize(("said", "secret"), SECRETS.items())
@pytest.mark.parametrize("as_json", [True, False])
def test_secrets_are_left_out_of_messages_arguments_errors_and_fields(
    said: str, secret: str, as_json: bool
) -> None:
    for stream in listening(JsonLineFormatter() if as_json else TextFormatter()):
        log.info(said)
        log.info("Of an argument: %s", said)
        try:
            raise RuntimeError(said)
        except RuntimeError:
            log.exception("It failed")
        if "\n" not in said:
            with logged_with(note=said):
                log.info("with a field")

        assert "It failed" in stream.getvalue()
        assert secret not in stream.getvalue()


def test_an_error_of_a_statement_tells_no_parameters(
    database_url: str, lines: Lines, words: io.StringIO
) -> None:
    factory = sessions_for(database_url)

    def write_twice() -> None:
        with unit_of_work(factory) as session:
            for _ in range(2):
                session.execute(_TEXT, _VALUES)

    with pytest.raises(IntegrityError) as raised:
        write_twice()
    factory.kw["bind"].dispose()

    log.error("A statement failed", exc_info=raised.value)

    assert "duplicate key" in words.getvalue()
    assert "private" not in words.getvalue()
    assert "private" not in str(lines()[0]["exc_info"])


def test_text_has_its_fields_at_the_end(words: io.StringIO) -> None:
    with logged_with(job=3, step=4):
        log.info("Begun")

    assert words.getvalue().endswith("INFO scopebook.test: Begun [job=3 step=4]\n")


def test_set_up_twice_logs_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_setup, "settings", lambda: Settings(log_format="json"))
    root = logging.getLogger()
    theirs, own, level = logging.NullHandler(), log_setup.LineHandler, root.level
    # A command that another test called in this process may have set them up before.
    monkeypatch.setattr(root, "handlers", [theirs])

    set_up_logs()
    set_up_logs()
    root.setLevel(level)

    assert [type(handler) for handler in root.handlers if handler is not theirs] == [own]
    assert theirs in root.handlers


def test_the_command_line_logs_json_on_stderr_and_answers_on_stdout() -> None:
    code = (
        "import logging; from scopebook import cli; "
        "cli.app = lambda: logging.getLogger('scopebook.x').info('here'); cli.main()"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"SCOPEBOOK_LOG_FORMAT": "json", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == ""
    assert json.loads(done.stderr)["message"] == "here"


def test_parameters_are_hidden_by_every_factory(database_url: str) -> None:
    # The same engine without the option tells them: the test above can fail.
    engine = create_engine(database_url)

    def write_twice() -> None:
        with engine.connect() as connection:
            for _ in range(2):
                connection.execute(_TEXT, _VALUES)

    with pytest.raises(IntegrityError) as told:
        write_twice()
    engine.dispose()

    assert "my private text" in str(told.value)
