"""What entries of the history name: row ids in the database, numbers and names in a dump.

An entry names what it changed by a slot (`review:12:3`: the label, the account), and holds ids in
what was before and after. Both directions go through here, so that they agree.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple


class Named(NamedTuple):
    """Something that an entry names: its kind, and an id, a number or a name."""

    kind: str
    name: str


#: Looks up what one of them is called on the other side.
Names = Callable[[Named], str]

#: What the parts behind the word of a slot are; a `place` is the same on both sides. The last part
#: may hold colons.
_PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "label": ("label",),
    "review": ("label", "account"),
    "pin": ("sense",),
    "opinion": ("opinion",),
    "comment": ("comment",),
    "tag": ("tag",),
    "example": ("run", "place", "context"),
    "grouping": ("run",),
}
#: Which slot is written to, by the kind of the entry; an undo writes to that of what it undoes.
SLOT_OF: Final[Mapping[str, str]] = {
    "propose": "label",
    "review": "review",
    "pin": "pin",
    "second_opinion": "opinion",
    "comment": "comment",
    "tag": "tag",
    "example": "example",
    "grouping": "grouping",
}
#: Under which keys what was before or after names something.
_KEYS: Final = {
    "label_id": "label",
    "labeling_id": "labeling",
    "context_id": "context",
    "closed": "opinion",
}


def parts_of(slot: str) -> list[Named]:
    """Return what a slot names.

    Raises:
        ValueError: It is no slot of the history.
    """
    word, _, rest = slot.partition(":")
    kinds = _PARTS.get(word, ())
    names = rest.split(":", len(kinds) - 1) if kinds else []
    if not kinds or len(names) != len(kinds) or "" in names:
        raise ValueError(slot)
    return [Named(kind, name) for kind, name in zip(kinds, names, strict=True)]


def renamed_slot(slot: str, names: Names) -> str:
    """Return a slot as it is called on the other side."""
    others = [part.name if part.kind == "place" else names(part) for part in parts_of(slot)]
    return ":".join([slot.partition(":")[0], *others])


def named_in(state: Any) -> Iterator[Named]:
    """Yield what a state before or after an entry names."""
    for key, value in (state or {}).items():
        if key in _KEYS:
            for one in value if isinstance(value, list) else [value]:
                yield Named(_KEYS[key], str(one))


def renamed_state(state: Any, names: Names) -> Any:
    """Return a state before or after an entry as it is on the other side."""
    if state is None:
        return None

    def renamed(key: str, value: Any) -> Any:
        if key not in _KEYS:
            return value
        if isinstance(value, list):
            return [int(names(Named(_KEYS[key], str(one)))) for one in value]
        return int(names(Named(_KEYS[key], str(value))))

    return {key: renamed(key, value) for key, value in state.items()}


def all_named(slots: Sequence[str], states: Sequence[Any]) -> dict[str, set[str]]:
    """Return all that slots and states name, by kind."""
    found: dict[str, set[str]] = {}
    for slot in slots:
        for part in parts_of(slot):
            found.setdefault(part.kind, set()).add(part.name)
    for state in states:
        for part in named_in(state):
            found.setdefault(part.kind, set()).add(part.name)
    return found
