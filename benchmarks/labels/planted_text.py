"""Features planted into the standard library's docstrings and comments: (word, module) pairs.

A sense is one word in the documentation of one module. A feature has one sense, is the union of
two or three (word, module) pairs, or is one word in two or three modules. What the running Python
ships is read, so the figures differ a little from one version of it to the next.
"""

import ast
import hashlib
import io
import re
import sysconfig
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from scopebook_workers.labeling.evidence import FeatureEvidence, Firing, Passage

FeatureKind = Literal["one", "union", "word"]

KINDS: Final[tuple[FeatureKind, ...]] = ("one", "union", "word")
MODULES: Final = 55
WINDOWS: Final = 40
#: Tokens kept before and after the firing one; no less than a window takes.
BEFORE, AFTER = 128, 64
#: Two windows of a sense lie so many tokens apart at least: near ones are the same text twice.
APART: Final = 24
_TOKEN: Final = re.compile(r"\s*(?:\w+|[^\w\s])")
_WORD: Final = re.compile(r"[a-z]{4,}")
_LEFT_OUT: Final = frozenset(
    [
        "site-packages",
        "dist-packages",
        "test",
        "tests",
        "lib2to3",
        "pydoc_data",
        "turtledemo",
        "encodings",
        "ensurepip",
        "idle_test",
        "__phello__",
    ]
)
#: Words of every text are no feature's subject.
_COMMON_MODULES: Final = 40


@dataclass(frozen=True, eq=False)
class ModuleText:
    """A module's docstrings and comments, one after another, as tokens."""

    name: str
    text: str
    begins: NDArray[np.int32]
    ends: NDArray[np.int32]
    blocks: NDArray[np.int32]  # (tokens,) which docstring or comment each is of
    places: dict[str, NDArray[np.int32]]  # word -> tokens that are it


@dataclass(frozen=True, eq=False)
class PlantedFeature:
    """A feature, the sense of each of its examples, and each sense's (word, module)."""

    kind: FeatureKind
    evidence: FeatureEvidence
    senses: NDArray[np.int64]
    pairs: Sequence[tuple[str, str]]

    @property
    def k(self) -> int:
        """How many senses were planted."""
        return len(self.pairs)


@cache
def modules() -> dict[str, ModuleText]:
    """Return the modules with most documentation, by name."""
    blocks: dict[str, list[str]] = defaultdict(list)
    library = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(library.rglob("*.py")):
        parts = path.relative_to(library).parts
        if not _LEFT_OUT & set(parts):
            blocks[parts[0].removesuffix(".py")] += _blocks(path)
    sizes = {name: sum(map(len, found)) for name, found in blocks.items()}
    largest = sorted(sizes, key=lambda name: (-sizes[name], name))[:MODULES]
    return {name: _module(name, blocks[name]) for name in sorted(largest)}


def _blocks(path: Path) -> Iterator[str]:
    """Yield a file's docstrings, then its runs of comment lines."""
    source = path.read_bytes()
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # the library keeps some broken files for its own tests
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node)
            if docstring:
                yield docstring
    run: list[str] = []
    last = -1
    for token in tokenize.tokenize(io.BytesIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        if run and token.start[0] > last + 1:
            yield "\n".join(run)
            run = []
        run.append(token.string.lstrip("#! "))
        last = token.start[0]
    if run:
        yield "\n".join(run)


def _module(name: str, blocks: Sequence[str]) -> ModuleText:
    text = "\n\n".join(blocks)
    borders = np.cumsum([len(block) + 2 for block in blocks])
    spans = np.asarray([match.span() for match in _TOKEN.finditer(text)], dtype=np.int32)
    places: dict[str, list[int]] = defaultdict(list)
    for number, (begin, end) in enumerate(spans.tolist()):
        word = text[begin:end].strip()
        if _WORD.fullmatch(word):
            places[word].append(number)
    return ModuleText(
        name=name,
        text=text,
        begins=spans[:, 0].copy(),
        ends=spans[:, 1].copy(),
        blocks=borders.searchsorted(spans[:, 0], side="right").astype(np.int32),
        places={word: np.asarray(found, dtype=np.int32) for word, found in places.items()},
    )


def _spread(places: NDArray[np.int32], apart: int) -> NDArray[np.int32]:
    """Return places of which no two lie nearer than so many tokens, from the first on."""
    kept: list[int] = []
    for place in places.tolist():
        if not kept or place - kept[-1] >= apart:
            kept.append(place)
    return np.asarray(kept, dtype=np.int32)


@cache
def _usable(least: int) -> dict[str, list[str]]:
    """Return each word's modules with so many windows of it; words of all modules left out."""
    spread = Counter(word for module in modules().values() for word in module.places)
    found: dict[str, list[str]] = defaultdict(list)
    for module in modules().values():
        for word, places in module.places.items():
            if (
                len(places) >= least
                and spread[word] <= _COMMON_MODULES
                and len(_spread(places, APART)) >= least
            ):
                found[word].append(module.name)
    return found


def plant(kind: FeatureKind, n: int, *, seed: int) -> list[PlantedFeature]:
    """Return n features of a kind; the same for the same seed and Python."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    chosen: list[list[tuple[str, str]]] = []
    if kind == "one":
        pairs = _pairs(_usable(WINDOWS))
        chosen = [[pairs[i]] for i in _draw(rng, len(pairs), n)]
    else:
        choose = _apart if kind == "union" else _one_word
        counts = [int(k) for k in rng.integers(2, 4, size=n)]
        pools = {k: _usable(-(-WINDOWS // k)) for k in (2, 3)}
        chosen = [choose(rng, pools[k], k) for k in counts]
    return [_feature(kind, pairs, rng) for pairs in chosen]


def _pairs(usable: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(word, name) for word in sorted(usable) for name in usable[word]]


def _draw(rng: np.random.Generator, of: int, n: int) -> list[int]:
    """Return n numbers below `of`, each as often as the others or once more."""
    rounds = -(-n // of)
    return [int(i) for _ in range(rounds) for i in rng.permutation(of)][:n]


def _apart(rng: np.random.Generator, usable: dict[str, list[str]], k: int) -> list[tuple[str, str]]:
    """Return k pairs that share neither word nor module."""
    pairs = _pairs(usable)
    chosen: list[tuple[str, str]] = []
    while len(chosen) < k:
        pair = pairs[int(rng.integers(len(pairs)))]
        if all(pair[0] != word and pair[1] != name for word, name in chosen):
            chosen.append(pair)
    return chosen


def _one_word(
    rng: np.random.Generator, usable: dict[str, list[str]], k: int
) -> list[tuple[str, str]]:
    """Return one word in k modules."""
    words = sorted(word for word, names in usable.items() if len(names) >= k)
    word = words[int(rng.integers(len(words)))]
    return [(word, str(name)) for name in rng.permutation(usable[word])[:k]]


def _feature(
    kind: FeatureKind, pairs: Sequence[tuple[str, str]], rng: np.random.Generator
) -> PlantedFeature:
    firings: list[tuple[Firing, int]] = []
    for sense, (word, name) in enumerate(pairs):
        module = modules()[name]
        places = _spread(module.places[word], APART)
        wanted = WINDOWS // len(pairs) + (sense < WINDOWS % len(pairs))
        for place in rng.permutation(places)[:wanted].tolist():
            firings.append((_firing(module, word, place, float(rng.lognormal(1.0, 0.4))), sense))
    firings.sort(key=lambda pair: -float(pair[0].activations.max()))
    return PlantedFeature(
        kind,
        FeatureEvidence(firings=[firing for firing, _ in firings]),
        np.asarray([sense for _, sense in firings], dtype=np.int64),
        list(pairs),
    )


def _firing(module: ModuleText, word: str, place: int, strength: float) -> Firing:
    """Return the example around a place; the word fires there, and weaker where it recurs."""
    first, last = max(0, place - BEFORE), min(len(module.begins), place + AFTER)
    start = int(module.begins[first])
    text = module.text[start : int(module.ends[last - 1])]
    own = module.places[word]
    positions = own[(own >= first) & (own < last)]
    activations = np.where(positions == place, strength, strength * 0.8).astype(np.float32)
    identity = hashlib.sha256(f"{module.name} {place}".encode()).digest()
    block = hashlib.sha256(f"{module.name} block {module.blocks[place]}".encode()).digest()
    number = int.from_bytes(identity[:7])
    return Firing(
        passage=Passage(
            id=number,
            document_id=int.from_bytes(block[:7]),
            document_hash=int.from_bytes(block[:8]),
            group=number,
            text=text,
            begins=module.begins[first:last] - start,
            ends=module.ends[first:last] - start,
            tag=None,
            language=None,
        ),
        peak=place - first,
        positions=(positions - first).astype(np.int32),
        activations=activations,
    )
