"""Check the files of this export: python verify.py. No Neuronpedia is asked."""

import json
import math

from checks import HERE, check_files, fail


def main():
    check_files()
    vectors = json.loads((HERE / "vectors.json").read_text(encoding="utf-8"))
    for one in vectors:
        length = math.sqrt(math.fsum(x * x for x in one["vector"]))
        if abs(length - 1) > 1e-4 or not 0 < one["vectorDefaultSteerStrength"] <= 300:
            fail(f"The vector of layer {one['layerNumber']} is not of unit length: unpack again.")
    print(
        f"The files are whole: {len(vectors)} vectors. Neuronpedia was NOT asked: steer a text "
        "there with all of them, and compare with the log-probabilities in probe.json."
    )


if __name__ == "__main__":
    main()
