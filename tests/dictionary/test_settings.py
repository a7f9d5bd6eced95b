"""Settings that are refused before anything starts, and those that stand in files."""

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from running import run
from scopebook.embedded.programs import environment
from scopebook.errors import InvalidInputError
from scopebook.secret_files import SECRETS
from scopebook.settings import Settings


@pytest.mark.parametrize("sites", ["'none'", "*", "'self' https://*.example.org http://wiki:8080"])
def test_sites_that_may_show_a_card_are_taken(sites: str) -> None:
    assert Settings(embed_sites=sites).embed_sites == sites


@pytest.mark.parametrize("sites", ["", "self", "'self'; script-src *", "'none' *", "wiki\r\nX: 1"])
def test_no_list_of_sites_can_say_anything_else(sites: str) -> None:
    with pytest.raises(ValidationError, match="is no list of sites"):
        Settings(embed_sites=sites)


def test_every_key_may_stand_in_a_file() -> None:
    keys = {
        name
        for name, field in Settings.model_fields.items()
        if "SecretStr" in str(field.annotation)
    }

    assert keys
    assert keys <= set(SECRETS) <= set(Settings.model_fields)


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_read_from_a_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secret"
    file.write_text("  redis://:ge%20heim@host/0 \r\n")
    monkeypatch.setenv(f"SCOPEBOOK_{name.upper()}_FILE", str(file))
    monkeypatch.delenv(f"SCOPEBOOK_{name.upper()}", raising=False)

    held = getattr(Settings(), name)

    if isinstance(held, SecretStr):
        held = held.get_secret_value()
    assert held == "redis://:ge%20heim@host/0"


def test_other_settings_are_not_read_from_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "port").write_text("9000")
    monkeypatch.setenv("SCOPEBOOK_PORT_FILE", str(tmp_path / "port"))
    monkeypatch.delenv("SCOPEBOOK_PORT", raising=False)

    assert Settings().port == 8000


def test_what_is_given_in_code_wins_over_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "url").write_text("postgresql://file")
    monkeypatch.setenv("SCOPEBOOK_DATABASE_URL_FILE", str(tmp_path / "url"))
    monkeypatch.delenv("SCOPEBOOK_DATABASE_URL", raising=False)

    assert Settings(database_url="postgresql://code").database_url == "postgresql://code"


def test_a_file_and_a_value_for_one_setting_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCOPEBOOK_LLM_API_KEY", "geheim")
    monkeypatch.setenv("SCOPEBOOK_LLM_API_KEY_FILE", str(tmp_path / "key"))

    with pytest.raises(InvalidInputError, match="_KEY and SCOPEBOOK_LLM_API_KEY_FILE are both set"):
        Settings()


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b" \n", "must hold one line, the value itself, and holds nothing"),
        (b"geheim\nzwei", "must hold one line, the value itself, and holds several"),
        (b"\xff\xfegeheim", "is no text"),
    ],
    ids=["absent", "empty", "two-lines", "bytes"],
)
def test_a_file_that_cannot_be_used_is_one_sentence(
    held: bytes | None, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "key"
    if held is not None:
        file.write_bytes(held)

    done = run(tmp_path, "jobs", SCOPEBOOK_LLM_API_KEY_FILE=str(file))

    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.strip().splitlines()) == 1
    assert f"SCOPEBOOK_LLM_API_KEY_FILE names {file}" in done.stderr
    assert said in done.stderr
    assert "geheim" not in done.stderr


def test_an_empty_variable_is_an_empty_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OIDC_NEW_ROLE", "LLM_PRICE_IN", "DATABASE_URL", "LLM_API_KEY"):
        monkeypatch.setenv(f"SCOPEBOOK_{name}", "")

    chosen = Settings()

    assert chosen.oidc_new_role is chosen.llm_price_in is chosen.database_url is None
    assert chosen.llm_api_key is None


def test_a_program_gets_the_value_of_a_file_and_not_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text("geheim")
    monkeypatch.setenv("SCOPEBOOK_LLM_API_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.delenv("SCOPEBOOK_LLM_API_KEY", raising=False)
    monkeypatch.setenv("SCOPEBOOK_BROKER_URL_FILE", str(tmp_path / "url"))
    (tmp_path / "url").write_text("redis://elsewhere")
    monkeypatch.delenv("SCOPEBOOK_BROKER_URL", raising=False)

    given = environment(Settings(), "postgresql://here", "redis://here")

    assert given["SCOPEBOOK_LLM_API_KEY"] == "geheim"
    assert given["SCOPEBOOK_BROKER_URL"] == "redis://here"
    assert not [name for name in given if name.startswith("SCOPEBOOK_") and name.endswith("_FILE")]
