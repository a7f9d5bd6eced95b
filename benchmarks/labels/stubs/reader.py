"""A model that reads: it knows some concepts by their words, and only the prompt tells it which.

Naive Bayes over an inventory of concepts. The prompt's groups are read as they stand there: the
marked words and the words around them, line by line; nothing else reaches it.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from benchmarks.labels.prompt_material import Concept

_BLOCK: Final = re.compile(
    r"^<(\w+) group (\d+)>\n(.*?)\n</\1 group \2>$", re.DOTALL | re.MULTILINE
)
_EXAMPLE: Final = re.compile(r"^\d+\. \[\d+\] (.*)$", re.MULTILINE)
_MARKED: Final = re.compile(r"⟦(.*?)⟧")
_WORD: Final = re.compile(r"[a-z]{3,}")
#: The chance that a feature of a concept marks something else than the concept's word.
_SLIP: Final = 1e-3
_SMOOTHING: Final = 0.5
#: No word says more than this, in nats, for one module against the library.
_MOST: Final = 2.5
TOLD_WORDS: Final = 6


class Reader:
    """Answers requests for a wording; `words` are each module's words with how often they occur."""

    def __init__(self, concepts: Sequence[Concept], words: Mapping[str, Counter[str]]) -> None:
        self._concepts = list(concepts)
        self._modules = sorted(words)
        total = sum(words.values(), Counter[str]())
        self._numbers = {word: i for i, word in enumerate(sorted(total))}
        counts = np.zeros((len(words), len(total)))
        for row, module in enumerate(self._modules):
            for word, n in words[module].items():
                counts[row, self._numbers[word]] = n
        everywhere = counts.sum(axis=0) / counts.sum()
        # Smoothed towards the library, so that a word nobody has seen here says little.
        weight = _SMOOTHING * len(self._numbers)
        shares = (counts + weight * everywhere) / (counts.sum(axis=1, keepdims=True) + weight)
        self._says = np.clip(np.log(shares / everywhere), -_MOST, _MOST)
        self._rows = {module: row for row, module in enumerate(self._modules)}

    def __call__(
        self, messages: Sequence[Mapping[str, str]], schema: dict[str, Any] | None = None
    ) -> str:
        """Answer by the schema: each group's most probable concept, groups of one joined."""
        groups = groups_of(messages[1]["content"])
        found: dict[Concept, list[int]] = {}
        for number, examples in groups.items():
            found.setdefault(self.concept_of(examples), []).append(number)
        senses = [self.sense_of(concept, numbers) for concept, numbers in found.items()]
        return json.dumps({"senses": senses, "abstain": not senses})

    def concept_of(self, examples: Sequence[str]) -> Concept:
        """Return the most probable concept of a group's examples."""
        marked = Counter(word for text in examples for word in _marked_words(text))
        seen = np.zeros(len(self._numbers))
        for text in examples:
            for word in set(_WORD.findall(_MARKED.sub(" ", text).lower())):
                if word in self._numbers:
                    seen[self._numbers[word]] += 1
        by_module = self._says @ seen
        n_marked = sum(marked.values())
        scores = [
            by_module[self._rows[concept.module]]
            + (n_marked - marked[concept.word]) * np.log(_SLIP)
            for concept in self._concepts
        ]
        return self._concepts[int(np.argmax(scores))]

    def sense_of(self, concept: Concept, numbers: Sequence[int]) -> dict[str, Any]:
        """Return an entry of the answer."""
        row = self._says[self._rows[concept.module]]
        names = list(self._numbers)
        told = [names[i] for i in np.argsort(-row, kind="stable")[: 4 * TOLD_WORDS]]
        told = [word for word in told if word != concept.word][:TOLD_WORDS]
        return {
            "clusters": list(numbers),
            "evidence": f"the marked word is {concept.word} throughout",
            "label": f'"{concept.word}" in the documentation of {concept.module}',
            "description": f"The word {concept.word} where {concept.module} is explained: "
            f"{', '.join(told)}.",
            "kind": "lexeme",
            "confidence": 0.9,
        }


def groups_of(message: str) -> dict[int, list[str]]:
    """Return the examples of each group that a message shows."""
    return {int(n): _EXAMPLE.findall(body) for _, n, body in _BLOCK.findall(message)}


def _marked_words(text: str) -> list[str]:
    return [word for run in _MARKED.findall(text) for word in _WORD.findall(run.lower())]
