"""What every verify.py of an export does: check the files, and compare with what was measured.

probe.json holds prompts with the log-probabilities of the next token, steered and unsteered, as
Scopebook itself has measured them.
"""

import hashlib
import json
import math
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
#: Tokens of a prompt that a tool must tell of; servers leave some out.
FEWEST = 3


def fail(sentence):
    """Say what is wrong, and exit with 1."""
    print(sentence, file=sys.stderr)
    raise SystemExit(1)


def check_files():
    """Exit with 1 unless every file is as it was written."""
    for line in (HERE / "MANIFEST.sha256").read_text(encoding="utf-8").splitlines():
        wanted, name = line.split("  ", 1)
        path = HERE / name
        if not path.is_file():
            fail(f"{name} is missing: unpack the export again.")
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        if digest.hexdigest() != wanted:
            fail(f"{name} is not as it was exported: unpack the export again.")


def read_probe():
    """Return what was measured."""
    return json.loads((HERE / "probe.json").read_text(encoding="utf-8"))


def log_softmax(logits):
    """Return log-probabilities of a sequence of logits, in double precision."""
    largest = max(logits)
    total = largest + math.log(math.fsum(math.exp(x - largest) for x in logits))
    return [x - total for x in logits]


def judge(found, probe, tolerance, usual):
    """Say whether the tool steers as measured; exit with 1 unless it does.

    `found` has for each prompt the log-probabilities of the next token, by token id, of all or of
    some tokens. `usual` is what is mostly wrong where the tool runs unsteered.
    """
    tolerance = probe["tolerance"] if tolerance is None else tolerance
    from_steered, from_unsteered, moved = [], [], []
    for place, (told, prompt) in enumerate(zip(found, probe["prompts"], strict=True), start=1):
        tokens = [token for token in prompt["top"] if token["id"] in told]
        if len(tokens) < FEWEST:
            fail(
                f"Prompt {place}: the tool tells of {len(tokens)} of {len(prompt['top'])} tokens, "
                "too few to compare; ask it for more alternatives."
            )
        for token in tokens:
            value = told[token["id"]]
            from_steered.append(abs(value - token["steered"]))
            from_unsteered.append(abs(value - token["unsteered"]))
            moved.append(abs(token["steered"] - token["unsteered"]))
    _conclude(from_steered, from_unsteered, max(moved), tolerance, usual)


def _conclude(from_steered, from_unsteered, moved, tolerance, usual):
    off = max(from_steered)
    if moved <= 2 * tolerance:
        fail(
            f"CANNOT TELL: the preset moves these prompts by {moved:.2g} only, and differences up "
            f"to {tolerance:g} are allowed; export with prompts on which it acts."
        )
    if math.isfinite(off) and off <= tolerance:
        print(
            f"STEERS AS MEASURED: the largest difference is {off:.2g} (allowed {tolerance:g}; "
            f"steering moves these prompts by up to {moved:.2g})."
        )
        return
    if sum(from_unsteered) < sum(from_steered):
        fail(
            f"Runs UNSTEERED: it differs by {max(from_unsteered):.2g} from the unsteered model, "
            f"and by {off:.2g} from the steered one; {usual}."
        )
    fail(
        f"Steers, but not as measured: it differs by {off:.2g}, more than {tolerance:g}; is it the "
        "same model, in the same precision, and the layers of this preset alone?"
    )
