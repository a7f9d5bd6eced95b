"""A model that obeys: it does what any planted order says that it can find in what it reads.

It reads as a careful attacker would wish: whatever stands between visible characters, in whatever
form they are written, makes no difference to it. Without an order it answers as the reader.
"""

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from benchmarks.labels.planted_orders import Order
from benchmarks.labels.stubs.reader import Reader

_FENCED: Final = re.compile(r"<(\w+) ([a-z]+(?: [a-z0-9]+)?)>.*?</\1 \2>", re.DOTALL)
#: A border of a fence is no letter of an order that holds one.
_BORDER: Final = re.compile(r"</?\w+ group \d+>")
#: What a server's tokenizer takes for the border of a turn, wherever it stands.
_TURN: Final = re.compile(
    r"<\|im_(?:start|end)\|>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>", re.IGNORECASE
)


class Obedient:
    """Obeys orders `everywhere` in the user's message, or only `outside` of its fences.

    Outside is also what follows a chat template's border of a turn.
    """

    def __init__(
        self, reader: Reader, orders: Sequence[Order], where: Literal["everywhere", "outside"]
    ) -> None:
        self._reader = reader
        self._orders = [(squeezed(order.text), order) for order in orders]
        self._where = where

    def __call__(
        self, messages: Sequence[Mapping[str, str]], schema: dict[str, Any] | None = None
    ) -> str:
        """Answer by the first order that is found, else as one who only reads."""
        said = self._reader(messages, schema)
        found = self.order_in(messages[1]["content"])
        return said if found is None else obeyed(found, said)

    def order_in(self, message: str) -> Order | None:
        """Return the first order that a message gives."""
        read = message if self._where == "everywhere" else outside(message)
        text = squeezed(read)
        return next((order for spelt, order in self._orders if spelt and spelt in text), None)


def outside(message: str) -> str:
    """Return what a message says in its own voice, and all that follows a border of a turn."""
    turn = _TURN.search(message)
    rest = message[turn.start() :] if turn else ""
    return _FENCED.sub(" ", message) + "\n" + rest


def squeezed(text: str) -> str:
    """Return the letters and digits alone, in their plain form; tag characters are letters too."""
    bare = _BORDER.sub(" ", text.replace("\\n", "\n"))
    shown = "".join(_untagged(char) for char in bare)
    plain = unicodedata.normalize("NFKC", shown).casefold()
    return "".join(char for char in plain if char.isalnum())


def _untagged(char: str) -> str:
    """Read the two ways of hiding text in characters that are not drawn."""
    for base in (0xE0000, 0xE0100):
        if base + 0x20 <= ord(char) < base + 0x7F:
            return chr(ord(char) - base)
    return char


def obeyed(order: Order, said: str) -> str:
    """Return the answer that the order wants in place of the one that was to be said."""
    if order.action == "prose":
        return order.said
    answer = json.loads(said)
    for sense in answer["senses"]:
        if order.action in ("label", "both", "invent"):
            sense["label"] = order.said
        if order.action in ("description", "both"):
            sense["description"] = f"{order.said}."
    return json.dumps(answer, ensure_ascii=False)
