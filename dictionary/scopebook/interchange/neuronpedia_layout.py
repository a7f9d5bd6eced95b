"""Neuronpedia's dump layout: names, ids, and what it has no place for."""

import hashlib
import re
from typing import Final

#: The seeded user that its importer requires as creator and author.
BOT: Final = "clkht01d40000jv08hvalcvly"
#: Features, or explanations, of one file; its own exporter writes as many.
BATCH: Final = 1_024
LARGEST_ID: Final = 36**24

#: How a label of ours is made, as its kinds of explanations.
TYPES: Final = {
    "keywords": "scopebook-keywords",
    "llm": "scopebook-llm",
    "person": "scopebook-person",
    "import": "scopebook-import",
}
SOURCE_OF_TYPE: Final = {name: source for source, name in TYPES.items()}

#: What does not come back from such a dump, in the order of how much it hurts.
CANNOT_HOLD: Final = (
    "scores, their intervals and their nulls",
    "who reviewed a label, and how; which label was chosen, by whom and why",
    "labels that are not in force: earlier ones, suspect ones, those of others",
    "senses: a label of a sense becomes a label of the whole feature, and its examples are lost",
    "what a language model was asked and answered, and the parameters of a labeling",
    "the author, the source and the method of a label other than in its notes",
    "the text of documents around an example, their titles, tags, languages and licences",
    "token ids: tokens are text, and several ids may have the same",
    "counts, mean, flags, tags and top tokens of a feature; its histogram only as bars",
    "where in the corpus a feature fired first and last",
    "runs other than the one that is shown, their parameters, and the corpus itself",
    "hashes of weights, models and files, and revisions",
)

_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_SOURCE_ID: Final = re.compile(
    r"([0-9]{1,4})-([A-Za-z0-9][A-Za-z0-9._-]*?)(?:__([A-Za-z0-9._-]+))?"
)


def model_id(model: str) -> str:
    """Return a model's id there: the last part of its name, in lower case."""
    return model.rsplit("/", 1)[-1].lower()


def source_id(layer: int, set_name: str) -> str:
    """Return an SAE's id there."""
    return f"{layer}-{set_name}"


def parse_source_id(source: str) -> tuple[int, str, str | None] | None:
    """Read `{layer}-{set}` or `{layer}-{set}__{suffix}`; None for anything else."""
    match = _SOURCE_ID.fullmatch(source)
    return None if match is None else (int(match[1]), match[2], match[3])


def row_id(*names: object) -> str:
    """Return an id of 25 characters that looks like its own, the same for the same names.

    So that reading a dump there twice adds nothing: it skips ids that it has.
    """
    number = int.from_bytes(hashlib.sha256(repr(names).encode()).digest()) % LARGEST_ID
    digits = []
    for _ in range(24):
        number, digit = divmod(number, 36)
        digits.append(_DIGITS[digit])
    return "c" + "".join(digits)
