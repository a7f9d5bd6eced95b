"""Terms of a text: words, n-grams of scripts without spaces, and the operators of code."""

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scopebook_workers.labeling.characters import SPACELESS, code_points, script_of

#: A longer run of letters is no word but data, such as base64.
LONGEST_WORD = 40
_OPERATOR: Final = r"[!-/:-@\[-^`{-~]{2,3}|[{}\[\]()=<>;#$@\\|&*/%+~^]"
_BITS: Final = 21  # of a code point
_MASK: Final = (1 << _BITS) - 1
#: Hiragana is cut into n-grams like Han; katakana words stand apart by themselves.
_HIRAGANA: Final = range(0x3041, 0x30A0)


def _in_runs(char: str) -> bool:
    return script_of(char) in SPACELESS or ord(char) in _HIRAGANA


@cache
def _pattern() -> re.Pattern[str]:
    r"""Match a run of a spaceless script, a word, or an operator.

    `\w` will not do: it leaves out the vowel signs of Thai and Devanagari.
    """
    words: list[str] = []
    runs: list[str] = []
    for code in range(0x10000):
        char = chr(code)
        # Letters, marks, numbers and "_"; the rest of the planes is added below.
        if _in_runs(char):
            runs.append(char)
        elif char == "_" or unicodedata.category(char)[0] in "LMN":
            words.append(char)
    run, word = _as_class(runs), _as_class(words)
    return re.compile(
        rf"([{run}\U00020000-\U0003FFFF]+)"
        rf"|[{word}\U00010000-\U0001F0FF]+(?:['’][{word}]+)*"
        rf"|{_OPERATOR}"
    )


def _as_class(chars: list[str]) -> str:
    """Return the characters as ranges of a regular expression's class."""
    ranges: list[list[str]] = []
    for char in chars:
        if ranges and ord(char) == ord(ranges[-1][1]) + 1:
            ranges[-1][1] = char
        else:
            ranges.append([char, char])
    return "".join(f"{re.escape(a)}-{re.escape(b)}" for a, b in ranges)


@dataclass(frozen=True, eq=False)
class Terms:
    """The terms of a text in order, by number, with their characters."""

    ids: NDArray[np.int32]
    begins: NDArray[np.int32]
    ends: NDArray[np.int32]


class Vocabulary:
    """Numbers terms as they come; a term and its spellings share a folded number."""

    def __init__(self) -> None:
        self._numbers: dict[str | int, int] = {}
        self._keys: list[str | int] = []
        self._folded: list[int] = []
        self._folds = np.empty(0, dtype=np.int32)

    def __len__(self) -> int:
        return len(self._keys)

    def folds(self) -> NDArray[np.int32]:
        """Return the folded number of every term."""
        if len(self._folds) != len(self._folded):
            self._folds = np.asarray(self._folded, dtype=np.int32)
        return self._folds

    def spelling(self, number: int) -> str:
        """Return the term as it was written."""
        key = self._keys[number]
        if isinstance(key, str):
            return key
        codes = (key >> 2 * _BITS, (key >> _BITS) & _MASK, key & _MASK)
        return "".join(chr(code) for code in codes if code)

    def numbers_of(self, words: frozenset[str]) -> set[int]:
        """Return the numbers of those words that have been read."""
        return {self._numbers[word] for word in words if word in self._numbers}

    def read(self, text: str) -> Terms:
        """Return the terms of a text; overlapping n-grams stand where they begin."""
        words: list[str] = []
        begins: list[int] = []
        runs: list[tuple[int, int]] = []
        for match in _pattern().finditer(text):
            begin, end = match.span()
            if match.lastindex:
                runs.append((begin, end))
            elif end - begin <= LONGEST_WORD:
                words.append(match.group())
                begins.append(begin)
        ids = np.fromiter(map(self._number, words), dtype=np.int32, count=len(words))
        starts = np.asarray(begins, dtype=np.int32)
        lengths = np.fromiter(map(len, words), dtype=np.int32, count=len(words))
        if not runs:
            return Terms(ids, starts, starts + lengths)
        more = self._grams(code_points(text).astype(np.int64), runs)
        return _merged(Terms(ids, starts, starts + lengths), more)

    def _grams(self, codes: NDArray[np.int64], runs: list[tuple[int, int]]) -> Terms:
        """Return the 2- and 3-grams inside the runs; a run of one character stands for itself."""
        inside = np.zeros(len(codes) + 2, dtype=bool)
        for begin, end in runs:
            inside[begin:end] = True
        padded = np.concatenate([codes, [0, 0]])
        pairs = np.flatnonzero(inside[:-2] & inside[1:-1])
        triples = pairs[inside[pairs + 2]]
        single = np.asarray([b for b, e in runs if e - b == 1], dtype=np.int64)
        keys = np.concatenate(
            [
                padded[single],
                (padded[pairs] << _BITS) | padded[pairs + 1],
                (padded[triples] << 2 * _BITS)
                | (padded[triples + 1] << _BITS)
                | padded[triples + 2],
            ]
        )
        begins = np.concatenate([single, pairs, triples]).astype(np.int32)
        sizes = np.repeat([1, 2, 3], [len(single), len(pairs), len(triples)]).astype(np.int32)
        unique, inverse = np.unique(keys, return_inverse=True)
        numbers = np.fromiter(map(self._number, unique.tolist()), np.int32, count=len(unique))
        return Terms(numbers[inverse], begins, begins + sizes)

    def _number(self, key: str | int) -> int:
        number = self._numbers.get(key)
        return self._add(key) if number is None else number

    def _add(self, key: str | int) -> int:
        number = self._numbers[key] = len(self._keys)
        self._keys.append(key)
        self._folded.append(number)
        if isinstance(key, str):
            folded = key.casefold()
            if folded != key:
                self._folded[number] = self._number(folded)
        return number


def _merged(first: Terms, second: Terms) -> Terms:
    begins = np.concatenate([first.begins, second.begins])
    order = np.argsort(begins, kind="stable")
    return Terms(
        np.concatenate([first.ids, second.ids])[order],
        begins[order],
        np.concatenate([first.ends, second.ends])[order],
    )
