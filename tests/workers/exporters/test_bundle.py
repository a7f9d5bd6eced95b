"""Exports as a whole: what lies in them, and that their verify.py proves steering or its lack."""

import hashlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tests.tiny_models import tiny_model
from tests.workers.exporters.making import ADD_AND_MORE, ADDED, TEXTS, preset_of

from scopebook.errors import InvalidInputError
from scopebook.export_targets import TARGETS
from scopebook.steering import Positions
from scopebook_workers.exporters.bundle import MANIFEST, write_bundle, zip_bundle
from scopebook_workers.exporters.probe import make_probe
from scopebook_workers.sae.edits import Edit


def bundle(target: str, folder: Path, edits: Any = None, **more: Any) -> Path:
    """Write an export of a preset that adds, or of these edits."""
    model = tiny_model()
    preset = preset_of(model, ADDED if edits is None else edits, **more)
    write_bundle(preset, target, folder, make_probe(model, preset, TEXTS))
    return folder


def signed(folder: Path) -> None:
    """Write the manifest of a folder anew."""
    paths = sorted(path for path in folder.iterdir() if path.name != MANIFEST)
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in paths]
    (folder / MANIFEST).write_text("".join(lines))


@pytest.mark.parametrize("target", TARGETS)
def test_every_file_of_an_export_is_in_its_manifest(target: str, tmp_path: Path) -> None:
    folder = bundle(target, tmp_path / "export")

    names = {path.name for path in folder.iterdir()}
    always = {"preset.json", "probe.json", "verify.py", "README.md", "LICENSE-NOTICE", "checks.py"}
    assert names >= {*always, MANIFEST, *TARGETS[target].files}
    lines = (folder / MANIFEST).read_text().splitlines()
    assert {line[66:] for line in lines} == names - {MANIFEST}
    for line in lines:
        assert hashlib.sha256((folder / line[66:]).read_bytes()).hexdigest() == line[:64]
    done = subprocess.run(["sha256sum", "-c", "--quiet", MANIFEST], cwd=folder, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize("target", TARGETS)
def test_a_readme_says_what_it_does_how_and_what_to_mind(target: str, tmp_path: Path) -> None:
    folder = bundle(target, tmp_path / "export")

    text = (folder / "README.md").read_text()
    assert text.startswith(f"# no-chinese version 3, for {TARGETS[target].title}\n")
    assert (
        "| Tiny-Qwen3/3-res-64-l0_8/8 | Chinese \\| language | add | 1.5 (1.5 raw) | 0.5 |" in text
    )
    assert "> Not for weapons.\n> Ask first.\n" in text
    assert "- The SAE is of a base.\n" in text
    assert "verify.py" in text
    assert "MODEL" not in text.replace("MODEL.gguf", "")
    assert (folder / "LICENSE-NOTICE").read_text() == "Not for weapons.\nAsk first.\n"


def test_an_export_is_packed_the_same_way_every_time(tmp_path: Path) -> None:
    packed = []
    for run in ("one", "two"):
        folder = bundle("gguf", tmp_path / run / "no-chinese")
        zip_bundle(folder, tmp_path / f"{run}.zip")
        packed.append((tmp_path / f"{run}.zip").read_bytes())

    assert packed[0] == packed[1]
    with zipfile.ZipFile(tmp_path / "one.zip") as file:
        assert file.testzip() is None
        names = file.namelist()
    assert names == sorted(f"no-chinese/{path.name}" for path in folder.iterdir())


def test_a_refused_preset_is_refused_with_all_reasons(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError) as refused:
        bundle(
            "gguf",
            tmp_path / "export",
            {0: [Edit(1, "add", 1.0)], 2: [Edit(7, "ablate")]},
            positions=Positions(prompt="last"),
        )

    for said in ("last token of the prompt", "0-res-64-l0_8/1 is steered in layer 0", "ablate of"):
        assert said in str(refused.value)
    assert not (tmp_path / "export").exists()


def test_a_folder_that_holds_something_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()

    with pytest.raises(InvalidInputError, match="not empty: give a new folder"):
        bundle("gguf", tmp_path)


#: Runs `verify.py` of several exports as programs, in one process: torch takes seconds to load.
_VERIFY = """
import contextlib, io, json, runpy, sys
model, *folders = sys.argv[1:]
for folder in folders:
    sys.path.insert(0, folder)
    sys.argv[:] = ["verify.py", "--model", model]
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            runpy.run_path(f"{folder}/verify.py", run_name="__main__")
            status = 0
        except SystemExit as end:
            status = end.code
    print(json.dumps([status, said.getvalue()]))
    sys.path.remove(folder)
    for name in ("checks", "on_torch", "steer_hook"):
        sys.modules.pop(name, None)
"""


def verified(model: Path, *folders: Path) -> list[tuple[int, str]]:
    """Return the exit status of each export's verify.py and the last line that it says."""
    done = subprocess.run(
        [sys.executable, "-c", _VERIFY, str(model), *map(str, folders)],
        capture_output=True,
        text=True,
        check=True,
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    return [(status, said.strip().splitlines()[-1]) for status, said in told]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tiny_model().save_pretrained(folder)
    return folder


def changed(path: Path, change: Callable[[str, torch.Tensor], tuple[str, torch.Tensor]]) -> None:
    """Rewrite the tensors of a file, and sign the folder."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    if "steering" in metadata:
        about = json.loads(metadata["steering"])
        about["layers"] = {
            change(f"layers.{n}", torch.zeros(1))[0].removeprefix("layers."): of
            for n, of in about["layers"].items()
        }
        metadata["steering"] = json.dumps(about)
    tensors = dict(change(name, tensor) for name, tensor in load_file(path).items())
    save_file(tensors, path, metadata=metadata)
    signed(path.parent)


def silenced(name: str, tensor: torch.Tensor) -> tuple[str, torch.Tensor]:
    return name, torch.zeros_like(tensor)


def one_lower(name: str, tensor: torch.Tensor) -> tuple[str, torch.Tensor]:
    for layer in (1, 2, 3):
        if f"layers.{layer}" in name:
            return name.replace(f"layers.{layer}", f"layers.{layer - 1}"), tensor
    return name, tensor


def named_anew(folder: Path) -> None:
    """Let a folder's adapter name the layers that its tensors were moved to."""
    file = folder / "adapter_config.json"
    file.write_text(file.read_text().replace("(1|3)", "(0|2)"))
    signed(folder)


def spoiled(target: str, folder: Path) -> dict[str, Path]:
    """Write an export, and others with a fault each."""
    found = {name: bundle(target, folder / name) for name in ("right", "tampered", "silent", "off")}
    tensors = {"transformers": "preset.safetensors", "peft": "adapter_model.safetensors"}[target]
    with (found["tampered"] / "preset.json").open("a") as file:
        file.write(" ")
    changed(found["silent"] / tensors, silenced)
    changed(found["off"] / tensors, one_lower)
    if target == "peft":
        named_anew(found["off"])
    found["idle"] = bundle(target, folder / "idle", {1: [Edit(3, "add", 0.0)]})
    return found


_CHOOSING = {
    "all": Positions(),
    "last": Positions(prompt="last"),
    "written": Positions(prompt="none", special=False),
}


@pytest.fixture(scope="module")
def verdicts(
    model: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], tuple[int, str]]:
    """Return what verify.py says of each export, all of them in one process."""
    folder = tmp_path_factory.mktemp("exports")
    exports = {
        (target, name): path
        for target in ("transformers", "peft")
        for name, path in spoiled(target, folder / target).items()
    }
    for name, positions in _CHOOSING.items():
        more = {"positions": positions, "special": frozenset({7, 23})}
        path = bundle("transformers", folder / name, ADD_AND_MORE, **more)
        exports["transformers", name] = path
    return dict(zip(exports, verified(model, *exports.values()), strict=True))


@pytest.mark.parametrize("target", ["transformers", "peft"])
@pytest.mark.parametrize(
    ("fault", "status", "said"),
    [
        ("right", 0, "STEERS AS MEASURED: the largest difference is "),
        ("tampered", 1, "preset.json is not as it was exported: unpack the export again."),
        ("silent", 1, "Runs UNSTEERED: it differs by "),
        ("off", 1, "Steers, but not as measured: it differs by "),
        ("idle", 1, "CANNOT TELL: the preset moves these prompts by 0 only"),
    ],
)
def test_verify_tells_steering_from_its_lack_and_from_a_wrong_layer(
    target: str,
    fault: str,
    status: int,
    said: str,
    verdicts: dict[tuple[str, str], tuple[int, str]],
) -> None:
    found = verdicts[target, fault]

    assert found[0] == status
    assert found[1].startswith(said)


@pytest.mark.parametrize("positions", _CHOOSING)
def test_verify_runs_every_operation_as_generation_does(
    positions: str, verdicts: dict[tuple[str, str], tuple[int, str]]
) -> None:
    assert verdicts["transformers", positions][0] == 0


def test_verify_is_a_program_of_its_own(model: Path, tmp_path: Path) -> None:
    folder = bundle("transformers", tmp_path / "export")

    done = subprocess.run(
        [sys.executable, "verify.py", "--model", str(model)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout.startswith("STEERS AS MEASURED: "), done.stderr
    assert done.returncode == 0


@pytest.mark.parametrize("target", ["easysteer", "vllm-lens", "neuronpedia", "snippets"])
def test_verify_of_what_it_cannot_run_says_so(target: str, tmp_path: Path) -> None:
    folder = bundle(target, tmp_path / "export")

    done = subprocess.run(
        [sys.executable, "verify.py"], cwd=folder, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("The files are whole: ")
    assert " NOT " in done.stdout
