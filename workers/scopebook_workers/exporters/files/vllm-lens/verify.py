"""Check the files of this export: python verify.py. vllm-lens itself is not run."""

import base64
import json
import math

from checks import HERE, check_files, fail


def main():
    check_files()
    [vector] = json.loads((HERE / "steering.json").read_text(encoding="utf-8"))
    activations = vector["activations"]
    size = len(base64.b64decode(activations["data"], validate=True))
    rows = len(vector["layer_indices"])
    if size != 4 * math.prod(activations["shape"]) or activations["shape"][0] != rows:
        fail("steering.json does not hold a vector for each layer: unpack the export again.")
    if vector["norm_match"]:
        fail("steering.json matches norms, which takes back what is added: set norm_match to false")
    print(
        f"The files are whole: vectors of {rows} layers. vllm-lens was NOT run: compare a text "
        "with and without steering, against the log-probabilities in probe.json."
    )


if __name__ == "__main__":
    main()
