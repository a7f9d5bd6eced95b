"""Build the demo bundle end to end: each stage is kept in the work folder and skipped if there."""

import argparse
import json
import logging
import sys
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen3_5ForCausalLM

from scopebook_demo import corpus, lm, publish, tokenizer
from scopebook_demo.corpus import Document
from scopebook_demo.evaluate import Subject, balanced, evaluate
from scopebook_demo.sae import Sae, SaeRecipe, collect, load_sae, save_sae, train_sae, window_starts

log = logging.getLogger(__name__)

SAMPLE = Path(__file__).parent / "bundle" / "corpus" / "sample.jsonl"


@dataclass(frozen=True)
class Plan:
    """All sizes of one build."""

    shape: lm.ModelShape = field(default_factory=lm.ModelShape)
    training: lm.Training = field(default_factory=lm.Training)
    sae: SaeRecipe = field(default_factory=SaeRecipe)
    layers: tuple[int, ...] = (1, 2)
    choosing_tokens_per_tag: int = 35_000
    samples: int = 3
    new_tokens: int = 40
    strengths: tuple[float, ...] = (0.25, 0.5)
    documents_per_tag: int | None = None
    characters_per_document: int | None = None
    gates_must_pass: bool = True


MINI = Plan(
    shape=lm.ModelShape(
        vocabulary=640, d_model=32, heads=2, head_dim=16, key_value_heads=1,
        linear_key_dim=8, linear_value_dim=8,
    ),
    training=lm.Training(steps=12, batch=4, context=64, warm_up=2, cool_down=4, checkpoint_every=6),
    sae=SaeRecipe(steps=20, batch=256, tokens=6000, context=64, warm_up=2),
    layers=(1,),
    choosing_tokens_per_tag=1000,
    samples=1,
    new_tokens=4,
    strengths=(0.5,),
    documents_per_tag=8,
    characters_per_document=1200,
    gates_must_pass=False,
)  # fmt: skip


def build(work: Path, out: Path, plan: Plan, documents_file: Path | None = None) -> dict[str, Any]:
    """Run every stage that `work` does not hold yet, write the bundle, return the evaluation."""
    work.mkdir(parents=True, exist_ok=True)
    documents = thin(load_documents(work, documents_file), plan)
    words = _tokenizer(work, documents, plan)
    train, held_out = _packed(work, documents, words)
    model = _model(work, train, held_out, plan)
    saes = _saes(work, model, train, plan)
    context = plan.training.context
    subject = Subject(
        model=model, tokenizer=words, saes=saes,
        choosing=balanced(train, plan.choosing_tokens_per_tag, context, seed=1),
        scoring=held_out, context=context, samples=plan.samples, new_tokens=plan.new_tokens,
        strengths=plan.strengths,
    )  # fmt: skip
    evaluation = _evaluation(work, subject)
    licences = work / "licences"
    parts = publish.Parts(
        model, words, saes, documents, evaluation, plan.training, plan.sae,
        licences if licences.is_dir() else None,
    )  # fmt: skip
    publish.write_bundle(parts, out)
    return evaluation


def load_documents(work: Path, documents_file: Path | None) -> list[Document]:
    """The given file's documents, else those of the Debian packages.

    A file without training documents, as the bundle's own sample, is split anew: of each tag
    every fourth document is held out.
    """
    if documents_file:
        documents = corpus.read_documents(documents_file)
        if not any(d.split == "train" for d in documents):
            documents = resplit(documents)
        return documents
    path = work / "documents.jsonl"
    if not path.exists():
        corpus.fetch_packages(work / "packages")
        documents = corpus.build_documents(work / "packages")
        corpus.report_sizes(documents)
        corpus.copy_licences(work / "packages", documents, work / "licences")
        corpus.write_documents(documents, path)
    return corpus.read_documents(path)


def resplit(documents: list[Document]) -> list[Document]:
    """Hold out each tag's first, fifth, ninth ... document."""
    seen: dict[str, int] = defaultdict(int)
    split = []
    for document in documents:
        held_out = seen[document.tag] % 4 == 0
        seen[document.tag] += 1
        split.append(replace(document, split="held_out" if held_out else "train"))
    return split


def thin(documents: list[Document], plan: Plan) -> list[Document]:
    """The first documents of each tag, shortened, as many as the plan wants."""
    seen: dict[str, int] = defaultdict(int)
    kept = []
    for document in documents:
        seen[document.tag] += 1
        if plan.documents_per_tag is None or seen[document.tag] <= plan.documents_per_tag:
            kept.append(replace(document, text=document.text[: plan.characters_per_document]))
    return kept


def _tokenizer(work: Path, documents: list[Document], plan: Plan) -> Any:
    folder = work / "tokenizer"
    if not folder.exists():
        words = tokenizer.train_tokenizer(documents, plan.shape.vocabulary)
        words.save_pretrained(str(folder))
    return tokenizer.load_tokenizer(folder)


def _packed(
    work: Path, documents: list[Document], words: Any
) -> tuple[tokenizer.Packed, tokenizer.Packed]:
    splits: tuple[corpus.Split, corpus.Split] = ("train", "held_out")
    for split in splits:
        if not (work / f"{split}.npz").exists():
            tokenizer.save_packed(tokenizer.pack(documents, words, split), work / f"{split}.npz")
    train, held_out = (tokenizer.load_packed(work / f"{split}.npz") for split in splits)
    return train, held_out


def _model(
    work: Path, train: tokenizer.Packed, held_out: tokenizer.Packed, plan: Plan
) -> Qwen3_5ForCausalLM:
    """The trained model as it ships: rounded to bfloat16, computed in float32."""
    folder = work / "model"
    if not folder.exists():
        fresh = lm.new_model(plan.shape, end_of_text=0, seed=plan.training.seed)
        lm.train(work, train, held_out, fresh, plan.training)
        publish.save_model(fresh, folder)
    model: Qwen3_5ForCausalLM = Qwen3_5ForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.train(False)
    return model


def _saes(
    work: Path, model: Qwen3_5ForCausalLM, train: tokenizer.Packed, plan: Plan
) -> dict[int, Sae]:
    paths = {layer: work / f"layer{layer}.sae.pt" for layer in plan.layers}
    missing = [layer for layer, path in paths.items() if not path.exists()]
    if missing:
        recipe = plan.sae
        starts = window_starts(len(train.ids), recipe.context, recipe.tokens, recipe.seed)
        rows = collect(model, train.ids, starts, missing, recipe.context)
        for layer in missing:
            save_sae(train_sae(rows.pop(layer), recipe), paths[layer])
    return {layer: load_sae(path, plan.sae.k) for layer, path in paths.items()}


def _evaluation(work: Path, subject: Subject) -> dict[str, Any]:
    path = work / "evaluation.json"
    if not path.exists():
        path.write_text(json.dumps(evaluate(subject), ensure_ascii=False), encoding="utf-8")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scopebook_demo.build", description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder of the stages' results")
    parser.add_argument("--out", type=Path, required=True, help="folder of the bundle, replaced")
    parser.add_argument("--documents", type=Path, help="documents to use instead of Debian's")
    parser.add_argument("--steps", type=int, help="steps of the language model")
    parser.add_argument("--sae-steps", type=int, help="steps of each autoencoder")
    parser.add_argument("--threads", type=int, default=2, help="processor threads")
    parser.add_argument("--mini", action="store_true", help="minutes instead of hours, no gates")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Build; 1 when a gate fails."""
    options = parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    torch.set_num_threads(options.threads)
    plan = MINI if options.mini else Plan()
    if options.steps:
        plan = replace(plan, training=replace(plan.training, steps=options.steps))
    if options.sae_steps:
        plan = replace(plan, sae=replace(plan.sae, steps=options.sae_steps))
    documents = options.documents or (SAMPLE if options.mini else None)
    evaluation = build(options.work, options.out, plan, documents)
    failed = [g for g in evaluation["gates"] if not g["passed"]]
    for gate in failed:
        log.warning("gate failed: %s", gate)
    return 1 if failed and plan.gates_must_pass else 0


if __name__ == "__main__":
    sys.exit(main())
