"""interp-engine, with its backend `eager`, steers by exported files as the app does."""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from interp_engine import load_model, steer
from interp_engine.server.schemas import SteeringWire
from tests.exports.comparing import off, unsteered, verify, wanted
from tests.exports.saved import save_with_tokenizer
from tests.tiny_models import tiny_model
from tests.workers.exporters.making import ADD_AND_MORE, ADDED, TEXTS, preset_of
from tests.workers.exporters.test_bundle import bundle
from tests.workers.exporters.test_transformers import live

from scopebook_workers.exporters import interp_engine
from scopebook_workers.sae.edits import Edit

ENOUGH = 1e-4
PRESETS: dict[str, dict[int, list[Edit]]] = {
    "adds": ADDED,
    "projects and adds": {3: ADD_AND_MORE[3], 0: [Edit(2, "project", 0.0)], 1: ADDED[1]},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_with_tokenizer(tmp_path_factory.mktemp("model"))


def told(model: Any, file: Path) -> torch.Tensor:
    sent = json.loads(file.read_text())
    specs = [SteeringWire.model_validate(one).to_spec(model.d_model) for one in sent]
    with torch.no_grad(), steer(model, specs):
        found: torch.Tensor = model.hf_model(input_ids=torch.tensor(TEXTS[:1])).logits[0]
    return found


@pytest.mark.parametrize("family", ["qwen3", "qwen3_5"])
@pytest.mark.parametrize("name", PRESETS)
def test_it_steers_as_the_app_does(name: str, family: str, tmp_path: Path) -> None:
    folder = save_with_tokenizer(tmp_path / "model", family)
    model = load_model(str(folder), backend="eager", device="cpu", dtype="float32")
    preset = preset_of(tiny_model(family), PRESETS[name])
    interp_engine.write(preset, tmp_path)

    found = told(model, tmp_path / "steering.json")

    difference = off(found, wanted(preset, family=family))
    moved = off(found, unsteered(family=family))
    print(f"interp-engine, {family}, {name}: off by {difference:.1e}; it moves by {moved:.1f}")
    assert difference < ENOUGH
    assert moved > 1
    interp_engine.write(preset_of(tiny_model(family), {2: ADDED[1]}), tmp_path)
    elsewhere = told(model, tmp_path / "steering.json")
    assert off(elsewhere, wanted(preset, family=family)) > 100 * ENOUGH


@contextmanager
def served(folder: Path) -> Iterator[Callable[[str, Any], Any]]:
    """Serve a model; yields what asks the server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--backend", "eager", "--device", "cpu", "--dtype", "float32", "--port", str(port)]
    program = [sys.executable, "-m", "interp_engine.server", "--model", str(folder), *options]
    directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{path}",
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with directly.open(request, timeout=60) as answer:
            return json.load(answer)

    with (folder / "log").open("w") as log:
        server = subprocess.Popen(program, stdout=log, stderr=log)
    try:
        for _ in range(600):
            try:
                ask("/v1/describe")
                break
            except OSError:
                time.sleep(0.2)
        yield ask
    finally:
        server.terminate()
        server.wait()


def test_its_server_writes_what_the_app_writes(folder: Path, tmp_path: Path) -> None:
    preset = preset_of(tiny_model(), PRESETS["projects and adds"])
    interp_engine.write(preset, tmp_path)
    written = list(TEXTS[0])
    for _ in range(12):
        token_ids = torch.tensor([written])
        written.append(int(live(tiny_model(), preset, token_ids, len(written))[0, -1].argmax()))

    with served(folder) as ask:
        asked = {
            "prompt_token_ids": TEXTS[0],
            "max_tokens": 12,
            "temperature": 0,
            "stop_at_eos": False,
            "stream": False,
        }
        plain = ask("/v1/generate", asked)["token_ids"]
        steering = json.loads((tmp_path / "steering.json").read_text())
        found = ask("/v1/generate", {**asked, "steering": steering})["token_ids"]

    print("interp-engine over HTTP: 12 tokens are equal")
    assert found == written[-12:]
    assert found != plain


@pytest.mark.parametrize("name", PRESETS)
def test_its_verify_proves_it(name: str, folder: Path, tmp_path: Path) -> None:
    export = bundle("interp-engine", tmp_path / "export", PRESETS[name])

    status, said = verify(export, "--model", str(folder))

    print(said)
    assert (status, said[:18]) == (0, "STEERS AS MEASURED")
