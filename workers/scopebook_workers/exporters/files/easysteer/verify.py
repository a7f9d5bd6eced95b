"""Check the files of this export: python verify.py. EasySteer itself is not run."""

import json

from checks import HERE, check_files, fail
from control_vector import read_control_vector


def main():
    check_files()
    _metadata, vectors = read_control_vector(HERE / "preset.gguf")
    [vector] = json.loads((HERE / "steering.json").read_text(encoding="utf-8"))["vectors"]
    if vector["layers"] != list(vectors) or not (HERE / vector["source"]).is_file():
        fail("steering.json does not name the layers of preset.gguf: unpack the export again.")
    print(
        f"The files are whole: vectors of {len(vectors)} layers. EasySteer was NOT run: compare a "
        "text with and without steering, against the log-probabilities in probe.json."
    )


if __name__ == "__main__":
    main()
