"""The export's check of a llama-server, against servers that answer as one does."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.workers.exporters.test_bundle import bundle

Answer = Callable[[dict[str, Any]], list[dict[str, Any]]]


@contextmanager
def server(probe: dict[str, Any], answer: Answer) -> Iterator[str]:
    """Answer each of a probe's prompts with log-probabilities as llama-server tells them."""
    prompts = {tuple(prompt["token_ids"]): prompt for prompt in probe["prompts"]}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert (asked["n_predict"], asked["temperature"]) == (1, 0)
            told = answer(prompts[tuple(asked["prompt"])])
            body = json.dumps({"content": "", "completion_probabilities": told}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    here = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=here.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{here.server_port}"
    finally:
        here.shutdown()
        thread.join()
        here.server_close()


def entry(prompt: dict[str, Any], column: str, *, off: float = 0.0) -> list[dict[str, Any]]:
    """Return what is told of a token, texts that do not tell tokens apart included."""
    ranked = sorted(prompt["top"], key=lambda one: -one[column])
    told = [{"id": one["id"], "token": "�", "logprob": one[column] + off} for one in ranked]
    return [{**told[0], "top_logprobs": told[::2]}]


def checked(folder: Path, address: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "verify.py", "--server", address],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, (done.stdout + done.stderr).strip()


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        (lambda prompt: entry(prompt, "steered", off=1e-4), 0, "STEERS AS MEASURED: "),
        (lambda prompt: entry(prompt, "unsteered"), 1, "Runs UNSTEERED: "),
        (lambda prompt: entry(prompt, "steered", off=0.5), 1, "Steers, but not as measured: "),
        (lambda _prompt: [], 1, "The tool tells of no token: "),
    ],
)
def test_a_server_is_told_from_one_that_lost_its_control_vector(
    answer: Answer, status: int, said: str, tmp_path: Path
) -> None:
    folder = bundle("gguf", tmp_path / "export")
    probe = json.loads((folder / "probe.json").read_text())

    with server(probe, answer) as address:
        found = checked(folder, address)

    assert found[0] == status
    assert found[1].startswith(said)


def test_a_prompt_whose_next_token_ends_inside_a_character_is_left_out(tmp_path: Path) -> None:
    folder = bundle("gguf", tmp_path / "export")
    probe = json.loads((folder / "probe.json").read_text())
    first = probe["prompts"][0]["token_ids"]

    def answer(prompt: dict[str, Any]) -> list[dict[str, Any]]:
        return [] if prompt["token_ids"] == first else entry(prompt, "steered")

    with server(probe, answer) as address:
        assert checked(folder, address)[0] == 0


def test_a_server_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    folder = bundle("gguf", tmp_path / "export")

    status, said = checked(folder, "http://127.0.0.1:9")

    assert status == 1
    assert said.startswith("http://127.0.0.1:9 does not answer as a llama-server")
    assert said.count("\n") == 0
