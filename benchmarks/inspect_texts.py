"""Time an inspection of the demo model against what nobody can leave out.

usage: python benchmarks/inspect_texts.py [--tokens N] [--rounds N]

Bare is the model up to the last hooked layer and the encoder of every SAE, for one text of so many
tokens. Whole is what an inference worker does with a request: cut the text, run it, find the
sinks, gather what fires and pack it. Both run in turn in one process on one thread, and the table
shows medians of wall milliseconds and of the ratio of each pair. The rows below them tell what
many people at once cost: twenty texts one by one, and in one turn.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from scopebook.activations import pack_activations
from scopebook.demo import bundle_path
from scopebook_workers.inference.prompts import Prompt, read_prompts
from scopebook_workers.inference.residents import Resident, Residents
from scopebook_workers.inference.running import Wanted, gather, run_rows
from scopebook_workers.qwen.capture import capture_rows
from scopebook_workers.sae.encode import active_features
from scopebook_workers.sae.weights import SparseAutoencoder, convert

#: A request may take so many times as long as the bare run.
BOUND = 1.2
WORDS = (
    "The house stands beside the river and 文件系统的命令行参数说明的文档。 Der Benutzer kann die "
    "Datei öffnen; def read(self, name): return self.files[name]\n"
)


def load(folder: Path) -> tuple[Resident, dict[int, SparseAutoencoder]]:
    """Return the demo model and the SAEs of its release."""
    bundle = bundle_path()
    [model] = (bundle / "models").iterdir()
    [release] = (bundle / "releases").iterdir()
    residents = Residents(torch.device("cpu"))
    resident = residents.model(str(model))
    artifacts = {}
    for file in sorted(release.glob("layer*.sae.pt")):
        layer = int(file.name.removeprefix("layer").removesuffix(".sae.pt"))
        target = folder / f"layer{layer}.safetensors"
        artifacts[layer] = str(convert(file, target, layer=layer, k=8, d_sae=1024).path)
    return resident, residents.saes(artifacts)


def text_of(resident: Resident, tokens: int, *, first: int = 0) -> str:
    """Return a text of so many tokens; `first` makes it another one."""
    words = f"{first} " + WORDS * tokens
    [prompt] = read_prompts(resident, [{"text": words}], names=["it"], most_tokens=len(words) * 4)
    return words[: int(prompt.spans[tokens - 1, 1])]


def whole(resident: Resident, saes: dict[int, SparseAutoencoder], texts: list[str]) -> list[bytes]:
    """Do what a worker does with these texts, each a request of its own, in one turn."""
    prompts: list[Prompt] = []
    for text in texts:
        prompts += read_prompts(resident, [{"text": text}], names=["it"], most_tokens=10_000)
    wanted = [Wanted(prompt.token_ids, saes.keys()) for prompt in prompts]
    rows = run_rows(resident.model, saes, wanted)
    return [
        pack_activations(gather([prompt], [row], written=[0], special=resident.special))
        for prompt, row in zip(prompts, rows, strict=True)
    ]


def timed(do: Callable[[], object]) -> float:
    """Return the milliseconds that it takes."""
    begun = time.perf_counter()
    do()
    return 1000 * (time.perf_counter() - begun)


def main() -> int:
    """Print the table; 1 where the bound is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=41)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        resident, saes = load(Path(folder))
    text = text_of(resident, options.tokens)
    [prompt] = read_prompts(resident, [{"text": text}], names=["it"], most_tokens=10_000)
    texts = [text_of(resident, options.tokens, first=number) for number in range(20)]

    def bare() -> None:
        captured = capture_rows(resident.model, list(saes), [prompt.token_ids], [0])
        for layer, sae in saes.items():
            active_features(captured.residuals[layer], sae)

    def one_by_one() -> None:
        for one in texts:
            whole(resident, saes, [one])

    pairs = []
    for _ in range(options.rounds):
        pairs.append((timed(bare), timed(lambda: whole(resident, saes, [text]))))
    many = [
        (timed(one_by_one), timed(lambda: whole(resident, saes, texts)))
        for _ in range(max(3, options.rounds // 8))
    ]
    ratio = statistics.median(after / before for before, after in pairs)
    shared = statistics.median(after / before for before, after in many)
    bare_ms, whole_ms = (statistics.median(column) for column in zip(*pairs, strict=True))
    alone_ms, turn_ms = (statistics.median(column) for column in zip(*many, strict=True))
    tokens = len(prompt.token_ids)
    lines = [
        f"{tokens} tokens, layers {', '.join(map(str, saes))}, {options.rounds} rounds, 1 thread",
        "| | ms | ratio |",
        "|---|---|---|",
        f"| bare forward + encode | {bare_ms:.1f} | |",
        f"| a whole request in the worker | {whole_ms:.1f} | {ratio:.2f} (bound {BOUND}) |",
        f"| 20 requests one by one | {alone_ms:.1f} | |",
        f"| 20 requests in one turn | {turn_ms:.1f} | {shared:.2f} |",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return int(ratio > BOUND)


if __name__ == "__main__":
    sys.exit(main())
