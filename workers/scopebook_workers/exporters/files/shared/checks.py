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
#: Times that a tool must be nearer to one measurement than to the other.
CLEARLY = 4


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
    some tokens; a prompt that the tool told nothing of is left out. `usual` is what is mostly
    wrong where the tool runs unsteered.
    """
    compared = []
    for told, prompt in zip(found, probe["prompts"], strict=True):
        tokens = [token for token in prompt["top"] if token["id"] in told]
        if told and len(tokens) < FEWEST:
            fail(
                f"The tool tells of {len(tokens)} of {len(prompt['top'])} tokens, too few to "
                "compare; ask it for more alternatives."
            )
        compared += [(told[one["id"]], one["steered"], one["unsteered"]) for one in tokens]
    if not compared:
        fail("The tool tells of no token: ask it for log-probabilities, as README.md says.")
    _conclude(compared, probe["tolerance"] if tolerance is None else tolerance, usual)


def _conclude(compared, tolerance, usual):
    off = max(abs(found - steered) for found, steered, _ in compared)
    moved = max(abs(steered - unsteered) for _, steered, unsteered in compared)
    far = math.dist(*zip(*[(found, steered) for found, steered, _ in compared], strict=True))
    from_unsteered = [(found, unsteered) for found, _, unsteered in compared]
    other = math.dist(*zip(*from_unsteered, strict=True))
    if off <= tolerance and far <= other / CLEARLY:
        print(
            f"STEERS AS MEASURED: the largest difference is {off:.2g} (allowed {tolerance:g}; "
            f"steering moves these prompts by up to {moved:.2g})."
        )
        return
    if off <= tolerance and other > far / CLEARLY:
        fail(
            f"CANNOT TELL: the preset moves these prompts by {moved:.2g} only, and the tool "
            f"differs by {off:.2g}; export with prompts on which it acts."
        )
    if other < far:
        most = max(abs(found - unsteered) for found, unsteered in from_unsteered)
        fail(
            f"Runs UNSTEERED: it differs by {most:.2g} from the unsteered model, and by {off:.2g} "
            f"from the steered one; {usual}."
        )
    fail(
        f"Steers, but not as measured: it differs by {off:.2g}, more than {tolerance:g}; is it the "
        "same model, in the same precision, and the layers of this preset alone?"
    )
