"""What each target refuses, and what it loses."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
from tests.workers.exporters.making import ADD_AND_MORE, ADDED, document_of

from scopebook.errors import InvalidInputError
from scopebook.export_targets import (
    TARGETS,
    find_target,
    losses,
    mixture_refused,
    refusals,
    strength_refused,
)
from scopebook.steering import OPS, Positions
from scopebook_workers.sae.edits import Edit

CONFIG = SimpleNamespace(model_type="qwen3", num_hidden_layers=4, hidden_size=32)
ADDERS = [name for name in TARGETS if TARGETS[name].ops == {"add"}]


def document(edits: Any = None, **more: Any) -> dict[str, Any]:
    return document_of(CONFIG, ADDED if edits is None else edits, **more)


def reasons(of: dict[str, Any], target: str, model_type: str | None = None) -> str:
    return " ".join(one.reason for one in refusals(of, target, model_type=model_type))


@pytest.mark.parametrize("target", TARGETS)
def test_a_preset_that_adds_everywhere_can_be_exported_for_every_target(target: str) -> None:
    assert refusals(document(), target, model_type="qwen3") == []


def test_targets_are_in_the_order_of_their_use() -> None:
    assert list(TARGETS) == [
        *("transformers", "gguf", "peft", "interp-engine", "easysteer"),
        *("lm-eval", "vllm-lens", "neuronpedia", "snippets"),
    ]
    assert [name for name in TARGETS if not TARGETS[name].verifies] == [
        *("easysteer", "vllm-lens", "neuronpedia", "snippets")
    ]


@pytest.mark.parametrize("op", sorted({*OPS} - {"add"}))
@pytest.mark.parametrize("target", ADDERS)
def test_what_depends_on_the_residual_is_no_vector(target: str, op: Any) -> None:
    [refusal] = refusals(document({2: [Edit(7, op, 0.5), Edit(8, "add", 1.0)]}), target)

    assert refusal.intervention == "Tiny-Qwen3/2-res-64-l0_8/7"
    assert refusal.reason.startswith(f"{op} of Tiny-Qwen3/2-res-64-l0_8/7 depends on ")
    assert "use add with a negative strength, or the target transformers" in refusal.reason


def test_transformers_takes_everything_and_interp_engine_projections_too() -> None:
    every = document(
        ADD_AND_MORE | {0: [Edit(1, "add", 1.0)]},
        positions=Positions(prompt="last", written=False, special=False),
    )

    assert refusals(every, "transformers", model_type="qwen3_5_moe_text") == []
    projected = document({2: [Edit(7, "project", 0.0), Edit(8, "add", 1.0)]})
    assert refusals(projected, "interp-engine") == []
    assert "ablate of " in reasons(document({2: [Edit(7, "ablate")]}), "interp-engine")


@pytest.mark.parametrize(
    ("positions", "said"),
    [
        (Positions(prompt="last"), "the last token of the prompt and what is written after it,"),
        (Positions(prompt="none"), "steers what is written after it only,"),
        (Positions(written=False), "steers all of the prompt only,"),
        (Positions(special=False), "leaves special tokens out"),
    ],
)
@pytest.mark.parametrize("target", [name for name in TARGETS if name != "transformers"])
def test_tokens_cannot_be_chosen(target: str, positions: Positions, said: str) -> None:
    [refusal] = refusals(document(positions=positions), target)

    assert refusal.intervention is None
    assert said in refusal.reason
    assert "or use the target transformers." in refusal.reason


@pytest.mark.parametrize("target", TARGETS)
def test_layer_0_is_refused_where_control_vectors_are_loaded(target: str) -> None:
    said = reasons(document({0: [Edit(1, "add", 1.0)]}), target)

    if target in ("gguf", "easysteer"):
        assert "/1 is steered in layer 0, and " in said
        assert "the target transformers or peft" in said
    else:
        assert said == ""


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_a_value_that_is_no_number_is_refused(target: str, value: Any) -> None:
    of = document({2: [Edit(7, "add", 1.0)]})
    of["interventions"][0]["strength"]["absolute"] = value

    assert "/7 has a value that is no finite number" in reasons(of, target)


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_switched_off_does_not_count_and_nothing_is_no_export(target: str) -> None:
    of = document({0: [Edit(1, "ablate")], 2: [Edit(7, "add", 1.0)]})
    of["interventions"][0]["enabled"] = False
    assert refusals(of, target) == []

    of["interventions"][1]["enabled"] = False

    assert reasons(of, target) == "Nothing is switched on in this preset; switch a feature on."


@pytest.mark.parametrize("target", TARGETS)
def test_projections_of_a_layer_must_leave_the_same(target: str) -> None:
    of = document({2: [Edit(7, "project", 0.0), Edit(8, "project", 0.0, 0.5)]})

    assert "Projections of layer 2 leave 0 (" in reasons(of, target)
    equal = document({2: [Edit(7, "project", 0.5), Edit(8, "project", 0.0, 0.5)]})
    assert "Projections" not in reasons(equal, target)


def test_a_mixture_of_experts_takes_no_adapter() -> None:
    assert "the experts of qwen3_moe have one each" in reasons(document(), "peft", "qwen3_moe")
    assert reasons(document(), "peft") == ""
    assert reasons(document(), "gguf", "qwen3_moe") == ""
    assert mixture_refused("qwen3") == []


def test_neuronpedia_has_limits() -> None:
    wide = document()
    wide["model"]["d_model"] = 24_577

    assert "The model is 24,577 wide" in reasons(wide, "neuronpedia")
    assert strength_refused(2, 300.0) == []
    assert "layer 2 is 300.1 long" in strength_refused(2, 300.1)[0]


def test_a_target_that_is_not_there_is_refused_with_those_that_are() -> None:
    for ask in (find_target, lambda name: refusals({}, name), lambda name: losses({}, name)):
        with pytest.raises(
            InvalidInputError, match=r"no export target vllm; .* transformers, gguf"
        ):
            ask("vllm")


def test_losses_are_told_as_they_are() -> None:
    of = document({2: [Edit(7, "add", 1.0, 0.5), Edit(8, "add", 1.0)], 3: [Edit(9, "add", 1.0)]})
    of["interventions"].append({**of["interventions"][0], "feature": 70, "enabled": False})
    of["tests"] = [{"prompt": "A text"}]

    said = "\n".join(losses(of, "neuronpedia"))

    for part in (
        "Labels, notes and the preset's history are kept in preset.json; Neuronpedia shows none.",
        "Groups have no slider any more",
        "What is switched off (1) is kept in preset.json only.",
        "Tests are kept in preset.json",
        "Features added in one layer are one sum",
        "Each layer is a vector of its own",
    ):
        assert part in said
    assert "the key steering.preset_json, in preset.gguf" in losses(of, "gguf")[0]
    bare = document({2: [Edit(7, "add", 1.0)]})
    assert len(losses(bare, "transformers")) == 1


@pytest.mark.parametrize("target", TARGETS)
def test_every_reason_and_loss_is_one_sentence(target: str) -> None:
    edits = {0: [Edit(n, op, 0.5) for n, op in enumerate(OPS)], 1: [Edit(1, "add", math.inf)]}
    of = document(edits, positions=Positions(prompt="none", special=False))

    for said in [*(one.reason for one in refusals(of, target)), *losses(of, target)]:
        assert said.endswith(".")
        assert ". " not in said
