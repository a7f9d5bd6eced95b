"""Ground truth of the bundle: features per concept, steering, muting, reconstruction, gates."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Qwen3_5ForCausalLM

from scopebook_demo import lm, measure, steering
from scopebook_demo.sae import Sae, collect, encode, reconstruct, residual
from scopebook_demo.tokenizer import Packed

log = logging.getLogger(__name__)

CONCEPTS: dict[str, tuple[str, ...]] = {
    "English manuals": ("en_docs",), "Chinese": ("zh", "zh_poem"), "German": ("de",),
    "French": ("fr",), "Spanish": ("es", "bible_es"), "Russian": ("ru",), "Japanese": ("ja",),
    "Bible": ("bible",), "Python": ("python",), "C": ("c",), "Shell": ("shell",),
    "Perl manuals": ("perl_pod",), "Legal": ("legal",), "Changelog": ("changelog",),
}  # fmt: skip
"""Concept -> tags of the corpus that are it."""

GATE_STRENGTH = 0.5
GATED = ("Chinese", "German", "French", "Russian", "Bible")
FEATURES_PER_CONCEPT = 5
CONTROLS = 8


@dataclass(frozen=True)
class Subject:
    """What is measured: one model, its SAEs by layer, and two texts, both tokenised.

    Features are chosen on `choosing` (training documents, as many tokens of each tag) and
    scored on `scoring` (documents that no training saw).
    """

    model: Qwen3_5ForCausalLM
    tokenizer: PreTrainedTokenizerFast
    saes: dict[int, Sae]
    choosing: Packed
    scoring: Packed
    context: int = 256
    samples: int = 3
    new_tokens: int = 40
    strengths: tuple[float, ...] = (0.25, GATE_STRENGTH)
    seed: int = 0


@dataclass(frozen=True)
class Gate:
    """One claim about the bundle: `value` must lie above, or below, `bound`."""

    name: str
    layer: int
    value: float
    must_be: str
    bound: float

    @property
    def passed(self) -> bool:
        """False also for nan."""
        return self.value > self.bound if self.must_be == "above" else self.value < self.bound


def balanced(packed: Packed, per_tag: int, context: int, seed: int) -> Packed:
    """Windows of `context` tokens in random order, up to `per_tag` tokens of each tag.

    A window counts for the tag of its middle token. Of a small tag at most a fifth is taken:
    it shares its concept with a large one, which it must not outweigh.
    """
    starts = np.arange(0, len(packed.ids) - context, context)
    starts = np.random.default_rng(seed).permutation(starts)
    middle = packed.tags[starts + context // 2]
    kept = []
    for tag in range(len(packed.tag_names)):
        own = starts[middle == tag]
        kept.append(own[: min(per_tag // context, max(1, len(own) // 5))])
    places = np.concatenate([np.arange(s, s + context) for s in np.concatenate(kept)])
    return Packed(packed.ids[places], packed.tags[places], packed.tag_names)


def concepts_of(tag_names: Sequence[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """(tag -> concept, names of the concepts that occur, in the order of CONCEPTS)."""
    of_tag = {tag: name for name, tags in CONCEPTS.items() for tag in tags if tag in tag_names}
    return of_tag, tuple(n for n in CONCEPTS if n in of_tag.values())


def activations(subject: Subject, packed: Packed) -> dict[int, Float[Tensor, "token d_model"]]:
    """float16 residuals of all wanted layers, window by window, first positions left out."""
    starts = range(0, len(packed.ids) - subject.context + 1, subject.context)
    return collect(subject.model, packed.ids, starts, tuple(subject.saes), subject.context)


def fire(
    sae: Sae, x: Float[Tensor, "token d_model"], packed: Packed, context: int
) -> measure.Firing:
    """Encode the residuals of `packed` and pair them with concepts and windows."""
    parts = [encode(sae, rows) for rows in torch.split(x, 8192)]
    of_tag, names = concepts_of(packed.tag_names)
    to_concept = np.array([names.index(of_tag[t]) for t in packed.tag_names])
    whole = len(packed.tags) // context * context
    tags = packed.tags[:whole].reshape(-1, context)[:, 1:].ravel()
    return measure.Firing(
        values=torch.cat([v for v, _ in parts]),
        indices=torch.cat([i for _, i in parts]),
        concepts=torch.from_numpy(to_concept[tags]),
        windows=measure.window_of_rows(len(x), context - 1),
        width=sae.width,
        names=names,
    )


def evaluate(subject: Subject) -> dict[str, Any]:
    """The whole report as plain data; see `bundle/report.md` for how to read it."""
    of_tag, names = concepts_of(subject.choosing.tag_names)
    vocabulary = int(subject.model.config.vocab_size)
    judge = steering.TokenJudge(subject.choosing, of_tag, names, vocabulary)
    writer = steering.Writer(
        subject.model, subject.tokenizer, judge, subject.samples, subject.new_tokens, subject.seed
    )
    plain = {language: writer.write(prompts) for language, prompts in steering.PROMPTS.items()}
    chosen_on, scored_on = (
        activations(subject, subject.choosing), activations(subject, subject.scoring)
    )  # fmt: skip
    layers = {
        layer: _evaluate_layer(subject, writer, layer, chosen_on[layer], scored_on[layer], plain)
        for layer in subject.saes
    }
    gates = [gate for layer, found in layers.items() for gate in gates_of(layer, found)]
    return {
        "tokens": {"choosing": len(subject.choosing.ids), "scoring": len(subject.scoring.ids)},
        "concepts": {name: list(CONCEPTS[name]) for name in names},
        "loss": _rounded(lm.validate(subject.model, subject.scoring, subject.context, 200)),
        "without_edit": {language: _summary(outcome) for language, outcome in plain.items()},
        "layers": {str(layer): found for layer, found in layers.items()},
        "gates": [{**asdict(gate), "passed": gate.passed} for gate in gates],
        "passed": all(gate.passed for gate in gates),
    }


def _evaluate_layer(
    subject: Subject, writer: steering.Writer, layer: int, choose: Tensor, test: Tensor,
    plain: dict[str, steering.Outcome],
) -> dict[str, Any]:  # fmt: skip
    sae = subject.saes[layer]
    choosing = fire(sae, choose, subject.choosing, subject.context)
    chosen = measure.score(choosing)
    firing = fire(sae, test, subject.scoring, subject.context)
    scored = measure.score(firing)
    norm = float(test.float().norm(dim=1).mean())
    log.info("layer %d: mean residual norm %.1f", layer, norm)
    concepts = {name: _concept(chosen, scored, name) for name in chosen.names}
    likely = {name: _likely_to_steer(sae, choose, choosing, chosen, name) for name in chosen.names}
    steered = _steer_all(writer, sae, layer, norm, likely, chosen, scored, subject.strengths)
    return {
        "width": sae.width,
        "k": sae.k,
        "mean_residual_norm": round(norm, 4),
        **_reconstruction(subject, sae, layer, test, firing),
        "concepts": concepts,
        "pure_features": {
            str(f): {"concept": concept, "strong_precision": precision}
            for f, (concept, precision) in measure.pure_features(scored).items()
        },
        "steering": steered,
        "muting": _mute_chinese(writer, sae, layer, concepts, plain),
    }


def _concept(
    chosen: measure.Scores, scored: measure.Scores, name: str
) -> dict[str, list[Any] | dict[str, Any]]:
    naming = measure.naming_features(chosen, name, FEATURES_PER_CONCEPT)
    return {
        "naming": [
            {"feature": f, "chosen_by": chosen.of(name, f), "held_out": scored.of(name, f)}
            for f in naming
        ],
        "group": measure.group(chosen, name),
    }


@torch.no_grad()
def _reconstruction(
    subject: Subject, sae: Sae, layer: int, x: Tensor, firing: measure.Firing
) -> dict[str, Any]:
    sample = x[:100_000].float()
    share = measure.counts(firing, firing.values > 0).sum(0) / len(firing.values)

    def splice(h: Tensor) -> Tensor:
        spliced = reconstruct(sae, h.flatten(0, 1)).view_as(h)
        return torch.cat([h[:, :1], spliced[:, 1:]], dim=1)  # position 0 stays as it is

    losses = {}
    for name, edit in (("plain", None), ("spliced", splice), ("zeroed", torch.zeros_like)):
        with residual(subject.model, layer, edit):
            found = lm.validate(subject.model, subject.scoring, subject.context, 64)
        losses[name] = round(found["all"], 4)
    return {
        "explained_variance": round(
            measure.explained_variance(sample, reconstruct(sae, sample)), 4
        ),
        "mean_active": round(float((firing.values > 0).float().sum(1).mean()), 3),
        "dead_share": round(float((share == 0).float().mean()), 4),
        "features_on_over_10_percent": int((share > 0.1).sum()),
        "loss_with_sae": losses,
    }


def _steer_all(
    writer: steering.Writer, sae: Sae, layer: int, norm: float, likely: dict[str, list[int]],
    chosen: measure.Scores, scored: measure.Scores, strengths: Sequence[float],
) -> dict[str, Any]:  # fmt: skip
    """Steer by one feature for each concept, and by features of no concept."""
    english = steering.PROMPTS["English"]
    controls = _controls(chosen)
    found: dict[str, Any] = {"controls": {"features": controls}}
    outcomes = [
        writer.write(english, layer, steering.push(sae, [f], GATE_STRENGTH * norm))
        for f in controls
    ]
    found["controls"][str(GATE_STRENGTH)] = {
        name: round(float(np.mean([o.shares.get(name, 0.0) for o in outcomes])), 4)
        for name in chosen.names
    }
    for name in chosen.names:
        feature = _best_steering(writer, sae, layer, norm, likely[name], name)
        found[name] = {"feature": feature, "held_out": scored.of(name, feature)}
        for strength in strengths:
            edit = steering.push(sae, [feature], strength * norm)
            found[name][str(strength)] = _summary(writer.write(english, layer, edit), name)
        log.info("layer %d steer %s: %s", layer, name, found[name][str(GATE_STRENGTH)]["share"])
    return found


def _likely_to_steer(
    sae: Sae, x: Tensor, firing: measure.Firing, chosen: measure.Scores, name: str
) -> list[int]:
    """Features that cover the concept, show it, or point towards it."""
    concept = chosen.names.index(name)
    likely = [
        *measure.steering_features(chosen, name, 3),
        *measure.naming_features(chosen, name, 2),
        *measure.aligned_features(x, firing.concepts, concept, sae.W_dec, 3),
    ]
    return list(dict.fromkeys(likely))


def _best_steering(
    writer: steering.Writer, sae: Sae, layer: int, norm: float, likely: list[int], name: str
) -> int:
    """Of the likely features the one that steers best on prompts kept for choosing.

    The share decides, then how little the text loops.
    """
    merits = {}
    for feature in likely:
        edit = steering.push(sae, [feature], GATE_STRENGTH * norm)
        outcome = writer.write(steering.CHOOSING_PROMPTS, layer, edit)
        merits[feature] = (outcome.shares.get(name, 0.0), outcome.distinct)
    return max(merits, key=lambda feature: merits[feature])


def _controls(chosen: measure.Scores, seed: int = 0) -> list[int]:
    """Features drawn from those of usual frequency that have nothing to do with a gated concept.

    They fire on none of them more than an even share of the concepts would have it.
    """
    often = chosen.recall.mean(0)
    usual = (often > np.quantile(often, 0.25)) & (often < np.quantile(often, 0.9))
    gated = [c for c, name in enumerate(chosen.names) if name in GATED]
    related = chosen.precision[gated].max(0)
    eligible = np.flatnonzero(usual & (related < 1 / len(chosen.names)))
    if not len(eligible):  # in a toy model nothing is clear-cut: the least related will do
        eligible = np.argsort(related, kind="stable")[:CONTROLS]
    drawn = np.random.default_rng(seed).permutation(eligible)[:CONTROLS]
    return [int(f) for f in drawn]


def _mute_chinese(
    writer: steering.Writer, sae: Sae, layer: int, concepts: dict[str, Any],
    plain: dict[str, steering.Outcome],
) -> dict[str, Any]:  # fmt: skip
    """Silence one, six, and all features of the Chinese group while Chinese prompts go on."""
    group = concepts["Chinese"]["group"] if "Chinese" in concepts else []
    found: dict[str, Any] = {"prompts": "Chinese", "plain": _summary(plain["Chinese"], "Chinese")}
    for name, size in (("one", 1), ("six", 6), ("group", len(group))):
        outcome = writer.write(steering.PROMPTS["Chinese"], layer, steering.mute(sae, group[:size]))
        found[name] = {"features": group[:size], **_summary(outcome, "Chinese")}
    return found


def _summary(outcome: steering.Outcome, concept: str | None = None) -> dict[str, Any]:
    share = {"share": round(outcome.shares.get(concept, 0.0), 4)} if concept else {}
    return {
        **share,
        "shares": _rounded(outcome.shares),
        "distinct": round(outcome.distinct, 4),
        "texts": list(outcome.texts[::8]),
    }


def _rounded(table: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in table.items()}


def gates_of(layer: int, found: dict[str, Any]) -> list[Gate]:
    """The claims that one layer's report must fulfil."""
    gates = [
        Gate("explained variance", layer, found["explained_variance"], "above", 0.75),
        Gate("dead share", layer, found["dead_share"], "below", 0.05),
    ]
    half = str(GATE_STRENGTH)
    for name in GATED:
        best = found["concepts"][name]["naming"][0]["held_out"]
        steered = found["steering"][name][half]["share"]
        control = found["steering"]["controls"][half][name]
        gates += [
            Gate(f"{name}: window AUROC", layer, best["window_auroc"], "above", 0.9),
            Gate(f"{name}: strong precision", layer, best["strong_precision"], "above", 0.8),
            Gate(f"{name}: steered at 0.5 R", layer, steered, "above", 0.7),
            Gate(f"{name}: control features at 0.5 R", layer, control, "below", 0.1),
        ]
    muted = found["muting"]["group"]["share"]
    return [*gates, Gate("Chinese group muted", layer, muted, "below", 0.3)]
