"""Read what a release or model says about its licence and its use."""

import re
from dataclasses import dataclass
from pathlib import Path

UNKNOWN_LICENCE = "unknown"
_LONGEST_CARD = 200_000
_FRONT_MATTER = re.compile(r"\A---\s*\n(.*?)\n---\s*(?:\n|\Z)", re.DOTALL)
_ENTRY = re.compile(r"^(license|license_name):[ \t]*['\"]?([^'\"\s#]+)", re.MULTILINE)
_HEADING = re.compile(r"(?P<marks>#{1,6})\s|>\s*\[!(?P<alert>[A-Z]+)\]|\*\*.+?\*\*")


@dataclass(frozen=True)
class Card:
    """A repository's README and licence; empty where there is none."""

    licence: str
    text: str
    caution: str
    licence_text: str


def read_card(folder: Path) -> Card:
    """Read the card that lies beside the files; what cannot be read counts as not there."""
    text = _text(folder / "README.md")
    licences = sorted(folder.glob("LICEN[CS]E*"))
    return Card(
        licence=licence_of(text),
        text=text,
        caution=caution_of(text),
        licence_text=_text(licences[0]) if licences else "",
    )


def licence_of(card: str) -> str:
    """Return the licence that a card's metadata names; `other` stands for its own name."""
    match = _FRONT_MATTER.match(card)
    named: dict[str, str] = dict(_ENTRY.findall(match[1])) if match else {}
    licence = named.get("license", UNKNOWN_LICENCE)
    return named.get("license_name", licence) if licence == "other" else licence


def caution_of(card: str) -> str:
    """Return the section that warns about the use, word for word, or nothing.

    It starts at a heading, a bold line or an alert that says "caution" and ends before the next
    heading of the same rank (an alert: with its quote).
    """
    lines = _FRONT_MATTER.sub("", card).splitlines()
    for start, line in enumerate(lines):
        match = _HEADING.match(line.strip())
        if match and re.search("caution", line, re.IGNORECASE):
            end = _section_end(lines, start, match)
            return "\n".join(lines[start:end]).strip()
    return ""


def _section_end(lines: list[str], start: int, heading: re.Match[str]) -> int:
    rank = len(heading["marks"] or "######")
    for number, line in enumerate(lines[start + 1 :], start + 1):
        if heading["alert"] and not line.lstrip().startswith(">"):
            return number
        following = re.match(r"(#{1,6})\s", line)
        if following and len(following[1]) <= rank:
            return number
    return len(lines)


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(_LONGEST_CARD).replace("\x00", "")
    except OSError:
        return ""
