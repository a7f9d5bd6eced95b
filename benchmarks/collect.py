"""Time a collection against its bare pipeline: what examples and statistics cost.

usage: python benchmarks/collect.py [--tokens N] [--rounds N] [--device cpu|cuda] [--big]

Bare is what nobody can leave out: the model up to the last hooked layer, the SAE's product and
`torch.topk`, and nothing kept. Whole is what a shard does: the same, with sinks, counts,
histograms, best contexts, samples, windows and top tokens of every feature. Both run in turn in
one process; the table shows medians of processor microseconds per token on the CPU (one thread),
of wall microseconds on a GPU, and the ratio bare / whole.
"""

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from collecting import (
    K,
    big_model,
    contexts_of,
    demo_rows,
    middle_model,
    random_sae,
    tiny_model,
)
from transformers import PreTrainedModel

from scopebook.runs import RunParameters
from scopebook_workers.qwen.capture import capture_rows, cut_batches
from scopebook_workers.sae.blocks import cut_blocks
from scopebook_workers.sae.collect import Collection, Layer, fire
from scopebook_workers.sae.state import FeatureState

PARAMETERS = RunParameters()


@dataclass
class Case:
    """A model, the layers that are hooked, and the width of their SAEs."""

    name: str
    make: Callable[[], PreTrainedModel]
    layers: list[int]
    d_sae: int


CASES = [
    Case("tiny", tiny_model, [3], 4096),
    Case("tiny", tiny_model, [3], 16_384),
    Case("tiny", tiny_model, [3], 32_768),
    Case("tiny", tiny_model, [1, 2, 3], 16_384),
    Case("middle", middle_model, [5], 16_384),
    Case("middle", middle_model, [5], 32_768),
]
BIG = [
    Case("2B-shaped", big_model, [12], 32_768),
    Case("2B-shaped", big_model, [4, 8, 12, 16, 20, 23], 32_768),
    Case("2B-shaped", big_model, list(range(24)), 32_768),
]


class Bench:
    """One case with everything it needs in memory."""

    def __init__(self, case: Case, tokens: int, device: torch.device) -> None:
        self.case, self.device = case, device
        dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
        self.model = case.make().to(device, dtype).requires_grad_(False)
        width = self.model.config.get_text_config().hidden_size
        self.saes = {n: random_sae(case.d_sae, width, device, seed=n + 1) for n in case.layers}
        self.rows = demo_rows(tokens)
        self.contexts = contexts_of(self.rows)
        self.lengths = self.contexts.lengths.tolist()
        self.tokens = sum(self.lengths)
        self.examples = self.example_bytes = self.state_bytes = 0

    def batches(self) -> list[list[int]]:
        """Return the rows of each batch, as a shard cuts them."""
        return [
            [block.start + row for row in rows]
            for block in cut_blocks(self.lengths, PARAMETERS.block_tokens)
            for rows in cut_batches(self.lengths[block.start : block.stop], PARAMETERS.batch_tokens)
        ]

    def forward(self) -> None:
        """Run the model up to the last hooked layer."""
        for rows in self.batches():
            capture_rows(self.model, self.case.layers, self.rows, rows)

    def product(self) -> None:
        """Run the model, and the SAEs' products."""
        self._encoded(lambda pre_acts: None)

    def bare(self) -> None:
        """Run the model, the products and torch's top-k."""
        self._encoded(lambda pre_acts: pre_acts.relu_().topk(K, dim=1))

    def _encoded(self, then: Callable[[torch.Tensor], object]) -> None:
        tile = max(1, 2**24 // self.case.d_sae)
        for rows in self.batches():
            captured = capture_rows(self.model, self.case.layers, self.rows, rows)
            for number, sae in self.saes.items():
                resid = captured.residuals[number]
                for start in range(0, len(resid), tile):
                    x = resid[start : start + tile].float()
                    then(torch.addmm(sae.b_enc, x, sae.w_enc.T))

    def encode(self) -> None:
        """Run the model and our encoding."""
        layers = self._layers()
        for rows in self.batches():
            captured = capture_rows(self.model, self.case.layers, self.rows, rows)
            fire(layers, captured, sink_factor=PARAMETERS.sink_factor)

    def whole(self) -> None:
        """Collect, to the last selection."""
        layers = self._layers()
        collection = Collection(self.model, layers, sink_factor=PARAMETERS.sink_factor)
        for rows in self.batches():
            collection.take(self.contexts, self.rows, rows)
        sizes = [layer.state.nbytes for layer in layers.values()]
        self.examples = sum(len(layer.state.candidates()) for layer in layers.values())
        self.example_bytes = sum(size for size, _ in sizes)
        self.state_bytes = sum(map(sum, sizes))

    def _layers(self) -> dict[int, Layer]:
        return {
            number: Layer(sae, FeatureState.empty(sae.d_sae, tags=1, device=self.device))
            for number, sae in self.saes.items()
        }

    def time(self, part: Callable[[], None]) -> float:
        """Return microseconds per token."""
        clock = time.process_time if self.device.type == "cpu" else time.perf_counter
        self._wait()
        begun = clock()
        part()
        self._wait()
        return (clock() - begun) / self.tokens * 1e6

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def measure(bench: Bench, rounds: int) -> dict[str, float]:
    """Return the median of each part over interleaved rounds."""
    parts = [bench.forward, bench.product, bench.bare, bench.encode, bench.whole]
    times: dict[str, list[float]] = {part.__name__: [] for part in parts}
    ratios = []
    bench.forward()  # the first pass allocates and compiles
    for _ in range(rounds):
        for part in parts:
            times[part.__name__].append(bench.time(part))
        ratios.append(times["bare"][-1] / times["whole"][-1])
    return {name: statistics.median(values) for name, values in times.items()} | {
        "ratio": statistics.median(ratios)
    }


HEADER = (
    "| model | layers | d_sae | forward | product | top-k | **bare** | our encoding | state | "
    "**whole** | **bare / whole** | bytes an example | peak memory |"
)


def line(case: Case, bench: Bench, times: dict[str, float]) -> str:
    """Return the table's row."""
    forward, product, bare = times["forward"], times["product"], times["bare"]
    peak = (
        torch.cuda.max_memory_allocated() / 2**30
        if bench.device.type == "cuda"
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    )
    cells = [
        case.name,
        str(len(case.layers)),
        f"{case.d_sae:,}",
        f"{forward:.1f}",
        f"{product - forward:.1f}",
        f"{bare - product:.1f}",
        f"{bare:.1f}",
        f"{times['encode'] - forward:.1f}",
        f"{times['whole'] - times['encode']:.1f}",
        f"{times['whole']:.1f}",
        f"{times['ratio']:.3f}",
        f"{bench.example_bytes / max(bench.examples, 1):.0f}",
        f"{peak:.2f} GiB",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table, a row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=49_152)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--big", action="store_true", help="the 2B-shaped model; needs a GPU")
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    sys.stdout.write(f"{HEADER}\n|{'---|' * 13}\n")
    for case in BIG if wanted.big else CASES:
        bench = Bench(case, wanted.tokens, torch.device(wanted.device))
        sys.stdout.write(line(case, bench, measure(bench, wanted.rounds)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
