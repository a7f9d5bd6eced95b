"""What presets do to the demo model: written by the app's own steering, judged by its own tests.

The figures stand in the report of the bundle (`muting`, `steering`): margins are wide enough that
other seeds do not cross them.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

import scopebook_demo
from scopebook.preset_tests import PresetTest
from scopebook.steering import Positions
from scopebook_workers.inference.measured import Bench, Edits, measure
from scopebook_workers.inference.residents import Residents
from scopebook_workers.sae.edits import Edit
from scopebook_workers.sae.weights import convert, read_converted

BUNDLE = Path(scopebook_demo.__file__).parent / "bundle"
MODEL = BUNDLE / "models" / "Scopebook-Demo-4M-Base"
LAYER = 1
ENGLISH = ("In this section", "You can use the", "To install the package", "If you want to")
CHINESE = ("这是一个", "如果你", "在这个", "我们可以", "系统中", "使用")
#: English that has turned Chinese, and goes on so.
SWITCHING = tuple(f"To install the package, {text}" for text in CHINESE)


@pytest.fixture(scope="module")
def evaluation() -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads((BUNDLE / "evaluation.json").read_text())["layers"][
        str(LAYER)
    ]
    return found


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    [folder] = (BUNDLE / "releases").iterdir()
    into = tmp_path_factory.mktemp("saes") / "layer.safetensors"
    sae = convert(folder / f"layer{LAYER}.sae.pt", into, layer=LAYER, k=8, d_sae=1024)
    return Bench(
        resident=Residents(torch.device("cpu")).model(str(MODEL)),
        saes={LAYER: read_converted(sae.path)},
        positions=Positions(),
        neutral=[],
    )


def chinese_share(bench: Bench, prompts: tuple[str, ...], *variants: Edits) -> list[float]:
    test = PresetTest(
        name="Chinese",
        prompts=prompts,
        measure="script",
        of="Han",
        expect="below",
        value=0.05,
        samples=1,
        tokens=30,
        temperature=0.8,
    )
    return measure(test, bench, variants, feature=None).values


def test_amplifying_the_chinese_feature_turns_english_prompts_chinese(
    bench: Bench, evaluation: Mapping[str, Any]
) -> None:
    feature = evaluation["steering"]["Chinese"]["feature"]
    length = float(bench.saes[LAYER].w_dec[feature].norm())
    half = 0.5 * evaluation["mean_residual_norm"] / length

    unsteered, steered = chinese_share(bench, ENGLISH, {}, {LAYER: [Edit(feature, "add", half)]})

    assert unsteered < 0.05
    assert steered > 0.4


def test_muting_the_group_keeps_chinese_prompts_from_going_on_so_and_one_feature_does_not(
    bench: Bench, evaluation: Mapping[str, Any]
) -> None:
    group = evaluation["muting"]["group"]["features"]
    muted = [Edit(feature, "ablate") for feature in group]
    # Rows of a batch edit the same features: the others with strength 0.
    one = [Edit(feature, "ablate", strength=float(feature == group[0])) for feature in group]

    unsteered, alone, together = chinese_share(bench, CHINESE, {}, {LAYER: one}, {LAYER: muted})

    assert unsteered > 0.4
    assert alone > 0.3
    assert together < 0.15


def test_a_text_that_switches_goes_on_in_english_with_the_group_muted(
    bench: Bench, evaluation: Mapping[str, Any]
) -> None:
    group = evaluation["muting"]["group"]["features"]

    unsteered, muted = chinese_share(
        bench, SWITCHING, {}, {LAYER: [Edit(feature, "ablate") for feature in group]}
    )

    assert unsteered > 0.3
    assert muted < 0.15
