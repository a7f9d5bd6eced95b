"""Material of features planted into the standard library's own documentation.

A concept is one word in the documentation of one module. Docstrings and comments are dealt out by
a hash: some are for whoever stands in for a language model to know the library by, some are shown
as examples, some are held out. So no text is in two of these places.
"""

import ast
import hashlib
import math
import re
import sysconfig
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final, Literal, NamedTuple

import numpy as np

from scopebook_workers.labeling.evidence import Firing, Passage
from scopebook_workers.labeling.material import Cluster, Material, Quiet

MODULES: Final = 55
SHOWN: Final = 8
HELD_OUT: Final = 8
#: Tokens kept before and after the firing one; examples of a sense lie so far apart at least.
BEFORE, AFTER, APART = 64, 32, 24
TOKEN: Final = re.compile(r"\s*(?:\w+|[^\w\s])")
WORD: Final = re.compile(r"[a-z]{4,}")
_COMMENT: Final = re.compile(r"(?:^[ \t]*#[^\n]*\n)+", re.MULTILINE)
_LEFT_OUT: Final = frozenset(
    {"site-packages", "dist-packages", "test", "tests", "lib2to3", "pydoc_data", "turtledemo"}
    | {"encodings", "ensurepip", "idle_test", "__phello__"}
)
_COMMON_MODULES: Final = 30

Part = Literal["known", "shown", "held out"]


class Concept(NamedTuple):
    """A word in the documentation of a module."""

    word: str
    module: str


class Place(NamedTuple):
    """A word's token in a block of documentation."""

    block: int
    token: int


@dataclass(frozen=True, eq=False)
class ModuleText:
    """A module's docstrings and comments, as blocks, and what each block is for."""

    name: str
    summary: str
    blocks: Sequence[str]
    spans: Sequence[Sequence[tuple[int, int]]]
    parts: Sequence[Part]
    places: dict[str, dict[Part, list[Place]]] = field(default_factory=dict)

    def words(self, part: Part) -> Counter[str]:
        """Count the words of the blocks that are for one purpose."""
        return Counter(
            word
            for block, of in zip(self.blocks, self.parts, strict=True)
            if of == part
            for word in re.findall(r"[a-z]{3,}", block.lower())
        )


@dataclass(frozen=True, eq=False)
class PlantedMaterial:
    """A feature's material, and the concept of each of its clusters."""

    key: str
    material: Material
    concepts: Sequence[Concept]


@cache
def library() -> dict[str, ModuleText]:
    """Return the modules with most documentation, by name."""
    texts: dict[str, list[str]] = defaultdict(list)
    summaries: dict[str, str] = {}
    root = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).parts
        if _LEFT_OUT & set(parts):
            continue
        name = parts[0].removesuffix(".py")
        found = _blocks(path)
        texts[name] += found
        if found and parts[-1] in (f"{name}.py", "__init__.py") and len(parts) <= 2:
            summaries.setdefault(name, _summary(found[0]))
    sizes = {name: sum(map(len, blocks)) for name, blocks in texts.items() if summaries.get(name)}
    largest = sorted(sizes, key=lambda name: (-sizes[name], name))[:MODULES]
    return {name: _module(name, summaries[name], texts[name]) for name in sorted(largest)}


def _blocks(path: Path) -> list[str]:
    source = path.read_text("utf-8", "replace")
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # the library keeps some broken files for its own tests
        return []
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    docs = [ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, kinds)]
    comments = [re.sub(r"^[ \t]*#+ ?", "", run[0], flags=re.M) for run in _COMMENT.finditer(source)]
    return [paragraph for text in (*docs, *comments) if text for paragraph in _pieces(text)]


def _pieces(text: str) -> list[str]:
    """Cut a long text at empty lines, so that it can be dealt out."""
    pieces = [""]
    for paragraph in re.split(r"\n\s*\n", text):
        pieces[-1] += "\n\n" + paragraph if pieces[-1] else paragraph
        if len(pieces[-1]) > 600:
            pieces.append("")
    return [piece for piece in pieces if piece.strip()]


def _summary(docstring: str) -> str:
    first = docstring.strip().split("\n\n")[0]
    return " ".join(first.split())[:200]


def _part_of(name: str, block: str) -> Part:
    lot = hashlib.sha256(f"{name}\0{block}".encode("utf-8", "replace")).digest()[0] % 8
    return "known" if lot < 3 else "held out" if lot < 5 else "shown"


def _module(name: str, summary: str, blocks: Sequence[str]) -> ModuleText:
    blocks = list(dict.fromkeys(blocks))
    spans = [[found.span() for found in TOKEN.finditer(block)] for block in blocks]
    module = ModuleText(name, summary, blocks, spans, [_part_of(name, b) for b in blocks])
    for number, (block, of) in enumerate(zip(blocks, module.parts, strict=True)):
        last: dict[str, int] = {}
        for token, (begin, end) in enumerate(spans[number]):
            word = block[begin:end].strip()
            if WORD.fullmatch(word) and token - last.get(word, -APART) >= APART:
                last[word] = token
                found = module.places.setdefault(word, {"known": [], "shown": [], "held out": []})
                found[of].append(Place(number, token))
    return module


@cache
def concepts() -> list[Concept]:
    """Return every concept with enough places to be shown, held out and known."""
    spread = Counter(word for module in library().values() for word in module.places)
    return [
        Concept(word, name)
        for name, module in library().items()
        for word, places in sorted(module.places.items())
        if spread[word] <= _COMMON_MODULES
        and len(places["shown"]) >= SHOWN
        and len(places["held out"]) >= HELD_OUT
        and len(places["known"]) >= SHOWN
    ]


def firing_at(module: ModuleText, place: Place, activation: float) -> Firing:
    """Return the example around a place; the word fires there alone."""
    spans = module.spans[place.block]
    first, last = max(0, place.token - BEFORE), min(len(spans), place.token + AFTER)
    start = spans[first][0]
    return Firing(
        passage=make_passage(
            module.blocks[place.block][start : spans[last - 1][1]],
            [(begin - start, end - start) for begin, end in spans[first:last]],
            document=f"{module.name} {place.block}",
        ),
        peak=place.token - first,
        positions=np.asarray([place.token - first], dtype=np.int32),
        activations=np.asarray([activation], dtype=np.float32),
    )


def make_passage(text: str, spans: Sequence[tuple[int, int]], *, document: str) -> Passage:
    """Return a passage with these tokens; its numbers come from the text alone."""
    hashed = hashlib.sha256(document.encode("utf-8", "replace")).digest()
    own = int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:7])
    return Passage(
        id=own,
        document_id=int.from_bytes(hashed[:7]),
        document_hash=int.from_bytes(hashed[:8]),
        group=own,
        text=text,
        begins=np.asarray([begin for begin, _ in spans], dtype=np.int32),
        ends=np.asarray([end for _, end in spans], dtype=np.int32),
        tag=None,
        language=None,
    )


def plant(groups: Iterable[Sequence[Concept]], *, seed: int) -> list[PlantedMaterial]:
    """Return a feature for each group of concepts, with a cluster for each concept."""
    return [
        _feature(f"planted/{number}", list(group), np.random.default_rng([seed, number]))
        for number, group in enumerate(groups)
    ]


def singles(n: int, *, seed: int = 0) -> list[list[Concept]]:
    """Return n concepts, each alone."""
    rng = np.random.default_rng([seed, 1])
    drawn = rng.permutation(len(concepts()))
    return [[concepts()[int(i)]] for i in drawn[:n]]


def unions(n: int, *, seed: int = 0) -> list[list[Concept]]:
    """Return n groups of two or three concepts that share neither word nor module."""
    rng = np.random.default_rng([seed, 2])
    groups: list[list[Concept]] = []
    while len(groups) < n:
        group: list[Concept] = []
        while len(group) < 2 + len(groups) % 2:
            drawn = concepts()[int(rng.integers(len(concepts())))]
            if all(drawn.word != one.word and drawn.module != one.module for one in group):
                group.append(drawn)
        groups.append(group)
    return groups


def _feature(key: str, group: list[Concept], rng: np.random.Generator) -> PlantedMaterial:
    firings: list[Firing] = []
    clusters: list[Cluster] = []
    for concept in group:
        module = library()[concept.module]
        places = module.places[concept.word]
        positions: dict[str, list[int]] = {}
        for part, wanted in (("shown", SHOWN), ("held out", HELD_OUT)):
            drawn = rng.permutation(len(places[part]))[:wanted]
            strengths = np.sort(rng.lognormal(1.0, 0.4, len(drawn)))[::-1]
            positions[part] = list(range(len(firings), len(firings) + len(drawn)))
            firings += [
                firing_at(module, places[part][int(i)], float(strength))
                for i, strength in zip(drawn, strengths, strict=True)
            ]
        clusters.append(
            Cluster(
                members=positions["shown"],
                medoid=positions["shown"][0],
                share=1 / len(group),
                keywords=keywords_of([firings[i].passage.text for i in positions["shown"]]),
                representatives=positions["shown"],
                held_out=positions["held out"],
            )
        )
    return PlantedMaterial(key, _material(firings, clusters, rng), group)


def _material(firings: list[Firing], clusters: list[Cluster], rng: np.random.Generator) -> Material:
    other = library()[str(rng.choice(sorted(library())))]
    spans = other.spans[0]
    quiet = Quiet(
        passage=make_passage(other.blocks[0], spans, document=f"{other.name} 0"),
        center=len(spans) // 2,
    )
    return Material(
        kind="context",
        firings=firings,
        clusters=clusters,
        unassigned=0.0,
        held_out=[i for cluster in clusters for i in cluster.held_out],
        contrasts=[quiet],
    )


def keywords_of(texts: Sequence[str]) -> list[str]:
    """Return the words that most of the texts hold and few modules do, best first."""
    held = Counter(word for text in texts for word in set(re.findall(r"[a-z]{3,}", text.lower())))
    shares = _module_shares()
    rated = {
        word: n * math.log(1 / shares.get(word, 0.5 / MODULES))
        for word, n in held.items()
        if n >= 2
    }
    return sorted(rated, key=lambda word: (-rated[word], word))[:8]


@cache
def _module_shares() -> dict[str, float]:
    held = Counter(word for module in library().values() for word in module.words("known"))
    return {word: n / len(library()) for word, n in held.items()}
