"""The prompt workbench without a page: by the API and by the command line, on the demo."""

import json
from typing import Any

from playwright.sync_api import Page

from running import Running, run

MODEL = "Scopebook-Demo-4M-Base"
RELEASE = f"SAE-Res-{MODEL}-W1K-L0_8"
SWITCHES = "The house stands beside the river and 文件系统的命令行参数说明的文档。"
STAYS = "The house stands beside the river and the file system has commands for the documents."
OWN = {"X-Scopebook": "1"}
#: The worker imports torch and loads the model when it is first asked.
FIRST_MS = 600_000


def _asked(page: Page, path: str, body: dict[str, Any]) -> Any:
    answer = page.request.post(path, data={"model": MODEL, **body}, headers=OWN, timeout=FIRST_MS)
    assert answer.ok, answer.text()
    return answer.json()


def _is_chinese(text: str) -> bool:
    return any("一" <= character <= "鿿" for character in text)


def test_a_switch_to_chinese_shows_in_what_fires_by_api_and_command_line(
    page: Page, instance: Running
) -> None:
    seen = _asked(page, "/api/inspect?sort=total&limit=20", {"text": SWITCHES})

    labels = [seen["features"][firing["feature"]]["label"] or "" for firing in seen["firings"]]
    chinese = next(
        firing
        for firing, label in zip(seen["firings"], labels, strict=True)
        if label.startswith("Chinese text")
    )
    lit = [seen["pieces"][seen["tokens"][token]["piece"]] for token in chinese["tokens"]]
    assert lit
    assert all(_is_chinese(piece) or piece == "。" for piece in lit)

    told = run(instance.data_dir, "inspect", MODEL, SWITCHES, "--sort", "total", "--json")
    assert told.returncode == 0, told.stderr
    first = json.loads(told.stdout)["features"][0]
    assert first["id"] == seen["features"][seen["firings"][0]["feature"]]["id"]
    assert first["activations"] == seen["firings"][0]["activations"]


def test_what_differs_from_the_english_text_is_chinese_by_api_and_command_line(
    page: Page, instance: Running
) -> None:
    body = {"a": [{"text": STAYS}], "b": [{"text": SWITCHES}]}
    seen = _asked(page, "/api/compare?leave_out=prefix&limit=3", body)
    told = run(instance.data_dir, "compare", MODEL, STAYS, SWITCHES, "--limit", "3", "--json")

    labels = [seen["features"][one["feature"]]["label"] for one in seen["differences"]]
    assert any(label.startswith("Chinese text") for label in labels), labels
    assert told.returncode == 0, told.stderr
    assert [one["label"] for one in json.loads(told.stdout)["differences"]] == labels


def test_a_mistake_is_one_sentence_and_an_exit_code(instance: Running) -> None:
    empty = run(instance.data_dir, "inspect", MODEL, "")
    chat = run(instance.data_dir, "inspect", MODEL, "hello", "--chat")
    layer = run(instance.data_dir, "compare", MODEL, "a b", "c d", "--layers", "0")

    assert (empty.returncode, "The text is empty" in empty.stderr) == (2, True)
    assert (chat.returncode, "has no chat template" in chat.stderr) == (2, True)
    assert (layer.returncode, "Layer 0 is not registered" in layer.stderr) == (2, True)
