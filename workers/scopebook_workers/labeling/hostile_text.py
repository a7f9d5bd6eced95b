"""Show text of a corpus to a model so that it stays data: cleaned, and between random marks."""

import hashlib
import re
import unicodedata
from functools import lru_cache
from typing import Final

#: Around the tokens on which a feature is said to fire.
OPEN: Final = "⟦"
CLOSE: Final = "⟧"
_OURS: Final = str.maketrans({OPEN: "[", CLOSE: "]"})
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
#: Characters of other kinds that are not drawn: joiners, fillers, variation selectors, an empty
#: Braille cell. Whole texts can be hidden in runs of them.
_NOT_DRAWN: Final = frozenset(
    chr(code)
    for code in (
        *(0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0),
        *(*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)),
    )
)
#: Marks stacked on one letter, beyond which they are dropped.
_STACKED: Final = 3
#: What servers read as the border of a turn, wherever it stands; a blank breaks it.
_TURN: Final = re.compile(
    r"<(?=\||<SYS>>|</SYS>>)|\|(?=>)"
    r"|<(?=/?(?:s|bos|eos|pad|unk|think|tools?|tool_\w+|(?:start|end)_of_\w+)>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_\w+)\])",
    re.IGNORECASE,
)


def harmless(text: str) -> str:
    """Return the text in its plain form: no unseen characters, no marks of ours or of chats."""
    plain = unicodedata.normalize("NFKC", text).translate(_OURS)
    if any(map(_needs_a_look, set(plain))):
        # Composed once more: what was dropped may have kept two characters apart.
        plain = unicodedata.normalize("NFKC", _seen(plain)).translate(_OURS)
    return _TURN.sub(lambda found: f"{found[0]} ", plain)


@lru_cache(maxsize=16_384)
def _needs_a_look(char: str) -> bool:
    """Tell whether a character may be unseen or stacked; most texts hold none of these."""
    if char in "\n\t":
        return False
    category = unicodedata.category(char)
    return category in _UNSEEN or category in ("Mn", "Me", "Zl", "Zp") or char in _NOT_DRAWN


def _seen(text: str) -> str:
    kept: list[str] = []
    marks = 0
    for char in text:
        category = unicodedata.category(char)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        unseen = category in _UNSEEN or char in _NOT_DRAWN or marks > _STACKED
        if char in "\n\t" or not unseen:
            kept.append(char)
        elif char in "\r\v\f\x85":
            kept.append("\n")
    return "".join(kept).replace("\u2028", "\n").replace("\u2029", "\n")


def delimiter_of(*parts: str) -> str:
    """Return a word that none of the parts holds and nobody can foresee without all of them."""
    whole = "\0".join(parts)
    for count in range(1_000):
        word = hashlib.sha256(f"{count}\0{whole}".encode("utf-8", "replace")).hexdigest()[:12]
        if word not in whole:
            return word
    raise AssertionError("a text cannot hold a thousand of its own hashes")


def fenced(delimiter: str, name: str, text: str) -> str:
    """Return the text between two lines that nothing in it can close."""
    return f"<{delimiter} {name}>\n{text}\n</{delimiter} {name}>"
