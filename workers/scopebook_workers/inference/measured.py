"""What steering does to what a model writes: the tests of presets, for several variants at once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scopebook.preset_tests import PresetTest, script_share, text_share
from scopebook.steering import Positions
from scopebook_workers.inference.prompts import Prompt, read_prompts
from scopebook_workers.inference.residents import Resident
from scopebook_workers.inference.running import Wanted, run_rows
from scopebook_workers.inference.steered import (
    SteeredWriting,
    Variant,
    distinct_share,
    divergences,
)
from scopebook_workers.inference.writing import Sampling, show
from scopebook_workers.sae.edits import Edit
from scopebook_workers.sae.weights import SparseAutoencoder

#: By layer, what is edited; nothing: unsteered.
Edits = Mapping[int, Sequence[Edit]]

#: Variants that are written side by side.
_TOGETHER: Final = 16
#: Texts that are kept to be looked at, of each test.
SHOWN: Final = 8


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What tests are run on."""

    resident: Resident
    #: Those of the preset and of the features that tests read.
    saes: Mapping[int, SparseAutoencoder]
    positions: Positions
    neutral: Sequence[NDArray[np.int32]]
    #: Called with each token that is written, so that work can be dropped.
    told: Callable[[], None] = field(default=lambda: None)


@dataclass(frozen=True)
class Measured:
    """What a test measures of each variant, and some of the texts by prompt, one a variant."""

    values: list[float]
    texts: list[tuple[str, list[str]]]


@dataclass(frozen=True)
class _Written:
    """What one variant wrote after a prompt."""

    text: str
    token_ids: list[int]
    whole: Prompt


def measure(
    test: PresetTest, bench: Bench, variants: Sequence[Edits], *, feature: tuple[int, int] | None
) -> Measured:
    """Return what a test measures of each variant.

    Args:
        test: Of the measure `activation`, `feature` is the layer and index that it reads.
        bench: What it is run on.
        variants: They edit the same features by the same operations, or nothing.
        feature: See `test`.
    """
    if test.measure == "divergence":
        found = divergences(bench.resident, bench.saes, variants, bench.neutral, bench.told)
        return Measured(found, [])
    written: list[list[_Written]] = [[] for _ in variants]
    shown: list[tuple[str, list[str]]] = []
    for prompt in test.prompts:
        for sample in range(test.samples):
            of_all = _write(test, bench, prompt, test.seed + sample, variants)
            for rows, one in zip(written, of_all, strict=True):
                rows.append(one)
            if len(shown) < SHOWN:
                shown.append((prompt, [one.text for one in of_all]))
    return Measured([_value(test, bench, rows, feature) for rows in written], shown)


def _write(
    test: PresetTest, bench: Bench, text: str, seed: int, variants: Sequence[Edits]
) -> list[_Written]:
    [prompt] = read_prompts(
        bench.resident, [{"text": text}], names=[f"A prompt of {test.name!r}"], most_tokens=_LONGEST
    )
    found: list[_Written] = []
    for first in range(0, len(variants), _TOGETHER):
        writing = SteeredWriting(
            bench.resident,
            bench.saes,
            [Variant(prompt=prompt, edits=edits) for edits in variants[first : first + _TOGETHER]],
            positions=bench.positions,
            sampling=Sampling(tokens=test.tokens, temperature=test.temperature, seed=seed),
        )
        while not writing.ended:
            bench.told()
            writing.step()
        for row, whole in zip(writing.written, writing.whole(), strict=True):
            token_ids = [one.id for one in row]
            shown = "".join(show(bench.resident, token_ids, ended=True))
            found.append(_Written(shown, token_ids, whole))
    return found


#: Tokens of a prompt of a test.
_LONGEST: Final = 2_048


def _value(
    test: PresetTest, bench: Bench, written: Sequence[_Written], feature: tuple[int, int] | None
) -> float:
    texts = [one.text for one in written]
    if test.measure == "script":
        return script_share(test.of or "", texts)
    if test.measure == "text":
        return text_share(test.of or "", texts)
    if test.measure == "distinct":
        return sum(distinct_share(one.token_ids) for one in written) / len(written)
    assert feature is not None  # `activation` is the one that is left
    return _mean_activation(bench, written, *feature)


def _mean_activation(bench: Bench, written: Sequence[_Written], layer: int, index: int) -> float:
    """Return a feature's mean activation over all that is written, by the unsteered model."""
    wanted = [Wanted(one.whole.token_ids, {layer}) for one in written]
    rows = run_rows(bench.resident.model, {layer: bench.saes[layer]}, wanted)
    total, tokens = 0.0, 0
    for one, row in zip(written, rows, strict=True):
        begun = len(one.whole.token_ids) - len(one.token_ids)
        fired = row[layer]
        ours = (fired.feature == index) & (fired.token >= begun)
        total += float(fired.value[ours].sum())
        tokens += len(one.token_ids)
    return total / max(1, tokens)
