"""What each target's files hold, read back by the libraries that read them."""

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFReader
from safetensors.torch import load_file
from tests.tiny_models import tiny_model
from tests.workers.exporters.making import ADD_AND_MORE, ADDED, preset_of
from tests.workers.exporters.plain_modules import module_from

from scopebook.errors import InvalidInputError
from scopebook.export_targets import TARGETS
from scopebook_workers.exporters import (
    easysteer,
    gguf,
    interp_engine,
    lm_eval,
    neuronpedia,
    peft,
    snippets,
    vllm_lens,
)
from scopebook_workers.exporters.bundle import WRITERS
from scopebook_workers.exporters.compiled import CompiledPreset
from scopebook_workers.exporters.plain_files import plain_file
from scopebook_workers.exporters.writing import added_vectors, document_text
from scopebook_workers.sae.edits import Edit


def added(edits: Any = None) -> CompiledPreset:
    return preset_of(tiny_model(), ADDED if edits is None else edits)


def test_a_control_vector_reads_back_number_for_number_with_its_preset(tmp_path: Path) -> None:
    preset = added()

    gguf.write(preset, tmp_path)

    reader = GGUFReader(tmp_path / "preset.gguf")
    assert reader.fields["general.architecture"].contents() == "controlvector"
    assert reader.fields["controlvector.model_hint"].contents() == "qwen3"
    assert reader.fields["controlvector.layer_count"].contents() == 2
    held = reader.fields["steering.preset_json"].contents()
    assert held == document_text(preset.document)
    assert json.loads(held) == preset.document
    assert [tensor.name for tensor in reader.tensors] == ["direction.1", "direction.3"]
    for tensor, vector in zip(reader.tensors, added_vectors(preset).values(), strict=True):
        assert tensor.tensor_type == GGMLQuantizationType.F32
        assert tensor.shape.tolist() == [32]
        assert tensor.data.tobytes() == vector.numpy().tobytes()


def test_the_reader_in_an_export_reads_what_the_library_wrote(tmp_path: Path) -> None:
    preset = added()
    gguf.write(preset, tmp_path)
    reader = module_from_files("shared", "control_vector.py", tmp_path)

    metadata, vectors = reader.read_control_vector(tmp_path / "preset.gguf")

    assert json.loads(metadata["steering.preset_json"]) == preset.document
    assert vectors == {n: v.numpy().tobytes() for n, v in added_vectors(preset).items()}


def module_from_files(folder: str, name: str, into: Path) -> Any:
    (into / name).write_bytes(plain_file(folder, name))
    return module_from(into / name)


def test_layer_0_is_no_control_vector(tmp_path: Path) -> None:
    preset = added({0: [Edit(1, "add", 1.0)], 2: [Edit(1, "add", 1.0)]})

    for writer in (gguf, easysteer):
        with pytest.raises(InvalidInputError, match=r"layer 0, and llama\.cpp"):
            writer.write(preset, tmp_path)


def test_what_is_added_is_summed_in_float64(tmp_path: Path) -> None:
    preset = added({1: [Edit(1, "add", 1e8), Edit(2, "add", 1.0), Edit(5, "add", -1e8)]})
    w_dec = preset.layers[1].sae.w_dec.double()

    lm_eval.write(preset, tmp_path)

    found = torch.load(tmp_path / "steering.pt", weights_only=True)["layers.1"]
    wanted = (1e8 * w_dec[1] + w_dec[2] - 1e8 * w_dec[5]).float()
    assert torch.equal(found["steering_vector"], wanted)


def test_lm_eval_gets_its_fields_and_nothing_that_could_run(tmp_path: Path) -> None:
    preset = added()

    lm_eval.write(preset, tmp_path)

    found = torch.load(tmp_path / "steering.pt", weights_only=True)
    assert list(found) == ["layers.1", "layers.3"]
    vector = found["layers.1"].pop("steering_vector")
    assert torch.equal(vector, added_vectors(preset)[1])
    assert found["layers.1"] == {
        "steering_coefficient": 1.0,
        "action": "add",
        "bias": None,
        "head_index": None,
    }


def test_interp_engine_projects_before_it_adds(tmp_path: Path) -> None:
    preset = added({layer: ADD_AND_MORE[layer] for layer in (3,)} | {2: [Edit(4, "add", 1.0)]})

    interp_engine.write(preset, tmp_path)

    [steering] = json.loads((tmp_path / "steering.json").read_text())
    assert steering["point"] == "resid_post"
    assert list(steering["layers"]) == ["2", "3"]
    methods = [one["method"] for one in steering["layers"]["3"]]
    assert methods == ["orthogonal", "orthogonal", "additive"]
    basis = torch.tensor([one["vector"] for one in steering["layers"]["3"][:2]])
    assert torch.allclose(basis @ basis.T, torch.eye(2), atol=1e-6)
    assert [one["coeff"] for one in steering["layers"]["3"][:2]] == [0.25, 0.25]
    sent = torch.tensor(steering["layers"]["2"][0]["vector"])
    assert torch.equal(sent, added_vectors(preset)[2])


def test_easysteer_names_the_layers_of_its_control_vector(tmp_path: Path) -> None:
    easysteer.write(added(), tmp_path)

    [vector] = json.loads((tmp_path / "steering.json").read_text())["vectors"]
    assert vector["layers"] == [1, 3]
    assert vector["apply"] == {"prompt": "all", "generation": "all"}
    assert (vector["scale"], vector["normalize"]) == (1.0, False)
    assert (tmp_path / vector["source"]).is_file()


def test_vllm_lens_gets_all_layers_in_one_vector_whose_norm_is_not_matched(tmp_path: Path) -> None:
    preset = added()

    vllm_lens.write(preset, tmp_path)

    [vector] = json.loads((tmp_path / "steering.json").read_text())
    sent = vector["activations"]
    rows = np.frombuffer(base64.b64decode(sent["data"]), np.dtype(sent["dtype"]))
    wanted = torch.stack(list(added_vectors(preset).values()))
    assert torch.equal(torch.from_numpy(rows.copy()).reshape(sent["shape"]), wanted)
    assert vector["layer_indices"] == [1, 3]
    assert (vector["scale"], vector["norm_match"]) == (1.0, False)


def test_neuronpedia_gets_unit_vectors_and_their_lengths(tmp_path: Path) -> None:
    preset = added()

    neuronpedia.write(preset, tmp_path)

    for body, (layer, wanted) in zip(
        json.loads((tmp_path / "vectors.json").read_text()),
        added_vectors(preset).items(),
        strict=True,
    ):
        assert (body["layerNumber"], body["hookType"]) == (layer, "hook_resid_post")
        found = torch.tensor(body["vector"]) * body["vectorDefaultSteerStrength"]
        assert torch.allclose(found, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("value", "said"), [(1e3, r"is \d+\.\d long, and Neuronpedia takes"), (0.0, "is 0, which has")]
)
def test_neuronpedia_refuses_what_it_does_not_take(value: float, said: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=said):
        neuronpedia.write(added({1: [Edit(3, "add", value)]}), tmp_path)


def test_snippets_load_one_vector_a_layer(tmp_path: Path) -> None:
    preset = added()

    snippets.write(preset, tmp_path)

    held = load_file(tmp_path / "preset.safetensors")
    assert {name: held[name].tolist() for name in held} == {
        f"layers.{n}": vector.tolist() for n, vector in added_vectors(preset).items()
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(TARGETS["snippets"].files)


@pytest.mark.parametrize("target", WRITERS)
def test_a_target_makes_the_files_that_it_names(target: str, tmp_path: Path) -> None:
    WRITERS[target](added(), tmp_path)

    assert {path.name for path in tmp_path.iterdir()} == set(TARGETS[target].files)
    assert list(WRITERS) == list(TARGETS)


@pytest.mark.parametrize("target", WRITERS)
def test_a_vector_that_is_not_finite_is_refused(target: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="layer 1 is not finite in float32"):
        WRITERS[target](added({1: [Edit(3, "add", 1e39)]}), tmp_path)


def test_a_mixture_of_experts_and_an_unknown_width_are_no_adapter(tmp_path: Path) -> None:
    mixture = preset_of(tiny_model("qwen3_5_moe"), ADDED)
    unknown = preset_of(tiny_model("qwen3_moe"), ADDED)
    unknown = CompiledPreset(**{**vars(unknown), "model_type": "qwen4", "d_ff": None})

    with pytest.raises(InvalidInputError, match="the experts of qwen3_5_moe_text have one each"):
        peft.write(mixture, tmp_path)
    with pytest.raises(InvalidInputError, match="feed-forward layers of this qwen4 are is not"):
        peft.write(unknown, tmp_path)


def test_projections_that_leave_different_shares_are_refused(tmp_path: Path) -> None:
    edits = {2: [Edit(1, "project", 0.0), Edit(2, "project", 0.0, 0.5)]}

    for target in ("transformers", "interp-engine"):
        with pytest.raises(InvalidInputError, match="layer 2 leave different shares"):
            WRITERS[target](added(edits), tmp_path)


_ALL_FILES = """
import sys, hashlib
from pathlib import Path
from tests.tiny_models import tiny_model
from tests.workers.exporters.making import ADDED, preset_of
from scopebook_workers.exporters.bundle import WRITERS
preset = preset_of(tiny_model(), ADDED)
for target, write in WRITERS.items():
    folder = Path(sys.argv[1]) / target
    folder.mkdir()
    write(preset, folder)
    for path in sorted(folder.iterdir()):
        print(target, path.name, hashlib.sha256(path.read_bytes()).hexdigest())
"""


def test_files_are_the_same_at_every_writing_and_in_every_process(tmp_path: Path) -> None:
    told = []
    for run in ("one", "two"):
        (tmp_path / run).mkdir()
        done = subprocess.run(
            [sys.executable, "-c", _ALL_FILES, str(tmp_path / run)],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONPATH": ":".join(sys.path)},
        )
        told.append(done.stdout)

    assert told[0] == told[1]
    assert told[0].count("\n") == sum(len(target.files) for target in TARGETS.values())
