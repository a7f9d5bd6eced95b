"""Write a preset for EasySteer: a control vector, and how a server is to use it."""

from pathlib import Path

from scopebook_workers.exporters import gguf
from scopebook_workers.exporters.compiled import CompiledPreset
from scopebook_workers.exporters.writing import added_vectors, json_text, write_text


def write(preset: CompiledPreset, folder: Path) -> None:
    """Write `preset.gguf` and `steering.json`, a server's default or a request's `steering`."""
    gguf.write(preset, folder)
    vector = {
        "source": gguf.FILE,
        "algorithm": "direct",
        "scale": 1.0,
        "layers": list(added_vectors(preset)),
        "normalize": False,
        "apply": {"prompt": "all", "generation": "all"},
    }
    spec = {"vectors": [vector], "conflict": "sequential"}
    write_text(folder / "steering.json", json_text(spec))
