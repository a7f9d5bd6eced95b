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
#: Writes Chinese at half of the residual's norm.
PUSHED = f"{MODEL}/1-res-w1k-l0_8/632"
#: The worker imports torch and loads the model when it is first asked.
FIRST_MS = 600_000


def _asked(page: Page, path: str, body: dict[str, Any]) -> Any:
    data = body if "interventions" in body else {"model": MODEL, **body}
    answer = page.request.post(path, data=data, headers=OWN, timeout=FIRST_MS)
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


def test_a_chinese_feature_makes_the_model_go_on_in_chinese(page: Page, instance: Running) -> None:
    """By a feature that the demo's own evaluation names; see its report."""
    found = [
        _asked(
            page,
            "/api/steer",
            {
                "text": prompt,
                "interventions": [
                    {"feature": PUSHED, "op": "add", "value": 0.5, "unit": "resid_norm"}
                ],
                "go_on": {"tokens": 30, "temperature": 0.8, "seed": seed},
            },
        )["variants"]
        for prompt in ("The house stands beside the river", "And it came to pass that")
        for seed in (1, 2, 3)
    ]
    told = run(
        instance.data_dir,
        *("steer", "The house stands beside the river", "--add", f"{PUSHED}=0.5"),
        *("--unit", "resid_norm", "--go-on", "30", "--temperature", "0.8", "--seed", "1", "--json"),
    )

    unsteered, pushed = (
        [_is_chinese(one[place]["text"][one[place]["begun"] :]) for one in found]
        for place in (0, 1)
    )
    assert unsteered.count(True) == 0
    assert pushed.count(True) >= 4, [one[1]["text"] for one in found]
    assert told.returncode == 0, told.stderr
    texts = [variant["text"] for variant in json.loads(told.stdout)["variants"]]
    assert texts == [variant["text"] for variant in found[0]]


def test_a_mistake_is_one_sentence_and_an_exit_code(instance: Running) -> None:
    empty = run(instance.data_dir, "inspect", MODEL, "")
    chat = run(instance.data_dir, "inspect", MODEL, "hello", "--chat")
    layer = run(instance.data_dir, "compare", MODEL, "a b", "c d", "--layers", "0")

    assert (empty.returncode, "The text is empty" in empty.stderr) == (2, True)
    assert (chat.returncode, "has no chat template" in chat.stderr) == (2, True)
    assert (layer.returncode, "Layer 0 is not registered" in layer.stderr) == (2, True)
