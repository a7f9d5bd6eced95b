"""Read what a language model has answered, and refuse what must not become a label."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import json_repair

from scopebook_workers.labeling.hostile_text import harmless
from scopebook_workers.labeling.prompts import KINDS

LABEL_CHARACTERS: Final = 80
DESCRIPTION_CHARACTERS: Final = 400
_EVIDENCE_CHARACTERS: Final = 400


@dataclass(frozen=True, kw_only=True)
class WordedSense:
    """The wording of one meaning; `clusters` are the numbers of those it covers, ascending."""

    clusters: tuple[int, ...]
    evidence: str
    label: str
    description: str
    kind: str
    confidence: float


@dataclass(frozen=True, kw_only=True)
class ReadAnswer:
    """What an answer amounts to; a reason is a sentence for people and for the model."""

    status: Literal["ok", "abstained", "refused", "invalid"]
    senses: tuple[WordedSense, ...] = ()
    reason: str | None = None


class _InvalidError(Exception):
    """The answer cannot stand; the message says why."""


_REFUSALS: Final = re.compile(
    r"\b(i|we)(?:'m| am| are)? (?:cannot|can't|can not|unable|won't|will not|not able)\b"
    r"|\bas an? (?:ai|language model)\b|\bi(?:'m| am) sorry\b|\bi apologi[sz]e\b"
    r"|我无法|我不能|作为(?:一个)?(?:人工智能|AI|语言模型)|抱歉",
    re.IGNORECASE,
)
_VAGUE: Final = re.compile(
    r"(?:un(?:clear|known|certain|determined)|none|n/?a|nothing|no (?:clear|common|obvious)\b.*"
    r"|various\b.*|miscellaneous\b.*|mixed|general(?: text)?"
    r"|(?:common|random|diverse) (?:words?|text)"
    r"|text|words?|-+|\.*)[.!]?",
    re.IGNORECASE,
)
#: Scratch work, markup, and what only someone who obeys the text would write.
_DENIED: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (re.compile(r"[\n\r]"), "has a line break"),
    (re.compile(r"\*\*|__|```|`|^#|<[^>]{0,40}>|^\W*[-*] "), "has markup"),
    (
        re.compile(r"https?:|www\.|\b[\w-]+\.(?:com|net|org|io|ru|cn|xyz|info)\b", re.I),
        "has an address",
    ),
    (re.compile(r"\S+@\S+\.\w"), "has an address"),
    (
        re.compile(r"<\|.*?\|>|\[/?INST\]|<</?SYS>>|\b(?:system|assistant|user)\s*:", re.I),
        "has chat markup",
    ),
    (
        re.compile(
            r"\b(?:ignore|disregard|forget|override)\b.{0,30}\b(?:instruction|rule|prompt|previous"
            r"|above|prior|everything|all)\w*|忽略.{0,8}(?:指令|指示|规则|以上)"
            r"|\b(?:ignor|vergiss|olvida|oublie)\w*\b.{0,30}\b(?:anweisung|instruc)\w*",
            re.I,
        ),
        "repeats an order",
    ),
    (
        re.compile(
            r"\b(?:tokens?_?\w*activ\w*|max_activating\w*|clusters?|groups? \d|excerpts?|examples?"
            r" \d|activations?|the pattern|tokens|contrasts?:|likelier next)\b",
            re.I,
        ),
        "speaks of the request instead of the text",
    ),
    (re.compile(r"[⟦⟧{}]|\\n"), "has signs of the request"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "has a word of the request"),
)


def read_answer(text: str, n_clusters: int, *, delimiter: str = "") -> ReadAnswer:
    """Read an answer about a feature with so many clusters.

    `delimiter` is the request's random word, which no wording may hold.
    """
    if _is_refusal(text):
        return ReadAnswer(status="refused", reason="The model refused to answer.")
    try:
        answer = _object(text)
        if answer.get("abstain") is True:
            return ReadAnswer(status="abstained", reason=_ABSTAINED)
        senses = _senses(answer, n_clusters, delimiter)
    except _InvalidError as error:
        return ReadAnswer(status="invalid", reason=str(error))
    if any(_REFUSALS.search(f"{sense.label} {sense.description}") for sense in senses):
        return ReadAnswer(status="refused", reason="The model refused to answer.")
    if all(_VAGUE.fullmatch(sense.label.strip()) for sense in senses):
        return ReadAnswer(status="abstained", reason=_ABSTAINED)
    return ReadAnswer(status="ok", senses=senses)


_ABSTAINED: Final = "The model found nothing that the examples share."


def _is_refusal(text: str) -> bool:
    """Tell whether the whole answer is a refusal, and no object at all."""
    return "{" not in text and bool(_REFUSALS.search(text))


def _object(text: str) -> dict[str, Any]:
    """Return the answer's object; one that is broken is repaired where that is unambiguous."""
    start = text.find("{")
    if start < 0:
        raise _InvalidError("The answer holds no JSON object.")
    try:
        value = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        value = _repaired(text[start:])
    if isinstance(value, list) and value and isinstance(value[0], dict):
        value = value[0]
    if not isinstance(value, dict):
        raise _InvalidError("The answer is no JSON object.")
    return value


def _repaired(text: str) -> Any:
    try:
        return json_repair.loads(text)
    except (ValueError, RecursionError) as error:  # nested too deep for any answer
        raise _InvalidError("The answer is no JSON object.") from error


def _senses(answer: dict[str, Any], n_clusters: int, delimiter: str) -> tuple[WordedSense, ...]:
    given = answer.get("senses")
    if not isinstance(given, list) or not given:
        raise _InvalidError('"senses" must be a list with at least one entry, or "abstain" true.')
    senses = tuple(_sense(one, delimiter) for one in given)
    covered = sorted(number for sense in senses for number in sense.clusters)
    if covered != list(range(n_clusters)):
        raise _InvalidError(
            f'"clusters" must name each of the groups 0 to {n_clusters - 1} exactly once in all, '
            f"but they name {covered}."
        )
    return tuple(sorted(senses, key=lambda sense: sense.clusters))


def _sense(given: Any, delimiter: str) -> WordedSense:
    if not isinstance(given, dict):
        raise _InvalidError("Each entry of senses must be an object.")
    return WordedSense(
        clusters=_clusters(given.get("clusters")),
        evidence=_text(given, "evidence", required=False)[:_EVIDENCE_CHARACTERS],
        label=_checked(_text(given, "label"), "label", LABEL_CHARACTERS, delimiter),
        description=_checked(
            _text(given, "description", required=False),
            *("description", DESCRIPTION_CHARACTERS, delimiter),
        ),
        kind=given["kind"] if given.get("kind") in KINDS else "mixed",
        confidence=_confidence(given.get("confidence")),
    )


def _clusters(given: Any) -> tuple[int, ...]:
    if not isinstance(given, list) or any(type(number) is not int for number in given):
        raise _InvalidError('"clusters" must be a list of whole numbers.')
    if not given:
        raise _InvalidError("Each entry of senses must cover a group.")
    return tuple(sorted(given))


def _text(given: dict[str, Any], name: str, *, required: bool = True) -> str:
    value = given.get(name, "" if not required else None)
    if not isinstance(value, str) or (required and not value.strip()):
        raise _InvalidError(f'"{name}" must be a text that is not empty.')
    return value.strip()


def _checked(text: str, name: str, longest: int, delimiter: str) -> str:
    """Return the text in its plain form, or refuse it."""
    plain = harmless(text).strip()
    if len(plain) > longest:
        raise _InvalidError(f'"{name}" has {len(plain)} characters; at most {longest} may be.')
    if delimiter and delimiter in plain:
        raise _InvalidError(f'"{name}" has a word of the request.')
    for pattern, what in _DENIED:
        if pattern.search(plain) or pattern.search(text):
            raise _InvalidError(f'"{name}" {what}; write only what the marked places are.')
    return plain


def _confidence(given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise _InvalidError('"confidence" must be a number from 0 to 1.')
    return min(1.0, max(0.0, float(given)))


def quoted_error(reason: str) -> str:
    """Return the turn that asks once more, and says what was wrong."""
    return (
        f"That answer cannot be used: {reason} Answer again with one JSON object and nothing else."
    )


def summary_of(senses: Sequence[WordedSense]) -> str:
    """Return the wording of a feature of several meanings: its largest ones', joined."""
    texts: list[str] = []
    for sense in senses[:3]:
        if len(" / ".join([*texts, sense.label])) <= LABEL_CHARACTERS + 40:
            texts.append(sense.label)
    return " / ".join(texts)
