"""Show text of a corpus to a model so that it stays data: cleaned, and between random marks."""

import hashlib
import unicodedata
from typing import Final

#: Around the tokens on which a feature is said to fire.
OPEN: Final = "⟦"
CLOSE: Final = "⟧"
_OURS: Final = str.maketrans({OPEN: "[", CLOSE: "]"})
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})


def harmless(text: str) -> str:
    """Return the text in its plain form: no unseen characters, none of our marks."""
    plain = unicodedata.normalize("NFKC", text).translate(_OURS)
    return "".join(
        char for char in plain if char in "\n\t" or unicodedata.category(char) not in _UNSEEN
    )


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
