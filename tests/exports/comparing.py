"""What every tool is held against: log-probabilities of the app's own steering."""

import subprocess
import sys
from pathlib import Path

import torch
from tests.tiny_models import tiny_model
from tests.workers.exporters.making import TEXTS
from tests.workers.exporters.test_transformers import live, logits
from torch import Tensor

from scopebook_workers.exporters.compiled import CompiledPreset

VERDICTS = ("STEERS", "Runs", "Steers", "CANNOT", "The preset", "llama.cpp")


def wanted(preset: CompiledPreset, text: int = 0, family: str = "qwen3") -> Tensor:
    """Return the logits of a text's positions as the app steers it."""
    token_ids = torch.tensor([TEXTS[text]])
    return live(tiny_model(family), preset, token_ids, token_ids.shape[1])[0]


def unsteered(text: int = 0, family: str = "qwen3") -> Tensor:
    """Return the logits of a text's positions without steering."""
    return logits(tiny_model(family), torch.tensor([TEXTS[text]]))[0]


def off(found: Tensor, other: Tensor) -> float:
    """Return the largest difference."""
    return float((found - other).abs().max())


def verify(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run an export's verify.py; return its exit status and the last line that it says."""
    done = subprocess.run(
        [sys.executable, "verify.py", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    said = (done.stdout + done.stderr).strip().splitlines()
    return done.returncode, next(
        (line for line in said if line.startswith(VERDICTS)), said[-1] if said else ""
    )
