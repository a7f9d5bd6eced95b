"""The tools that a steering preset can be exported for, and what each cannot express.

An export refuses what its tool cannot do; it never does something near it instead.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from scopebook.errors import InvalidInputError
from scopebook.steering import OPS, Op


@dataclass(frozen=True, kw_only=True)
class Target:
    """A tool that presets are exported for."""

    name: str
    #: As people call the tool.
    title: str
    #: What it is good for, in a line.
    good_for: str
    #: What is written for it, beside what every export holds.
    files: tuple[str, ...]
    #: Whether the export's `verify.py` can prove on the user's machine that the tool steers.
    verifies: bool
    #: The operations that it can do exactly.
    ops: frozenset[Op] = frozenset({"add"})
    #: Whether it can steer some tokens and not others.
    chooses_tokens: bool = False
    first_layer: int = 0


@dataclass(frozen=True)
class Refusal:
    """Why a preset cannot be exported for a target."""

    #: The id of the feature; None: it is about the whole preset.
    intervention: str | None
    #: One sentence: what, why, and what to do.
    reason: str


#: The longest vector and the greatest strength, either way, that Neuronpedia takes.
NEURONPEDIA_WIDTH: Final = 24_576
NEURONPEDIA_STRENGTH: Final = 300.0

_TARGETS: Final = (
    Target(
        name="transformers",
        title="transformers",
        good_for="every operation and choice of tokens, in Python; the reference",
        files=("preset.safetensors", "steer_hook.py"),
        verifies=True,
        ops=frozenset(OPS),
        chooses_tokens=True,
    ),
    Target(
        name="gguf",
        title="llama.cpp",
        good_for="llama-server, llama-completion and what is built on them; quantised models",
        files=("preset.gguf",),
        verifies=True,
        first_layer=1,
    ),
    Target(
        name="peft",
        title="PEFT",
        good_for="an adapter that loads with from_pretrained, and is switched on and off",
        files=("adapter_config.json", "adapter_model.safetensors"),
        verifies=True,
    ),
    Target(
        name="interp-engine",
        title="interp-engine",
        good_for="the engine behind Neuronpedia: many requests at once, each steered on its own",
        files=("steering.json",),
        verifies=True,
        ops=frozenset({"add", "project"}),
    ),
    Target(
        name="easysteer",
        title="EasySteer",
        good_for="a fork of vLLM that steers: fast serving on GPUs",
        files=("preset.gguf", "steering.json"),
        verifies=False,
        first_layer=1,
    ),
    Target(
        name="lm-eval",
        title="lm-evaluation-harness",
        good_for="benchmarks of the steered model: what steering costs in ability",
        files=("steering.pt",),
        verifies=True,
    ),
    Target(
        name="vllm-lens",
        title="vllm-lens",
        good_for="steering through a plugin of vLLM, by a field of each request",
        files=("steering.json",),
        verifies=False,
    ),
    Target(
        name="neuronpedia",
        title="Neuronpedia",
        good_for="vectors of your own on a Neuronpedia instance that has the model",
        files=("vectors.json",),
        verifies=False,
    ),
    Target(
        name="snippets",
        title="TransformerLens, nnsight, pyvene, SAELens",
        good_for="a few lines for each that load the vectors into your own experiment",
        files=(
            "preset.safetensors",
            "with_transformer_lens.py",
            "with_nnsight.py",
            "with_pyvene.py",
            "with_sae_lens.py",
        ),
        verifies=False,
    ),
)
#: By name, those first that most people should look at first.
TARGETS: Final[Mapping[str, Target]] = {target.name: target for target in _TARGETS}


def find_target(name: str) -> Target:
    """Return a target by its name; raise InvalidInputError for one that there is not."""
    if name not in TARGETS:
        raise InvalidInputError(
            f"There is no export target {name}; choose one of {', '.join(TARGETS)}."
        )
    return TARGETS[name]


def refusals(
    document: Mapping[str, Any], target: str, *, model_type: str | None = None
) -> list[Refusal]:
    """Return why a preset cannot be exported for a target; nothing: it can.

    Only what is switched on counts. `model_type` is that of the model's config; without it, what
    depends on it is refused when the files are written. So is what depends on the length of a sum.

    Raises InvalidInputError for a target that there is not.
    """
    tool = find_target(target)
    switched_on = _switched_on(document)
    if not switched_on:
        return [Refusal(None, "Nothing is switched on in this preset; switch a feature on.")]
    found = [
        Refusal(one["id"], reason)
        for one in switched_on
        for reason in _about_intervention(document, one, tool)
    ]
    return [
        *(Refusal(None, reason) for reason in _about_whole(document, tool, model_type)),
        *found,
    ]


def losses(document: Mapping[str, Any], target: str) -> list[str]:
    """Return what an export would not carry though it can be made, a sentence each.

    Raises InvalidInputError for a target that there is not.
    """
    return list(_losses(document, find_target(target)))


def _switched_on(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [one for one in document["interventions"] if one.get("enabled", True)]


def _layer(document: Mapping[str, Any], one: Mapping[str, Any]) -> int:
    [layer] = [sae["layer"] for sae in document["sae"] if sae["ref"] == one["sae"]]
    return int(layer)


def _strength(document: Mapping[str, Any], one: Mapping[str, Any]) -> float:
    """Return the strength of an intervention's group."""
    groups = {group["name"]: group["strength"] for group in document.get("groups") or ()}
    return float(groups.get(one.get("group"), 1.0))


def _numbers(document: Mapping[str, Any], one: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the absolute numbers of an intervention."""
    yield _strength(document, one)
    if one["op"] == "add":
        yield one["strength"].get("absolute")
    elif one["op"] in ("set", "min_set"):
        yield one["target"].get("absolute")
    elif one["op"] in ("scale", "project"):
        yield one["factor"].get("value")


def _about_intervention(
    document: Mapping[str, Any], one: Mapping[str, Any], tool: Target
) -> Iterator[str]:
    if not all(_is_finite(number) for number in _numbers(document, one)):
        yield (
            f"{one['id']} has a value that is no finite number; give another value, or measure "
            "the feature's maximum and norms again."
        )
    if one["op"] not in tool.ops:
        yield _not_expressible(one, tool)
    layer = _layer(document, one)
    if layer < tool.first_layer:
        yield (
            f"{one['id']} is steered in layer {layer}, and {tool.title} takes vectors from layer "
            f"{tool.first_layer} on; switch it off, or use the target transformers or peft."
        )


def _is_finite(number: Any) -> bool:
    return isinstance(number, int | float) and math.isfinite(number)


def _not_expressible(one: Mapping[str, Any], tool: Target) -> str:
    if one["op"] == "project":
        return (
            f"project of {one['id']} depends on the residual of each token, and {tool.title} adds "
            "the same vector to all; use add with a negative strength, or the target transformers "
            "or interp-engine."
        )
    needs = "that takes the SAE's encoder" if one["op"] != "ablate" else "a mute takes its encoder"
    return (
        f"{one['op']} of {one['id']} depends on how strongly the feature fires, and {needs}, which "
        f"{tool.title} does not run; use add with a negative strength, or the target transformers."
    )


def _about_whole(
    document: Mapping[str, Any], tool: Target, model_type: str | None
) -> Iterator[str]:
    yield from _unequal_projections(document)
    positions = document["positions"]
    if not tool.chooses_tokens:
        if (positions["prompt"], positions["generation"]) != ("all", "all"):
            yield (
                f"This preset steers {_named(positions)}, and {tool.title} steers every token; "
                "steer all tokens, or use the target transformers."
            )
        if positions.get("exclude_special_tokens"):
            yield (
                f"This preset leaves special tokens out, and {tool.title} steers every token; "
                "steer special tokens too, or use the target transformers."
            )
    if tool.name == "peft" and model_type is not None:
        yield from mixture_refused(model_type)
    width = document["model"]["d_model"]
    if tool.name == "neuronpedia" and width > NEURONPEDIA_WIDTH:
        yield (
            f"The model is {width:,} wide, and Neuronpedia takes vectors of at most "
            f"{NEURONPEDIA_WIDTH:,}; use the target interp-engine."
        )


def _named(positions: Mapping[str, Any]) -> str:
    prompt = {"all": "all of the prompt", "last": "the last token of the prompt"}
    written = "what is written after it"
    both = [
        *([prompt[positions["prompt"]]] if positions["prompt"] in prompt else []),
        *([written] if positions["generation"] == "all" else []),
    ]
    return " and ".join(both) + ("" if len(both) == 2 else " only") if both else "no token"


def _unequal_projections(document: Mapping[str, Any]) -> Iterator[str]:
    """Tell of projections of a layer, which are one of a space, that do not leave the same."""
    left: dict[int, tuple[float, str]] = {}
    for one in _switched_on(document):
        if one["op"] != "project" or not all(map(_is_finite, _numbers(document, one))):
            continue
        layer = _layer(document, one)
        stays = 1 + (one["factor"]["value"] - 1) * _strength(document, one)
        before, other = left.setdefault(layer, (stays, one["id"]))
        if before != stays:
            yield (
                f"Projections of layer {layer} leave {before:g} ({other}) and {stays:g} "
                f"({one['id']}), but they are one projection of the space of their directions; "
                "give them one value and groups of one strength."
            )


def mixture_refused(model_type: str) -> list[str]:
    """Return why a model of experts takes no PEFT adapter; nothing for a dense model."""
    if "moe" not in model_type:
        return []
    return [
        f"A PEFT adapter adds its vector in the one down-projection of a layer, and the experts of "
        f"{model_type} have one each; use the target transformers or gguf."
    ]


def strength_refused(layer: int, length: float) -> list[str]:
    """Return why Neuronpedia does not take a vector of this length; nothing if it does."""
    if length <= NEURONPEDIA_STRENGTH:
        return []
    return [
        f"What is added in layer {layer} is {length:.1f} long, and Neuronpedia takes strengths up "
        f"to {NEURONPEDIA_STRENGTH:g}; give smaller values, or use the target interp-engine."
    ]


def _losses(document: Mapping[str, Any], tool: Target) -> Iterator[str]:
    inside = "in preset.json and, as the key steering.preset_json, in preset.gguf"
    kept = inside if "preset.gguf" in tool.files else "in preset.json"
    yield f"Labels, notes and the preset's history are kept {kept}; {tool.title} shows none."
    if document.get("groups"):
        yield "Groups have no slider any more: each change is multiplied by its group's strength."
    switched_on = _switched_on(document)
    off = len(document["interventions"]) - len(switched_on)
    if off:
        yield f"What is switched off ({off}) is kept {kept} only."
    if document.get("tests"):
        yield "Tests are kept in preset.json; verify.py runs the prompts of probe.json."
    layers = [_layer(document, one) for one in switched_on if one["op"] == "add"]
    if tool.name != "transformers" and len(set(layers)) < len(layers):
        yield "Features added in one layer are one sum, and cannot be changed one by one."
    yield from _of_tool(tool, layers)


def _of_tool(tool: Target, layers: Sequence[int]) -> Iterator[str]:
    rounding = "In half precision the sum is rounded by the tool; the app takes it in float32."
    if tool.name == "gguf":
        yield "All requests of a llama-server are steered: a request cannot choose."
    elif tool.name in ("peft", "lm-eval", "snippets"):
        yield rounding
    elif tool.name == "neuronpedia" and len(set(layers)) > 1:
        yield "Each layer is a vector of its own on Neuronpedia; steer with all of them at once."
