"""Put a preset's export together: what the tool loads, and what proves that it steers."""

import hashlib
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

from scopebook.errors import InvalidInputError
from scopebook.export_targets import find_target, refusals
from scopebook_workers.exporters import (
    easysteer,
    gguf,
    interp_engine,
    lm_eval,
    neuronpedia,
    peft,
    snippets,
    transformers,
    vllm_lens,
)
from scopebook_workers.exporters.compiled import CompiledPreset
from scopebook_workers.exporters.plain_files import plain_file
from scopebook_workers.exporters.readme import caution_text, readme
from scopebook_workers.exporters.writing import (
    PRESET_FILE,
    document_text,
    json_text,
    write_text,
)

#: What writes the files of each target.
WRITERS: Final[Mapping[str, Callable[[CompiledPreset, Path], None]]] = {
    "transformers": transformers.write,
    "gguf": gguf.write,
    "peft": peft.write,
    "interp-engine": interp_engine.write,
    "easysteer": easysteer.write,
    "lm-eval": lm_eval.write,
    "vllm-lens": vllm_lens.write,
    "neuronpedia": neuronpedia.write,
    "snippets": snippets.write,
}
#: What a target's verify.py imports from beside it.
_SHARED: Final[Mapping[str, tuple[str, ...]]] = {
    "transformers": ("checks.py", "on_torch.py"),
    "peft": ("checks.py", "on_torch.py"),
    "interp-engine": ("checks.py", "on_torch.py"),
    "lm-eval": ("checks.py", "on_torch.py"),
    "gguf": ("checks.py", "control_vector.py"),
    "easysteer": ("checks.py", "control_vector.py"),
}
MANIFEST: Final = "MANIFEST.sha256"
#: The earliest time that a zip file can tell.
_NO_TIME: Final = (1980, 1, 1, 0, 0, 0)
#: Tensors hardly get smaller, and packing gigabytes of them takes minutes.
_STORED: Final = frozenset({".safetensors", ".gguf", ".pt"})


def write_bundle(
    preset: CompiledPreset, target: str, folder: Path, probe: Mapping[str, Any]
) -> None:
    """Write an export into a folder that is empty or not there yet; the same bytes every time.

    `probe` is what `make_probe` has measured.

    Raises InvalidInputError, with all reasons, for a preset that the target cannot express.
    """
    tool = find_target(target)
    reasons = [
        one.reason for one in refusals(preset.document, target, model_type=preset.model_type)
    ]
    if reasons:
        raise InvalidInputError(" ".join(reasons))
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise InvalidInputError(f"{folder} is not empty: give a new folder for the export.")
    WRITERS[target](preset, folder)
    write_text(folder / PRESET_FILE, document_text(preset.document))
    write_text(folder / "probe.json", json_text(probe))
    (folder / "verify.py").write_bytes(plain_file(target, "verify.py"))
    for name in _SHARED.get(target, ("checks.py",)):
        (folder / name).write_bytes(plain_file("shared", name))
    write_text(folder / "README.md", readme(preset.document, tool))
    caution = caution_text(preset.document)
    if caution:
        write_text(folder / "LICENSE-NOTICE", caution.rstrip() + "\n")
    _write_manifest(folder)


def _write_manifest(folder: Path) -> None:
    """Write what `sha256sum -c` reads."""
    lines = []
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        lines.append(f"{digest}  {path.name}\n")
    write_text(folder / MANIFEST, "".join(lines))


def zip_bundle(folder: Path, file: Path | BinaryIO) -> None:
    """Pack an export, in a folder of its name; the same bytes for the same files."""
    with zipfile.ZipFile(file, "w") as packed:
        for path in sorted(one for one in folder.iterdir() if one.is_file()):
            member = zipfile.ZipInfo(f"{folder.name}/{path.name}", _NO_TIME)
            member.external_attr = 0o644 << 16
            stored = path.suffix in _STORED
            member.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
            member.create_system = 3  # otherwise it would tell of the system it was made on
            member.file_size = path.stat().st_size
            with path.open("rb") as source, packed.open(member, "w") as into:
                shutil.copyfileobj(source, into, 1 << 20)
