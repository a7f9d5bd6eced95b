"""Where a passage comes from, in words: by its document's tag and language, else by its text."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from scopebook_workers.labeling.characters import legible, script_shares
from scopebook_workers.labeling.evidence import Passage
from scopebook_workers.labeling.tongues import (
    CODE_MARKS,
    LANGUAGES,
    NAMES,
    PROGRAMMING,
    SCRIPTS_OF,
    STOP_WORDS,
)

#: What sort of text a part of a tag names.
_GENRES: Final = {
    "article": "articles", "articles": "articles", "bible": "Bible verses",
    "book": "books", "books": "books", "changelog": "changelog entries",
    "changelogs": "changelog entries", "chat": "chat messages", "code": "code",
    "dialogue": "dialogue", "doc": "documentation", "docs": "documentation",
    "documentation": "documentation", "email": "emails", "fiction": "fiction",
    "finance": "financial text", "forum": "forum posts", "handbook": "documentation",
    "help": "documentation", "law": "legal text", "legal": "legal text",
    "licence": "licence text", "license": "licence text", "mail": "emails", "man": "documentation",
    "manpages": "documentation", "manual": "documentation", "math": "mathematics",
    "medical": "medical text", "medicine": "medical text", "news": "news", "novel": "fiction",
    "patent": "patents", "patents": "patents", "pod": "documentation", "poem": "poems",
    "poems": "poems", "poetry": "poems", "prose": "prose", "quotes": "quotations",
    "quran": "Quran verses", "recipe": "recipes", "recipes": "recipes", "review": "reviews",
    "reviews": "reviews", "science": "scientific text", "song": "songs", "songs": "songs",
    "source": "code", "speech": "speeches", "subtitles": "subtitles", "text": "text",
    "tutorial": "documentation", "tweets": "tweets", "web": "web pages",
    "wiki": "Wikipedia articles", "wikipedia": "Wikipedia articles",
}  # fmt: skip
_LONGEST_TAG = 40
_SCRIPT_FLOOR = 0.25


@dataclass(frozen=True)
class Origin:
    """Phrases that hold for a passage, the most specific first; `stated` by metadata or guessed."""

    phrases: tuple[str, ...]
    stated: bool


def origin_of(passage: Passage) -> Origin:
    """Return what can be said of a passage's origin; no phrases when nothing is sure."""
    shares = script_shares(passage.text)
    tag = (passage.tag or "")[:_LONGEST_TAG]
    phrases, language = _stated(tag, (passage.language or "")[:_LONGEST_TAG])
    if language and not _in_script(language, shares):
        phrases = ()
    if phrases:
        return Origin(phrases, stated=True)
    guess = _guess(passage.text, shares)
    return Origin(tuple(dict.fromkeys(guess)), stated=False)


@lru_cache(maxsize=4096)
def _stated(tag: str, language: str) -> tuple[tuple[str, ...], str | None]:
    """Return the phrases of a tag and a language, and the natural language they claim."""
    named = language_name(language)
    specific, general, tongue = words_of_tag(tag, named)
    phrases = [phrase for phrase in (specific, general) if phrase]
    return tuple(dict.fromkeys(phrases)), tongue


def language_name(language: str) -> str | None:
    """Return the English name of a language given by name or code (`zh-CN`), or None."""
    line = legible(language, limit=_LONGEST_TAG)
    if not line:
        return None
    code = re.split(r"[-_]", line.lower())[0]
    return LANGUAGES.get(code) or NAMES.get(line.lower()) or line[:1].upper() + line[1:]


def words_of_tag(tag: str, language: str | None) -> tuple[str | None, str | None, str | None]:
    """Return a tag in words, the wider class it belongs to, and its natural language if any.

    `python` -> `Python code`, `source code`; `bible_es` -> `Spanish Bible verses`, `Spanish text`;
    `zh` -> `Chinese text`; `customer-mail` -> `customer emails`; any other tag gets " text".
    """
    parts = re.findall(r"[^\s_\-./:,;|]+", legible(tag, limit=_LONGEST_TAG))
    tongue = program = genre = None
    rest: list[str] = []
    for part in parts:
        low = part.lower()
        if tongue is None and (low in NAMES or low in LANGUAGES):
            tongue = NAMES.get(low) or LANGUAGES[low]
        elif program is None and low in PROGRAMMING:
            program = PROGRAMMING[low]
        elif genre is None and low in _GENRES:
            genre = _GENRES[low]
        else:
            rest.append(part)
    is_code = genre == "code" or (program is not None and genre is None)
    if is_code:
        words = [*rest, program or "", "code"]
        return " ".join(filter(None, words)), "source code", None
    spoken = tongue or language
    general = f"{spoken} text" if spoken else None
    if not (program or genre or rest):
        return general, None, spoken
    words = [tongue or "", *rest, program or "", genre or "text"]
    return " ".join(filter(None, words)), general, spoken


def _in_script(language: str, shares: Mapping[str, float]) -> bool:
    """Return whether the letters can be that language's; a tag may cover mixed documents."""
    wanted = SCRIPTS_OF.get(language)
    return wanted is None or sum(shares.get(script, 0) for script in wanted) >= _SCRIPT_FLOOR


_SCRIPT_PHRASES: Final = {
    "Han": "Chinese (Han) text",
    "Kana": "Japanese text",
    "Cyrillic": "Cyrillic text",
    "Hangul": "Korean text",
    "Thai": "Thai text",
    "Greek": "Greek text",
    "Hebrew": "Hebrew text",
}
#: Share of characters that are signs of code: prose has fewer, a program without marks has more.
_FEW_SIGNS, _MANY_SIGNS = 0.035, 0.07
_MARKED_LINES = 0.1
_SIGNS: Final = re.compile(r"[{}()\[\]=;<>$#|&*_\\+]|:$", re.MULTILINE)
_WORDS: Final = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")


def _guess(text: str, shares: Mapping[str, float]) -> list[str]:
    """Return what the text itself shows: its script, its language, or that it is a program."""
    kana, han = shares.get("Kana", 0), shares.get("Han", 0)
    if kana >= 0.1 and kana + han >= 0.4:
        return ["Japanese text"]
    main = max(shares, key=lambda script: shares[script], default=None)
    if main is None:
        return _guess_code(text)
    if main == "Latin":
        return _guess_code(text) or _guess_tongue(text, tongues=None)
    if shares[main] < 0.4:
        return []
    if main == "Cyrillic":
        named = _guess_tongue(text, tongues=_cyrillic(text.lower()))
        return [*named, "Cyrillic text"]
    return [phrase_of_script(main)]


def phrase_of_script(script: str) -> str:
    """Return the phrase for a text of which only the script is known."""
    return _SCRIPT_PHRASES.get(script, f"{script} script text")


def _cyrillic(text: str) -> tuple[str, ...]:
    """Return the languages whose letters occur: each of the three has one that others lack."""
    if "ы" in text or "э" in text:
        return ("Russian",)
    return ("Ukrainian",) if "і" in text or "ї" in text else ("Bulgarian",)


def _guess_code(text: str) -> list[str]:
    signs = len(_SIGNS.findall(text)) / max(1, len(text))
    if signs < _FEW_SIGNS:
        return []
    marks = {name: len(pattern.findall(text)) for name, pattern in CODE_MARKS.items()}
    first, second = sorted(marks, key=lambda name: -marks[name])[:2]
    lines = text.count("\n") + 1
    if marks[first] >= max(3, _MARKED_LINES * lines) and marks[first] >= 1.5 * marks[second]:
        return [f"{first} code", "source code"]
    return ["source code"] if signs >= _MANY_SIGNS else []


def _guess_tongue(text: str, *, tongues: tuple[str, ...] | None) -> list[str]:
    """Return the language whose frequent words are frequent here, if it stands out."""
    words = _WORDS.findall(text.lower())
    if len(words) < 12:
        return []
    hits = {name: sum(map(STOP_WORDS[name].__contains__, words)) for name in tongues or STOP_WORDS}
    first, *others = sorted(hits, key=lambda name: -hits[name])
    if hits[first] < 0.1 * len(words) or (others and hits[first] < 1.2 * hits[others[0]]):
        return []
    return [f"{first} text"]
