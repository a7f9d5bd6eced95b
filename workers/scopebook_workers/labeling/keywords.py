"""Keywords of a group of windows: terms that are frequent here and rare elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scopebook_workers.labeling.characters import SPACELESS, legible, script_of
from scopebook_workers.labeling.reading import Window
from scopebook_workers.labeling.terms import LONGEST_WORD, Vocabulary

#: A keyword occurs in so many windows at least, and so much oftener than in other features'.
MIN_WINDOWS = 2
MIN_SHARE = 0.1
MIN_LIFT = 1.5
KEPT = 8
#: A term of this weight in a window counts half of the most it can.
_HALF = 4.0
_CANDIDATES = 48


@dataclass(frozen=True, eq=False)
class Background:
    """Share of the windows of many features that hold a term, by folded number."""

    shares: NDArray[np.float32]
    n_windows: int

    @classmethod
    def learn(cls, windows: Sequence[Window], vocabulary: Vocabulary) -> "Background":
        """Count in how many of the windows each term occurs."""
        folds = vocabulary.folds()
        parts = [np.unique(folds[window.ids]) for window in windows]
        found = np.bincount(np.concatenate([np.empty(0, np.int32), *parts]))
        return cls((found / max(1, len(windows))).astype(np.float32), len(windows))

    def of(self, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the shares; a term that was never seen counts as half a window."""
        known = numbers < len(self.shares)
        shares = np.zeros(len(numbers))
        shares[known] = self.shares[numbers[known]]
        return np.maximum(shares, 0.5 / max(1, self.n_windows))


def keywords_of(
    windows: Sequence[Window], vocabulary: Vocabulary, background: Background
) -> list[str]:
    """Return at most `KEPT` keywords, best first, by c-TF-IDF.

    score(t) = sum over windows of activation share x weight / (weight + half), times
    log(1 / share of other features' windows with t); `weight` sums over the term's places in the
    window, and is larger where the feature fires.
    """
    numbers, presence, found = _presence(windows, vocabulary)
    shares = background.of(numbers)
    frequent = found >= max(min(MIN_WINDOWS, len(windows)), MIN_SHARE * len(windows))
    frequent &= found / len(windows) >= MIN_LIFT * shares
    numbers, scores = numbers[frequent], presence[frequent] * np.log(1 / shares[frequent])
    order = np.argsort(-scores, kind="stable")[:_CANDIDATES]
    folded = {vocabulary.spelling(int(numbers[i])): (int(numbers[i]), scores[i]) for i in order}
    chosen = _distinct([(word, float(score)) for word, (_, score) in folded.items()])
    spellings = _spellings(windows, [folded[word][0] for word in chosen], vocabulary)
    return [legible(spelling, limit=LONGEST_WORD) for spelling in spellings]


def _presence(
    windows: Sequence[Window], vocabulary: Vocabulary
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Return the folded terms of the windows, how present each is, and in how many windows."""
    folds = vocabulary.folds()
    terms = folds[np.concatenate([window.ids for window in windows])].astype(np.int64)
    rows = np.repeat(np.arange(len(windows)), [len(window.ids) for window in windows])
    size = max(1, len(vocabulary))
    places, inverse = np.unique(rows * size + terms, return_inverse=True)
    weight = np.bincount(inverse, np.concatenate([window.weights for window in windows]))
    activation = np.asarray([window.activation for window in windows])
    activation = activation / max(float(activation.sum()), 1e-12)
    part = activation[places // size] * weight / (weight + _HALF)
    numbers, inverse = np.unique(places % size, return_inverse=True)
    return (
        numbers,
        np.bincount(inverse, part).astype(np.float64),
        np.bincount(inverse).astype(np.int64),
    )


def _spellings(
    windows: Sequence[Window], numbers: Sequence[int], vocabulary: Vocabulary
) -> list[str]:
    """Return the terms as the first windows write them most often."""
    ids = np.concatenate([window.ids for window in windows[:12]])
    folded = vocabulary.folds()[ids]
    spellings = []
    for number in numbers:
        same = ids[folded == number]
        most = int(np.bincount(same - same.min()).argmax() + same.min()) if len(same) else number
        spellings.append(vocabulary.spelling(most))
    return spellings


#: Characters that join words in Chinese and Japanese; an n-gram with one is seldom a word.
_JOINERS = frozenset(
    "的了是在和与或及有不这那个一为以于就也都而被把从到对中上下之其并可能会要请您你我"
)


def _distinct(spelt: Sequence[tuple[str, float]]) -> list[str]:
    """Drop what is no word, and n-grams that repeat a part of a better one."""
    weighed = [(word, score * _wordlikeness(word)) for word, score in spelt]
    weighed.sort(key=lambda pair: -pair[1])
    chosen: list[str] = []
    for word, score in weighed:
        if score > 0 and not any(_overlap(word, other) for other in chosen):
            chosen.append(word)
        if len(chosen) == KEPT:
            break
    return chosen


def _wordlikeness(word: str) -> float:
    letters = sum(map(str.isalpha, word))
    if not letters or letters * 2 < len(word):
        return 0.0
    if script_of(word[0]) not in SPACELESS and not "\u3041" <= word[0] <= "\u309f":
        return 1.0 if len(word) > 1 else 0.0
    hiragana = sum("\u3041" <= char <= "\u309f" for char in word)
    joiners = sum(map(_JOINERS.__contains__, word))
    return float(0.6 ** (hiragana + joiners)) * (1.15 if len(word) > 2 else 1.0)


def _overlap(word: str, other: str) -> bool:
    """Return whether one holds the other, or n-grams share a border."""
    low, high = word.casefold(), other.casefold()
    if low in high or high in low:
        return script_of(word[0]) in SPACELESS or abs(len(low) - len(high)) <= 2
    if script_of(word[0]) not in SPACELESS:
        return False
    return any(low[-n:] == high[:n] or high[-n:] == low[:n] for n in (1, 2))
