"""Write a preset as a control vector of llama.cpp, which repeng and EasySteer read too."""

from pathlib import Path

from gguf import GGUFWriter

from scopebook.errors import InvalidInputError
from scopebook_workers.exporters.compiled import CompiledPreset
from scopebook_workers.exporters.writing import added_vectors, document_text

FILE = "preset.gguf"
#: The metadata that holds the whole preset; readers leave out keys that they do not know.
PRESET_KEY = "steering.preset_json"


def write(preset: CompiledPreset, folder: Path) -> None:
    """Write `preset.gguf`: a float32 tensor `direction.{n}` (d_model) for each layer n.

    Raises InvalidInputError for a vector of layer 0: llama.cpp would load nothing of the file, and
    run on unsteered.
    """
    vectors = added_vectors(preset)
    if 0 in vectors:
        raise InvalidInputError(
            "a vector is added in layer 0, and llama.cpp takes them from layer 1 on: switch that "
            "feature off, or use the target transformers or peft."
        )
    writer = GGUFWriter(folder / FILE, "controlvector")
    writer.add_string("controlvector.model_hint", preset.model_type)
    writer.add_uint32("controlvector.layer_count", len(vectors))
    writer.add_string(PRESET_KEY, document_text(preset.document))
    for number, vector in vectors.items():
        writer.add_tensor(f"direction.{number}", vector.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
