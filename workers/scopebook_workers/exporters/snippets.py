"""Write a preset's vectors with a few lines of code for research libraries."""

from pathlib import Path

from scopebook_workers.exporters import transformers
from scopebook_workers.exporters.compiled import CompiledPreset
from scopebook_workers.exporters.plain_files import plain_file, plain_files


def write(preset: CompiledPreset, folder: Path) -> None:
    """Write `preset.safetensors` and a file for each library."""
    transformers.write_tensors(preset, folder)
    for name in plain_files("snippets"):
        if name.startswith("with_"):
            (folder / name).write_bytes(plain_file("snippets", name))
