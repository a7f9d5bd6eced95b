"""The command line's refusals: one sentence, the right exit code, no traceback."""

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.exc import DataError

from running import run
from scopebook import cli


@pytest.mark.parametrize(
    ("variables", "code", "said"),
    [
        ({"SCOPEBOOK_PORT": "abc"}, 2, "SCOPEBOOK_PORT is not valid"),
        ({"SCOPEBOOK_DEVICE": "tpu"}, 2, "SCOPEBOOK_DEVICE is not valid"),
        (
            {
                "SCOPEBOOK_DATABASE_URL": "postgresql+psycopg://x:secret@127.0.0.1:1/x",
                "SCOPEBOOK_BROKER_URL": "redis://127.0.0.1:1",
            },
            1,
            "The database does not answer",
        ),
    ],
    ids=["no-number", "unknown-device", "database-down"],
)
def test_what_cannot_work_is_one_sentence(
    tmp_path: Path, variables: dict[str, str], code: int, said: str
) -> None:
    done = run(tmp_path, "jobs", "--json", **variables)

    assert (done.returncode, done.stdout) == (code, "")
    assert len(done.stderr.strip().splitlines()) == 1
    assert said in done.stderr
    assert "secret" not in done.stderr


def test_a_command_imports_no_other() -> None:
    code = (
        "import sys; from typer.main import get_group; from scopebook.cli import app\n"
        "get_group(app).get_command(None, 'fingerprint')\n"
        "print(*(name for name in sys.modules if name.startswith('scopebook.commands.')))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["scopebook.commands.fingerprint"]


def test_numbers_and_text_that_the_database_refuses_are_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> None:
        raise DataError("SELECT", {}, Exception("out of range"))

    monkeypatch.setattr(cli, "app", refuse)

    with pytest.raises(SystemExit) as end:
        cli.main()

    assert end.value.code == 2
    assert "a number that the dictionary cannot hold" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--scorers", "taste"), "'taste' is no scorer; name one or more of embedding, detection"),
        (("--source", "person"), "'person' is no source whose labels can be scored"),
        (("--llm", "judge"), "A language model needs an address and a name"),
        (("--endpoint", "http://a:secret@host/v1", "--llm", "judge"), "must hold no password"),
    ],
    ids=["scorer", "source", "address", "password"],
)
def test_a_score_that_cannot_be_made_is_refused_before_anything_starts(
    tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    done = run(tmp_path, "score", "some-release", *options, "--json")

    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.strip().splitlines()) == 1
    assert said in done.stderr
    assert "secret" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_judge_of_the_settings_is_asked_where_no_other_is_named(tmp_path: Path) -> None:
    done = run(tmp_path, "score", "some-release", SCOPEBOOK_JUDGE_MODEL="judge")

    assert done.returncode == 2
    assert "A language model needs an address and a name; give --endpoint URL" in done.stderr
