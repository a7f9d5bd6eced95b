"""Time steered writing against unsteered writing of the same prompt in the same process.

usage: python -m benchmarks.steer [--tokens N] [--rounds N]

Every row is a text written to its end by what an inference worker writes all variants with: the
prompt read, then a token at a time. What is compared is alone in its batch: one unsteered variant,
one with one feature added, one with one feature ablated (for which the whole SAE is encoded at
each token), and a sweep of eight strengths. All take their turns in each round, in one process on
one thread; the table shows medians of processor milliseconds and the ratios of these medians.

Three models: the demo's; a random one with the proportions of Qwen3-1.7B and its SAE of 32,768
features, four times narrower (an SAE of one layer is 5 % of the model, in Qwen-Scope at most 4 %);
and a random one that is small beside its SAE, where encoding is felt most.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from benchmarks.inspect_texts import load, text_of
from transformers import Qwen3Config, Qwen3ForCausalLM

from scopebook.steering import Positions
from scopebook_workers.inference.prompts import Prompt, read_prompts
from scopebook_workers.inference.residents import Resident
from scopebook_workers.inference.steered import SteeredWriting, Variant
from scopebook_workers.inference.writing import Sampling
from scopebook_workers.sae.edits import Edit
from scopebook_workers.sae.weights import SparseAutoencoder

#: Steered writing may take so many times as long as unsteered: an added feature with any model, an
#: ablated one where the SAE is no larger beside the model than those of Qwen-Scope are.
BOUND = 1.1
#: And a sweep of eight strengths so many times as long as one.
BOUND_OF_SWEEP = 2.5
#: The demo writes a text in a third of a second, of which a short disturbance is a large part.
_TIMES_OF_DEMO = 4
STRENGTHS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)
FEATURE = 7
PROMPT_TOKENS = 40

Setting = tuple[str, Resident, dict[int, SparseAutoencoder], int]


def demo(folder: Path) -> Setting:
    """Return the demo model with an SAE of one layer."""
    resident, saes = load(folder)
    layer = min(saes)
    return "demo", _never_ending(resident), saes, layer


def drawn(like: Resident, *, layers: int, d_sae: int, d_model: int = 512) -> Setting:
    """Return a random Qwen3 that reads the tokens of `like`, with a random SAE in the middle."""
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(like.pieces),
        hidden_size=d_model,
        intermediate_size=3 * d_model,
        num_hidden_layers=layers,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=64,
        initializer_range=0.05,
    )
    resident = Resident(
        path=Path("random"),
        model=Qwen3ForCausalLM(config).eval(),
        tokenizer=like.tokenizer,
        pieces=like.pieces,
        special=like.special,
    )
    sae = SparseAutoencoder(
        w_enc=torch.randn(d_sae, d_model) / d_model**0.5,
        b_enc=torch.zeros(d_sae),
        w_dec=torch.randn(d_sae, d_model) / d_model**0.5,
        b_dec=torch.zeros(d_model),
        k=50,
    )
    name = f"random, {layers} layers of {d_model}, SAE of {d_sae:,}"
    return name, _never_ending(resident), {layers // 2: sae}, layers // 2


def _never_ending(resident: Resident) -> Resident:
    """Let no token end a text, so that all are equally long."""
    generation = resident.model.generation_config
    assert generation is not None
    generation.eos_token_id = [-1]
    return resident


def write(
    setting: Setting, prompt: Prompt, edits: Sequence[Edit | None], sampling: Sampling
) -> float:
    """Write a text for each edit; None: unsteered. Return processor milliseconds."""
    _, resident, saes, layer = setting
    variants = [Variant(prompt=prompt, edits={layer: [edit]} if edit else {}) for edit in edits]
    begun = time.process_time()
    writing = SteeredWriting(resident, saes, variants, positions=Positions(), sampling=sampling)
    while not writing.ended:
        writing.step()
    return 1000 * (time.process_time() - begun)


def measure(setting: Setting, *, tokens: int, rounds: int) -> dict[str, float]:
    """Return the median of each kind of writing; each round asks them in another order."""
    resident = setting[1]
    text = text_of(resident, PROMPT_TOKENS)
    [prompt] = read_prompts(resident, [{"text": text}], names=["it"], most_tokens=1_000)
    sampling = Sampling(tokens=tokens, temperature=0.8, seed=1)
    kinds: dict[str, list[Edit | None]] = {
        "unsteered": [None],
        "one feature added": [Edit(FEATURE, "add", 1.0)],
        "one feature ablated": [Edit(FEATURE, "ablate")],
        "eight strengths": [Edit(FEATURE, "add", 1.0, strength) for strength in STRENGTHS],
    }
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    order = random.Random(0)
    for round_ in range(rounds + 1):
        # What runs before leaves the caches as they are: nothing may always follow the same.
        for kind in order.sample(list(kinds), len(kinds)):
            took = write(setting, prompt, kinds[kind], sampling)
            if round_:  # the first warms up
                times[kind].append(took)
    return {kind: statistics.median(took) for kind, took in times.items()}


def main() -> int:
    """Print the table; 1 where a bound is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=24)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        first = demo(Path(folder))
    sys.stdout.write(
        f"{PROMPT_TOKENS} tokens read, {options.tokens} written, {options.rounds} rounds "
        f"(of the demo {_TIMES_OF_DEMO} times as many), 1 thread\n"
        "| model | written | ms | ratio |\n|---|---|---|---|\n"
    )
    missed = False
    as_qwen = drawn(first[1], layers=28, d_sae=8_192)
    small = drawn(first[1], layers=8, d_sae=16_384)
    for setting in (first, as_qwen, small):
        bounded = setting is not small
        rounds = options.rounds * (_TIMES_OF_DEMO if setting is first else 1)
        took = measure(setting, tokens=options.tokens, rounds=rounds)
        plain, added, ablated, swept = took.values()
        ratios = {
            "unsteered": "",
            "one feature added": f"{added / plain:.2f} (bound {BOUND})",
            "one feature ablated": f"{ablated / plain:.2f}" + f" (bound {BOUND})" * bounded,
            "eight strengths": f"{swept / added:.2f} of one (bound {BOUND_OF_SWEEP})",
        }
        for kind, ratio in ratios.items():
            sys.stdout.write(f"| {setting[0]} | {kind} | {took[kind]:.1f} | {ratio} |\n")
        missed |= added / plain > BOUND or swept / added > BOUND_OF_SWEEP
        missed |= bounded and ablated / plain > BOUND
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
