"""Check the files of this export: python verify.py. The libraries themselves are not run."""

import json
import struct

from checks import HERE, check_files, fail


def main():
    check_files()
    with (HERE / "preset.safetensors").open("rb") as file:
        [length] = struct.unpack("<Q", file.read(8))
        tensors = json.loads(file.read(length))
    tensors.pop("__metadata__", None)
    if not tensors or any(len(one["shape"]) != 1 for one in tensors.values()):
        fail("preset.safetensors does not hold one vector a layer: unpack the export again.")
    for path in sorted(HERE.glob("with_*.py")):
        compile(path.read_text(encoding="utf-8"), path.name, "exec")
    print(
        f"The files are whole: vectors of {len(tensors)} layers. The libraries were NOT run: each "
        "file tells how to compare with the log-probabilities in probe.json."
    )


if __name__ == "__main__":
    main()
