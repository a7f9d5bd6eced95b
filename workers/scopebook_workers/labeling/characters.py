"""Characters: which script they belong to, and text that is safe and legible in one line."""

import unicodedata
from bisect import bisect_right
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

#: First and last code point of the scripts we tell apart; unlisted letters count as "Other".
_RANGES: Final = (
    (0x41, 0x5A, "Latin"),
    (0x61, 0x7A, "Latin"),
    (0xC0, 0x24F, "Latin"),
    (0x370, 0x3FF, "Greek"),
    (0x400, 0x52F, "Cyrillic"),
    (0x531, 0x58F, "Armenian"),
    (0x591, 0x5F4, "Hebrew"),
    (0x610, 0x6FF, "Arabic"),
    (0x750, 0x77F, "Arabic"),
    (0x8A0, 0x8FF, "Arabic"),
    (0x900, 0x97F, "Devanagari"),
    (0x980, 0x9FF, "Bengali"),
    (0xA00, 0xA7F, "Gurmukhi"),
    (0xA80, 0xAFF, "Gujarati"),
    (0xB80, 0xBFF, "Tamil"),
    (0xC00, 0xC7F, "Telugu"),
    (0xC80, 0xCFF, "Kannada"),
    (0xD00, 0xD7F, "Malayalam"),
    (0xD80, 0xDFF, "Sinhala"),
    (0xE01, 0xE4E, "Thai"),
    (0xE81, 0xECD, "Lao"),
    (0x1000, 0x109F, "Myanmar"),
    (0x10A0, 0x10FF, "Georgian"),
    (0x1100, 0x11FF, "Hangul"),
    (0x1200, 0x137F, "Ethiopic"),
    (0x1780, 0x17D3, "Khmer"),
    (0x1E00, 0x1EFF, "Latin"),
    (0x1F00, 0x1FFF, "Greek"),
    (0x3041, 0x309F, "Kana"),
    (0x30A1, 0x30FF, "Kana"),
    (0x3400, 0x4DBF, "Han"),
    (0x4E00, 0x9FFF, "Han"),
    (0xAC00, 0xD7A3, "Hangul"),
    (0xF900, 0xFAFF, "Han"),
    (0xFF66, 0xFF9D, "Kana"),
    (0x20000, 0x3FFFF, "Han"),
)
#: Scripts written without spaces (or, for Hangul, with endings glued on): cut into n-grams.
SPACELESS: Final = ("Han", "Hangul", "Thai", "Lao", "Myanmar", "Khmer")
SCRIPTS: Final = tuple(dict.fromkeys(name for _, _, name in _RANGES))
_BORDERS: Final = np.asarray([edge for a, b, _ in _RANGES for edge in (a, b + 1)], dtype=np.uint32)
_SCRIPT_AT: Final = np.asarray(
    [-1, *(i for _, _, name in _RANGES for i in (SCRIPTS.index(name), -1))], dtype=np.int8
)

LINE = 120


def code_points(text: str) -> NDArray[np.uint32]:
    """Return one number for each character; halves of surrogate pairs are kept as they are."""
    return np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), dtype="<u4")


def script_shares(text: str) -> dict[str, float]:
    """Return each script's share of the letters of known scripts; empty without letters."""
    scripts = _SCRIPT_AT[np.searchsorted(_BORDERS, code_points(text), side="right")]
    counts = np.bincount(scripts[scripts >= 0], minlength=len(SCRIPTS))
    total = int(counts.sum())
    return {SCRIPTS[i]: int(counts[i]) / total for i in np.flatnonzero(counts)}


@cache
def script_of(char: str) -> str | None:
    """Return the script of one character, or None."""
    number = int(_SCRIPT_AT[bisect_right(_BORDERS, ord(char))])
    return SCRIPTS[number] if number >= 0 else None


_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})


def legible(text: str, *, limit: int = LINE) -> str:
    """Return `text` as one clean line of at most `limit` characters.

    Control, format (bidirectional overrides, zero width), private and unassigned characters are
    dropped, any space becomes one blank, and marks stacked on a letter stop after three.
    """
    kept: list[str] = []
    marks = 0
    for char in text[: 4 * limit]:
        category = unicodedata.category(char)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if category.startswith("Z") or char in "\t\n\r\v\f":
            kept.append(" ")
        elif category not in _UNSAFE and marks <= 3:
            kept.append(char)
    line = unicodedata.normalize("NFC", " ".join("".join(kept).split()))
    return line if len(line) <= limit and len(text) <= 4 * limit else _cut(line, limit)


def _cut(line: str, limit: int) -> str:
    """Cut at a blank where one is near the end, and never before a combining mark."""
    end = min(limit - 1, len(line))
    while end > 0 and end < len(line) and unicodedata.combining(line[end]):
        end -= 1
    head = line[:end]
    blank = head.rfind(" ")
    if end < len(line) and blank > limit * 2 // 3:
        head = head[:blank]
    return head.rstrip(" ,/:") + "…"


_NAMES: Final = {
    ".": "full stop", ",": "comma", ";": "semicolon", ":": "colon", "?": "question mark",
    "!": "exclamation mark", "'": "apostrophe", '"': "quotation mark", "`": "backtick",
    "(": "opening parenthesis", ")": "closing parenthesis", "[": "opening bracket",
    "]": "closing bracket", "{": "opening brace", "}": "closing brace", "<": "less-than sign",
    ">": "greater-than sign", "=": "equals sign", "==": "double equals sign", "+": "plus sign",
    "-": "hyphen", "–": "dash", "—": "dash", "_": "underscore", "*": "asterisk", "/": "slash",
    "\\": "backslash", "|": "vertical bar", "&": "ampersand", "#": "hash sign", "@": "at sign",
    "$": "dollar sign", "%": "percent sign", "^": "caret", "~": "tilde", "->": "arrow",
    "::": "double colon", "“": "opening quotation mark", "”": "closing quotation mark",
    "„": "low quotation mark", "«": "opening guillemet", "»": "closing guillemet",
    "。": "ideographic full stop", "、": "ideographic comma", "，": "full-width comma",
    "：": "full-width colon", "；": "full-width semicolon", "（": "opening parenthesis",
    "）": "closing parenthesis", "「": "opening corner bracket", "」": "closing corner bracket",
    "《": "opening title mark", "》": "closing title mark", "…": "ellipsis", "...": "ellipsis",
}  # fmt: skip
_BLANKS: Final = {" ": "space", "\n": "newline", "\t": "tab", "\r": "carriage return",
                  "\u3000": "wide space", "\u00a0": "fixed space"}  # fmt: skip
_TOKEN = 24


def token_name(token: str) -> str:
    """Return how a label writes a token: in quotes, its sign's name behind, blanks by name."""
    bare = token.strip()
    if not bare:
        return _blank_name(token)
    shown = legible(bare, limit=_TOKEN)
    if not shown:
        return "an invisible character"
    name = _NAMES.get(shown)
    if shown == '"':
        return "quotation mark"
    quoted = '"{}"'.format(shown.replace('"', "'"))
    return f"{quoted} ({name})" if name else quoted


def _blank_name(token: str) -> str:
    """Return e.g. `newline + space x4`."""
    if not token:
        return "an empty token"
    runs: list[tuple[str, int]] = []
    for char in token:
        name = _BLANKS.get(char, "blank")
        if runs and runs[-1][0] == name:
            runs[-1] = (name, runs[-1][1] + 1)
        else:
            runs.append((name, 1))
    return " + ".join(name if n == 1 else f"{name} x{n}" for name, n in runs[:3])
