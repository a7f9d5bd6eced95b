"""A short, honest wording of a group of windows: where they come from, and on what it fires."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from scopebook_workers.labeling.characters import LINE, legible, script_of, token_name
from scopebook_workers.labeling.origins import phrase_of_script
from scopebook_workers.labeling.reading import Window
from scopebook_workers.labeling.tongues import SCRIPTS_OF

Kind = Literal["token", "tokens", "position", "context"]

#: An origin is claimed when it holds for this share of the examples, weighted by activation, and
#: so much oftener than in the corpus.
MIN_SHARE = 0.6
MIN_LIFT = 1.25
#: Fewer examples than this prove nothing about where a feature fires.
MIN_EXAMPLES = 3
_ONE_TOKEN = 0.6
_FEW_TOKENS = 0.75
_EACH_TOKEN = 0.08
_MOST_TOKENS = 4
_LEADING_TOKEN = 0.12
_AT_START = 0.8
_ITEMS = 4


@dataclass(frozen=True)
class Findings:
    """What a group of windows has in common."""

    kind: Kind
    phrase: str | None
    tokens: Sequence[str]  # that it fires on, as written in the text
    keywords: Sequence[str]


def find(
    windows: Sequence[Window],
    keywords: Sequence[str],
    *,
    base: Mapping[str, float],
    top_tokens: Sequence[tuple[bytes, float]] = (),
) -> Findings:
    """Return what the windows share; `base` is each phrase's share of the corpus' passages."""
    shares = token_shares(windows, top_tokens)
    kind, tokens = _kind(shares)
    if kind == "context" and _mostly_at_start(windows):
        kind = "position"
    phrase = phrase_of(windows, base) or script_phrase_of(shares, base)
    return Findings(kind, phrase, tokens, keywords)


def token_shares(
    windows: Sequence[Window], top_tokens: Sequence[tuple[bytes, float]] = ()
) -> dict[str, float]:
    """Return each firing token's share of the activation, largest first.

    Tokens that differ in case or in blanks around them are one, spelt as the strongest is. The
    exact shares of the whole feature, where given, count as much as those of the examples.
    """
    mass: dict[str, float] = defaultdict(float)
    spellings: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    seen = [pair for window in windows for pair in window.fired]
    known = [(piece.decode("utf-8", "replace"), share) for piece, share in top_tokens]
    for pairs, part in ((seen, 0.5 if known else 1.0), (known, 0.5)):
        total = sum(amount for _, amount in pairs) if pairs is seen else 1.0
        for text, amount in pairs:
            key = text.strip().casefold() or text
            mass[key] += part * amount / max(total, 1e-12)
            spellings[key][text] += part * amount
    ranked = sorted(mass, key=lambda key: (-mass[key], key))
    return {
        max(spellings[key], key=lambda text: spellings[key][text]): mass[key]
        for key in ranked
        if "\ufffd" not in key
    }


def _kind(shares: Mapping[str, float]) -> tuple[Kind, list[str]]:
    tokens = list(shares)
    if tokens and shares[tokens[0]] >= _ONE_TOKEN:
        return "token", tokens[:1]
    together = 0.0
    for count, token in enumerate(tokens[:_MOST_TOKENS], 1):
        if shares[token] < _EACH_TOKEN:
            break
        together += shares[token]
        if together >= _FEW_TOKENS:
            return "tokens", tokens[:count]
    return "context", [token for token in tokens[:2] if shares[token] >= _LEADING_TOKEN]


def _mostly_at_start(windows: Sequence[Window]) -> bool:
    at_start = sum(window.at_start for window in windows)
    return len(windows) >= MIN_EXAMPLES and at_start >= _AT_START * len(windows)


def phrase_of(windows: Sequence[Window], base: Mapping[str, float]) -> str | None:
    """Return the phrase for where the windows come from, or None when none may be claimed.

    The specific one ("Spanish Bible verses") is taken unless the general one ("Spanish text")
    holds for many more of the windows.
    """
    if len(windows) < MIN_EXAMPLES:
        return None
    total = sum(window.activation for window in windows) or 1.0
    shares: dict[str, float] = defaultdict(float)
    rank: dict[str, int] = {}
    for window in windows:
        for place, phrase in enumerate(window.origin.phrases):
            shares[phrase] += window.activation / total
            rank[phrase] = max(place, rank.get(phrase, 0))
    claims = [
        phrase
        for phrase, share in shares.items()
        if share >= MIN_SHARE - 1e-9 and share >= MIN_LIFT * base.get(phrase, 0.0)
    ]
    if not claims:
        return None
    most = max(shares[phrase] for phrase in claims)
    return min(
        (phrase for phrase in claims if shares[phrase] >= 0.8 * most),
        key=lambda phrase: (rank[phrase], -shares[phrase], phrase),
    )


def script_phrase_of(shares: Mapping[str, float], base: Mapping[str, float]) -> str | None:
    """Return the phrase for the script in which the firing tokens are written, if one prevails.

    Latin letters say too little; a script that the whole corpus is written in says nothing.
    """
    mass: dict[str, float] = defaultdict(float)
    for token, share in shares.items():
        script = next(filter(None, map(script_of, token)), None)
        if script is not None:
            mass[script] += share
    script = max(mass, key=lambda name: mass[name], default="Latin")
    if script == "Latin" or mass[script] < MIN_SHARE:
        return None
    phrase = phrase_of_script(script)
    tongues = [f"{name} text" for name, scripts in SCRIPTS_OF.items() if scripts[0] == script]
    common = max(base.get(name, 0.0) for name in (phrase, *tongues))
    return phrase if mass[script] >= MIN_LIFT * common else None


def word(findings: Findings, *, items: int = _ITEMS, origins: Sequence[str] = ()) -> str:
    """Return the wording, e.g. `German text: werden, Datei` or `the token "der" in German text`.

    `origins` are the phrases of a mixed feature's senses, named when the whole has none.
    """
    where = findings.phrase or " / ".join(origins)
    if findings.kind in ("token", "tokens"):
        names = [token_name(token) for token in findings.tokens]
        head = ("the token " if len(names) == 1 else "the tokens ") + ", ".join(names)
        return legible(f"{head} in {where}" if where else head)
    if findings.kind == "position":
        head = "the first tokens of a passage"
        return legible(f"{head} in {where}" if where else head)
    listed = _items(findings)[:items]
    if findings.phrase:
        return legible(f"{findings.phrase}: {', '.join(listed)}" if listed else findings.phrase)
    return legible(f"text with {', '.join(listed)}" if listed else "text without common words")


def _items(findings: Findings) -> list[str]:
    """Return leading firing tokens, then keywords, none twice; words bare, other tokens quoted."""
    listed: list[str] = []
    seen: set[str] = set()
    for token in findings.tokens:
        bare = token.strip()
        key = bare.casefold()
        bareword = any(key == keyword.casefold() for keyword in findings.keywords)
        bareword |= bare.isalpha() and not bare.isascii()
        listed.append(legible(bare) if bareword else token_name(token))
        seen.add(key)
    listed += [keyword for keyword in findings.keywords if keyword.casefold() not in seen]
    return listed


def word_mixed(parts: Sequence[Findings]) -> str:
    """Return the wordings of a mixed feature's largest senses, joined."""
    texts: list[str] = []
    for part in parts[:3]:
        text = word(part, items=2)
        if text not in texts and len(" / ".join([*texts, text])) <= LINE:
            texts.append(text)
    return legible(" / ".join(texts))
