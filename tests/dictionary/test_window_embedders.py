from pathlib import Path

import pytest
from pydantic import SecretStr

from scopebook.errors import InvalidInputError
from scopebook.settings import Settings
from scopebook.window_embedders import AskedEmbedder, asked_embedder, key_for, on_this_machine

URL = "http://localhost:8080/v1"


@pytest.mark.parametrize(
    ("name", "runs_here", "is_server"),
    [
        ("terms", False, False),
        ("residual", True, False),
        ("all-MiniLM-L6-v2", True, False),
        ("Qwen/Qwen3-Embedding-0.6B", True, False),
        ("/models/encoder", True, False),
        (URL, False, True),
    ],
)
def test_a_name_says_what_gives_the_vectors(name: str, runs_here: bool, is_server: bool) -> None:
    asked = asked_embedder(name)

    assert (asked.runs_here, asked.is_server) == (runs_here, is_server)
    assert (asked.is_terms, asked.is_residual) == (name == "terms", name == "residual")
    assert AskedEmbedder(**asked.parameters().get("asked_embedder", {})) == asked


@pytest.mark.parametrize("address", [URL, f"{URL}/", f"{URL}/embeddings", f" {URL}/embeddings/ "])
def test_one_server_has_one_address(address: str) -> None:
    assert asked_embedder(address, "m") == AskedEmbedder(name=URL, model="m")


@pytest.mark.parametrize(
    ("name", "model", "said"),
    [
        ("", None, "is no embedder"),
        ("some model", None, "is no embedder"),
        ("a/b/c", None, "is no embedder"),
        ("terms", "m", "is no server's address"),
        ("ftp://localhost/v1", None, "cannot be read"),
        ("http://:80/v1", None, "cannot be read"),
        ("http://localhost:99999/v1", None, "cannot be read"),
        ("http://me:s3cret@localhost/v1", None, "must hold no password"),
        ("http://localhost/v1?key=s3cret", None, "must hold no password"),
    ],
)
def test_what_is_no_embedder_is_refused(name: str, model: str | None, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said) as refused:
        asked_embedder(name, model)

    assert "s3cret" not in str(refused.value)


def test_a_folder_is_named_by_its_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "encoder").mkdir()
    monkeypatch.chdir(tmp_path)

    assert on_this_machine("encoder") == str(tmp_path / "encoder")
    assert on_this_machine("./encoder") == str(tmp_path / "encoder")
    assert on_this_machine("all-MiniLM-L6-v2") == "all-MiniLM-L6-v2"
    assert on_this_machine(URL) == URL


def test_a_key_is_for_the_server_it_is_meant_for_alone() -> None:
    settings = Settings(
        window_embedder_url=f"{URL}/",
        window_embedder_api_key=SecretStr("for-windows"),
        embeddings_url="https://labels.example/v1",
        embeddings_api_key=SecretStr("for-labels"),
        llm_endpoint="https://words.example/v1",
        llm_api_key=SecretStr("for-words"),
    )

    keys = [
        key_for(address, settings)
        for address in (
            URL,
            "https://labels.example/v1",
            "https://words.example/v1",
            "https://elsewhere.example/v1",
            f"{URL}x",
        )
    ]

    assert [key and key.get_secret_value() for key in keys] == [
        "for-windows",
        "for-labels",
        None,
        None,
        None,
    ]
