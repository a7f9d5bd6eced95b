"""Write the bundle: model and release in hub layout, sample text, NOTICE, report, manifest."""

import hashlib
import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen3_5ForCausalLM

from scopebook_demo.corpus import Document
from scopebook_demo.evaluate import GATED
from scopebook_demo.lm import Training
from scopebook_demo.sae import Sae, SaeRecipe, save_sae
from scopebook_demo.sources import SOURCES

MOST_BYTES = 16_000_000


@dataclass(frozen=True)
class Parts:
    """Everything that goes into a bundle."""

    model: Qwen3_5ForCausalLM
    tokenizer: PreTrainedTokenizerFast
    saes: dict[int, Sae]
    documents: Sequence[Document]
    evaluation: dict[str, Any]
    training: Training
    sae_recipe: SaeRecipe
    licences: Path | None = None

    @property
    def model_name(self) -> str:
        """Named by its parameter count in millions, tied weights counted once."""
        count = sum(p.numel() for p in self.model.parameters())
        return f"Scopebook-Demo-{round(count / 1e6)}M-Base"

    @property
    def release_name(self) -> str:
        """Named as Qwen-Scope names its releases: width in units of 1024, then k."""
        sae = next(iter(self.saes.values()))
        return f"SAE-Res-{self.model_name}-W{sae.width // 1024}K-L0_{sae.k}"

    @property
    def sample(self) -> list[Document]:
        """The documents that ship: those that no training saw."""
        return [d for d in self.documents if d.split == "held_out"]


def save_model(model: Qwen3_5ForCausalLM, folder: Path) -> None:
    """Save in bfloat16 under the names that `AutoModelForCausalLM` reads."""
    end = model.config.eos_token_id
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]  # untyped upstream
        do_sample=True, temperature=0.8, top_k=50, eos_token_id=end, pad_token_id=end
    )
    nn.Module.to(model, dtype=torch.bfloat16).save_pretrained(folder)
    nn.Module.to(model, dtype=torch.float32)


def write_bundle(parts: Parts, out: Path) -> None:
    """Replace `out` by the bundle of `parts`.

    Raises:
        ValueError: it would be larger than MOST_BYTES.
    """
    building = out.with_name(out.name + ".part")
    shutil.rmtree(building, ignore_errors=True)
    model_folder = building / "models" / parts.model_name
    release_folder = building / "releases" / parts.release_name
    for folder in (model_folder, release_folder, building / "corpus"):
        folder.mkdir(parents=True)
    save_model(parts.model, model_folder)
    parts.tokenizer.save_pretrained(str(model_folder))
    for layer, sae in parts.saes.items():
        save_sae(sae, release_folder / f"layer{layer}.sae.pt")
    _write_sample(parts.sample, building / "corpus" / "sample.jsonl")
    if parts.licences:
        shutil.copytree(parts.licences, building / "licences")
    _write(model_folder / "README.md", model_card(parts))
    _write(release_folder / "README.md", release_card(parts))
    _write(building / "NOTICE", notice(parts.documents))
    _write(building / "evaluation.json", json.dumps(parts.evaluation, ensure_ascii=False, indent=1))
    _write(building / "report.md", report(parts))
    _write(building / "bundle.json", json.dumps(manifest(parts, building), indent=2))
    files = [p for p in building.rglob("*") if p.is_file()]
    for path in files:
        path.chmod(0o644)  # safetensors writes files that only their owner may read
    size = sum(p.stat().st_size for p in files)
    if size > MOST_BYTES:
        raise ValueError(f"the bundle has {size} bytes, more than {MOST_BYTES}")
    shutil.rmtree(out, ignore_errors=True)
    building.rename(out)


def _write(path: Path, text: str) -> None:
    path.write_text(text.rstrip("\n") + "\n", encoding="utf-8")


def _write_sample(documents: Sequence[Document], path: Path) -> None:
    """One JSON object per line, without the split: all of them are held out."""
    with path.open("w", encoding="utf-8") as out:
        for document in documents:
            fields = {k: v for k, v in asdict(document).items() if k != "split"}
            out.write(json.dumps(fields, ensure_ascii=False) + "\n")


def manifest(parts: Parts, folder: Path) -> dict[str, Any]:
    """What `bundle.json` says: names, sizes, recipe and a SHA-256 for each file of `folder`."""
    layers = parts.evaluation["layers"]
    sae = next(iter(parts.saes.values()))
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {
        "model": {
            "id": parts.model_name,
            "path": f"models/{parts.model_name}",
            "parameters": sum(p.numel() for p in parts.model.parameters()),
            "training": asdict(parts.training),
            "tokens_seen": parts.training.steps * parts.training.batch * parts.training.context,
        },
        "releases": [
            {
                "id": parts.release_name,
                "path": f"releases/{parts.release_name}",
                "model": parts.model_name,
                "width": sae.width,
                "k": sae.k,
                "layers": sorted(parts.saes),
                "mean_residual_norm": {n: layers[n]["mean_residual_norm"] for n in layers},
                "training": asdict(parts.sae_recipe),
            }
        ],
        "corpus": {
            "path": "corpus/sample.jsonl",
            "documents": len(parts.sample),
            "tags": dict(sorted(Counter(d.tag for d in parts.sample).items())),
        },
        "gates_passed": parts.evaluation["passed"],
        "files": {
            str(p.relative_to(folder)): {
                "size_bytes": p.stat().st_size,
                "sha256": hashlib.sha256(p.read_bytes()).hexdigest(),
            }
            for p in files
        },
    }


def notice(documents: Sequence[Document]) -> str:
    """Attribution of every source: package, version, holder, licence, share of the sample."""
    from_package: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for d in documents:
        from_package[d.source, d.licence][d.split] += 1
    lines = [
        "Scopebook demo bundle: sources of its text",
        "",
        "corpus/sample.jsonl holds excerpts of the works below, cleaned of markup and cut to",
        "documents; each line names its package and licence. The texts keep their own licences.",
        "The copyright file of each package and the licences they cite are in licences/.",
        "The language model and the sparse autoencoders were trained on further text of the same",
        "packages. All packages are part of Debian 12 (bookworm); their sources are published at",
        "https://sources.debian.org and https://snapshot.debian.org.",
        "",
    ]
    holders: dict[tuple[str, str], list[str]] = defaultdict(list)
    versions = {s.package: s.version for s in SOURCES}
    for s in SOURCES:
        if s.holder not in holders[s.package, s.licence]:
            holders[s.package, s.licence].append(s.holder)
    for (package, licence), splits in sorted(from_package.items()):
        lines += [
            f"{package} {versions.get(package, '')}".rstrip(),
            f"  Copyright: {'; '.join(holders[package, licence]) or 'see the package'}",
            f"  Licence: {licence}",
            f"  Documents in the sample: {splits['held_out']}; in training: {splits['train']}",
            "",
        ]
    return "\n".join(lines)


def model_card(parts: Parts) -> str:
    """README of the model folder."""
    seen = parts.training.steps * parts.training.batch * parts.training.context
    losses = ", ".join(f"{n} {v:.2f}" for n, v in sorted(parts.evaluation["loss"].items()))
    return f"""---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
language: [en, zh, de, fr, es, ru, ja]
---
# {parts.model_name}

A language model small enough to ship with its dictionary: {parts.model.config.num_hidden_layers}
layers (three linear attention, one full), width {parts.model.config.hidden_size}, the Qwen3.5
architecture, trained from scratch on {seen / 1e6:.1f} million tokens of Debian documentation,
Bible translations, source code, licences and changelogs. It shows how features look and steer; it
does not write sense.

```python
model = AutoModelForCausalLM.from_pretrained("models/{parts.model_name}")
tokenizer = AutoTokenizer.from_pretrained("models/{parts.model_name}")
```

Loss on documents it never saw, nats per token: {losses}.

Recipe: {parts.training.steps} steps of {parts.training.batch} x {parts.training.context} tokens,
Muon ({parts.training.muon_rate}) on matrices, AdamW ({parts.training.adam_rate}) on the rest, seed
{parts.training.seed}. Sources and their licences are in `NOTICE`.
"""


def release_card(parts: Parts) -> str:
    """README of the release folder."""
    sae = next(iter(parts.saes.values()))
    rows = "\n".join(
        f"| {n} | {found['explained_variance']:.3f} | {found['dead_share']:.1%} "
        f"| {found['mean_residual_norm']:.1f} | {found['loss_with_sae']['plain']:.2f} "
        f"| {found['loss_with_sae']['spliced']:.2f} | {found['loss_with_sae']['zeroed']:.2f} |"
        for n, found in parts.evaluation["layers"].items()
    )
    return f"""---
license: apache-2.0
base_model: {parts.model_name}
tags: [sparse-autoencoder, interpretability]
---
# {parts.release_name}

TopK sparse autoencoders on the residual stream of {parts.model_name}, one file per layer, in the
format of Qwen-Scope: `layer{{n}}.sae.pt` holds `W_enc` ({sae.width}, {sae.W_enc.shape[1]}), `W_dec`
({sae.W_enc.shape[1]}, {sae.width}), `b_enc` ({sae.width},) and `b_dec` ({sae.W_enc.shape[1]},),
float32. The input is the output of decoder layer n; k = {sae.k}.

```python
pre = x @ W_enc.T + b_enc
values, features = pre.relu().topk({sae.k}, dim=-1)
x_hat = sum(value * W_dec[:, feature]) + b_dec
```

| layer | explained variance | dead | mean norm R | loss | with the SAE spliced in | layer zeroed |
|---|---|---|---|---|---|---|
{rows}

Trained on {parts.sae_recipe.steps} batches of {parts.sae_recipe.batch} activations, drawn from
{parts.sae_recipe.tokens / 1e6:.1f} million tokens of the model's own training text. Measured on
held-out documents. Steer by about 0.25 R to 0.5 R.
"""


def report(parts: Parts) -> str:
    """The human-readable report: gates first, then what stands for what."""
    gates = "\n".join(
        f"| {g['name']} | {g['layer']} | {g['value']:.3f} | {g['must_be']} {g['bound']} "
        f"| {'yes' if g['passed'] else 'NO'} |"
        for g in parts.evaluation["gates"]
    )
    tables = "\n".join(_layer_table(n, f) for n, f in parts.evaluation["layers"].items())
    tokens = parts.evaluation["tokens"]
    return f"""# Report on the demo bundle

Features were chosen on {tokens["choosing"]:,} tokens of training text (as many of each tag) and
scored on {tokens["scoring"]:,} tokens of documents that no training saw; those documents are
`corpus/sample.jsonl`. Concepts with gates: {", ".join(GATED)}. Everything is in `evaluation.json`.

## Gates

| claim | layer | value | must be | holds |
|---|---|---|---|---|
{gates}

## Features

Precision is balanced: as if all concepts were equally frequent. Strong: activations above 40 % of
the feature's maximum. AUROC: 64-token windows ranked by the feature. Steered: share of texts from
English prompts judged to be the concept by token counts, texts of broken bytes not counted;
distinct: share of different tokens in them, low when the text loops. R is the layer's mean residual
norm. Controls are drawn from features that fire on no gated concept more than evenly. Steering
features were chosen on other prompts than those that score them. A concept without a feature of
strong precision above 0.8 has no feature of its own here; the table says so rather than hiding it.
{tables}
## Rebuild

`make demo-bundle`, or step by step resumable:

    python -m scopebook_demo.build --work WORK --out demo/scopebook_demo/bundle

Only the first stage needs a Debian mirror. Weights repeat exactly on the same machine and library
versions; elsewhere the last digits of float32 sums differ, and feature numbers with them.
"""


def _layer_table(layer: str, found: dict[str, Any]) -> str:
    rows = []
    for name, concept in found["concepts"].items():
        best = concept["naming"][0]
        half = found["steering"][name]["0.5"]
        held_out = best["held_out"]
        rows.append(
            f"| {name} | #{best['feature']} | {held_out['window_auroc']:.3f} "
            f"| {held_out['strong_precision']:.3f} | {held_out['recall']:.3f} "
            f"| #{found['steering'][name]['feature']} | {half['share']:.2f} "
            f"| {half['distinct']:.2f} | {len(concept['group'])} |"
        )
    mute = found["muting"]
    return f"""
### Layer {layer}

Explained variance {found["explained_variance"]:.3f}, dead {found["dead_share"]:.1%}, R
{found["mean_residual_norm"]:.1f}, {len(found["pure_features"])} features of strong precision > 0.8.

| concept | best | AUROC | strong precision | recall | steer by | at 0.5 R | distinct | group |
|---|---|---|---|---|---|---|---|---|
{chr(10).join(rows)}

Chinese prompts stay Chinese in {mute["plain"]["share"]:.2f} of texts; with one feature muted
{mute["one"]["share"]:.2f}, six {mute["six"]["share"]:.2f}, all
{len(mute["group"]["features"])} {mute["group"]["share"]:.2f}.
"""
