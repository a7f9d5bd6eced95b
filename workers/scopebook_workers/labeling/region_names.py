"""Names of a map's regions: the terms that set the labels of one apart from all others'."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scopebook_workers.labeling.characters import SPACELESS, legible, script_of
from scopebook_workers.labeling.terms import Vocabulary
from scopebook_workers.labeling.tongues import STOP_WORDS

#: Terms in a name, and how many more may be added until no two names are the same.
TERMS: Final = 3
_MORE: Final = 3
LONGEST: Final = 48
#: A term is in so many labels of a region at least.
_LEAST: Final = 2
_CANDIDATES: Final = 24
#: Words that hold labels together and say nothing of a region.
_SCAFFOLD: Final = {
    *("text", "texts", "token", "tokens", "word", "words"),
    *("passage", "without", "first", "common", "mixed"),
}
_EMPTY: Final = STOP_WORDS["English"] | _SCAFFOLD


def name_regions(texts: Sequence[str], of_text: NDArray[np.int64], regions: int) -> list[str]:
    """Return a short name for each region, no two the same.

    `of_text` says in which region the label with each text lies; a region's terms are ranked by
    c-TF-IDF: share of the region's labels with the term, times log(that share / share of all).
    """
    counts, spelt = _count(texts, of_text)
    overall: Counter[str] = Counter()
    for found in counts.values():
        overall.update(found)
    sizes = np.bincount(of_text, minlength=regions)
    ranked = [
        _ranked(counts[region], overall, int(sizes[region]), len(texts))
        for region in range(regions)
    ]
    taken: set[str] = set()
    return [
        _name([spelt[term] for term in terms], taken, region) for region, terms in enumerate(ranked)
    ]


def _count(
    texts: Sequence[str], of_text: NDArray[np.int64]
) -> tuple[dict[int, Counter[str]], dict[str, str]]:
    """Return in how many labels of each region a folded term is, and its commonest spelling."""
    vocabulary = Vocabulary()
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    spellings: dict[str, Counter[str]] = defaultdict(Counter)
    # Many labels have one wording: it is taken apart once.
    for (text, region), times in sorted(Counter(zip(texts, of_text.tolist(), strict=True)).items()):
        words = {vocabulary.spelling(int(i)) for i in np.unique(vocabulary.read(text).ids)}
        folded = {word: word.casefold() for word in words if _speaks(word)}
        for word in sorted(folded):
            spellings[folded[word]][word] += times
        for term in sorted(set(folded.values())):
            counts[region][term] += times
    return counts, {term: found.most_common(1)[0][0] for term, found in spellings.items()}


def _speaks(word: str) -> bool:
    """Tell whether a term can name a region: a word, or an n-gram of a script without spaces."""
    if word.casefold() in _EMPTY or not any(map(str.isalpha, word)):
        return False
    return len(word) > (1 if script_of(word[0]) in SPACELESS else 2)


def _ranked(found: Counter[str], overall: Counter[str], size: int, labels: int) -> list[str]:
    """Return a region's terms, the most telling first; none that repeats a part of a better one."""
    least = min(_LEAST, size)

    def score(term: str) -> float:
        share = found[term] / size
        return share * float(np.log(share * labels / overall[term]) + 1e-3)

    terms = [term for term, count in found.items() if count >= least]
    terms.sort(key=lambda term: (-score(term), term))
    chosen: list[str] = []
    for term in terms[:_CANDIDATES]:
        if not any(term in other or other in term for other in chosen):
            chosen.append(term)
    return chosen


def _name(words: Sequence[str], taken: set[str], region: int) -> str:
    """Join the first words to a name that is not taken, with a number where words do not do."""
    if not words:
        words = ["unnamed"]
    for count in range(min(TERMS, len(words)), min(TERMS + _MORE, len(words)) + 1):
        name = _joined(words[:count])
        if name not in taken:
            break
    else:
        name = f"{_joined(words[:TERMS])} ({region + 1})"
    taken.add(name)
    return name


def _joined(words: Sequence[str]) -> str:
    name = words[0]
    for word in words[1:]:
        if len(name) + len(word) + 2 <= LONGEST:
            name += f", {word}"
    return legible(name, limit=LONGEST)
