"""The whole chain in miniature, from the text that ships with the bundle; no package mirror."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from scopebook_demo import build, lm, sae, tokenizer
from scopebook_demo.corpus import Document


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors gain nothing from threads and lose much on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    return build.thin(build.load_documents(Path(), build.SAMPLE), build.MINI)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("mini")
    evaluation = build.build(folder / "work", folder / "bundle", build.MINI, build.SAMPLE)
    return folder / "bundle", evaluation


def test_the_bundle_loads_as_a_hub_model(built: tuple[Path, dict[str, Any]]) -> None:
    [folder] = (built[0] / "models").iterdir()

    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    words = AutoTokenizer.from_pretrained(folder, local_files_only=True)

    assert model.config.model_type == "qwen3_5_text"
    assert words.decode(words.encode("文件 and Datei")) == "文件 and Datei"
    assert model.config.vocab_size == len(words)


def test_release_files_have_the_qwen_scope_format(built: tuple[Path, dict[str, Any]]) -> None:
    [folder] = (built[0] / "releases").iterdir()

    state = torch.load(folder / "layer1.sae.pt", weights_only=True)

    assert folder.name.endswith("-W1K-L0_8")
    assert {key: tuple(value.shape) for key, value in state.items()} == {
        "W_enc": (1024, 32), "W_dec": (32, 1024), "b_enc": (1024,), "b_dec": (32,),
    }  # fmt: skip
    assert torch.allclose(state["W_dec"].norm(dim=0), torch.ones(1024), atol=1e-5)


def test_the_manifest_names_every_file(built: tuple[Path, dict[str, Any]]) -> None:
    manifest = json.loads((built[0] / "bundle.json").read_text())

    files = {str(p.relative_to(built[0])) for p in built[0].rglob("*") if p.is_file()}
    assert set(manifest["files"]) == files - {"bundle.json"}
    assert manifest["releases"][0]["width"] == 1024


def test_the_report_judges_a_layer_by_each_gate(built: tuple[Path, dict[str, Any]]) -> None:
    gates = built[1]["gates"]

    assert {gate["layer"] for gate in gates} == {1}
    assert len(gates) == 2 + 4 * 5 + 1
    assert built[1]["passed"] is all(gate["passed"] for gate in gates)


def test_a_killed_training_resumes_to_the_same_weights(
    documents: list[Document], tmp_path: Path
) -> None:
    words = tokenizer.train_tokenizer(documents, build.MINI.shape.vocabulary)
    train, held_out = (tokenizer.pack(documents, words, split) for split in ("train", "held_out"))
    recipe = replace(build.MINI.training, steps=6, checkpoint_every=2)

    def weights(folder: str, stops: list[int | None]) -> list[torch.Tensor]:
        work = tmp_path / folder
        work.mkdir()
        for stop in stops:
            model = lm.new_model(build.MINI.shape, end_of_text=0)
            lm.train(work, train, held_out, model, recipe, stop_after=stop)
        return [p.detach() for p in model.parameters()]

    unbroken, resumed = weights("unbroken", [None]), weights("resumed", [3, None])

    assert all(torch.equal(a, b) for a, b in zip(unbroken, resumed, strict=True))


def test_steps_may_change_only_before_the_cool_down(
    documents: list[Document], tmp_path: Path
) -> None:
    words = tokenizer.train_tokenizer(documents, build.MINI.shape.vocabulary)
    packed = tokenizer.pack(documents, words)
    recipe = replace(build.MINI.training, steps=6, cool_down=3, checkpoint_every=2)
    model = lm.new_model(build.MINI.shape, end_of_text=0)
    lm.train(tmp_path, packed, packed, model, recipe, stop_after=4)

    with pytest.raises(ValueError, match="too late to change"):
        lm.train(tmp_path, packed, packed, model, replace(recipe, steps=12))
    with pytest.raises(ValueError, match="trained by"):
        lm.train(tmp_path, packed, packed, model, replace(recipe, seed=1))


def test_an_epoch_visits_every_window_once() -> None:
    ids = torch.arange(1000).numpy().astype("uint16")
    recipe = lm.Training(batch=3, context=10)
    per_epoch = (1000 - 1 - 10) // 10 // 3

    starts = [int(row[0]) for step in range(per_epoch) for row in lm.batch_at(step, ids, recipe)]

    assert len(set(starts)) == len(starts) == per_epoch * 3
    assert len({start % 10 for start in starts}) == 1


def test_a_folded_sae_does_what_the_trained_one_did() -> None:
    generator = torch.Generator().manual_seed(0)
    encoder, decoder = torch.randn(2, 16, 4, generator=generator)
    threshold, centre = torch.randn(16, generator=generator), torch.randn(4, generator=generator)
    x, scale = torch.randn(9, 4, generator=generator) * 7, 0.3

    folded = sae.fold(encoder, decoder, threshold, centre, scale, k=3)

    values, places = ((x * scale - centre) @ encoder.T + threshold).relu().topk(3)
    codes = torch.zeros(9, 16).scatter(-1, places, values)
    assert torch.allclose(sae.reconstruct(folded, x), (codes @ decoder + centre) / scale, atol=1e-4)


def test_an_sae_finds_planted_directions() -> None:
    generator = torch.Generator().manual_seed(0)
    directions = torch.linalg.qr(torch.randn(16, 8, generator=generator)).Q.T
    which = torch.randint(8, (4000,), generator=generator)
    x = 5 * directions[which] + 0.01 * torch.randn(4000, 16, generator=generator)

    found = sae.train_sae(x, sae.SaeRecipe(width=32, k=1, steps=300, batch=256, rate=1e-2))

    assert (x - sae.reconstruct(found, x)).pow(2).mean() < 0.1 * x.var()


def test_a_file_of_other_keys_is_refused(tmp_path: Path) -> None:
    torch.save({"encoder": torch.zeros(2)}, tmp_path / "layer0.sae.pt")

    with pytest.raises(ValueError, match="holds"):
        sae.load_sae(tmp_path / "layer0.sae.pt", k=8)
