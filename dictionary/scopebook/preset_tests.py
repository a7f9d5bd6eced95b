"""Tests of a preset: prompts, what is measured of what is written, and what is expected of it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, get_args

import regex

from scopebook import texts
from scopebook.errors import InvalidInputError
from scopebook.inference_requests import MOST_WRITTEN
from scopebook.release_names import parse_feature_id
from scopebook.steering import LARGEST

#: script: the share of letters that are of it. activation: a feature's mean over what is written,
#: read by the unsteered model. text: the share of texts that hold it. distinct: the share of tokens
#: that are different ones. divergence: mean KL of the next token on texts of the corpus, in nats.
Measure = Literal["script", "activation", "text", "distinct", "divergence"]
MEASURES: Final[tuple[Measure, ...]] = get_args(Measure)
#: Those that say what they measure.
OF_SOMETHING: Final = frozenset[Measure]({"script", "activation", "text"})
#: below, above: than the value. falls, rises: from what is written unsteered, by that at least.
Expectation = Literal["below", "above", "falls", "rises"]
EXPECTATIONS: Final[tuple[Expectation, ...]] = get_args(Expectation)

MOST_TESTS: Final = 20
MOST_PROMPTS: Final = 20
MOST_SAMPLES: Final = 16
#: Characters of a prompt.
LONGEST_PROMPT: Final = 20_000
LONGEST_NAME: Final = 200
#: Of what is measured.
LONGEST_OF: Final = 1_000


@dataclass(frozen=True, kw_only=True)
class PresetTest:
    """Prompts that the model goes on with, and what is expected of what it writes."""

    name: str
    prompts: Sequence[str]
    measure: Measure
    #: A script by its Unicode name, a feature's id, or some text.
    of: str | None = None
    expect: Expectation
    value: float
    #: Texts that are written for each prompt, from different seeds.
    samples: int = 1
    tokens: int = 40
    temperature: float = 0.0
    seed: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return it as a preset's document holds it."""
        return asdict(self) | {"prompts": list(self.prompts)}

    @property
    def sentence(self) -> str:
        """What is expected, in words."""
        what = {
            "script": f"the share of {self.of} letters",
            "activation": f"the mean activation of {self.of}",
            "text": f"the share of texts with {self.of!r}",
            "distinct": "the share of different tokens",
            "divergence": "the divergence on other texts",
        }[self.measure]
        how = {"below": "is below", "above": "is above", "falls": "falls by", "rises": "rises by"}
        return f"{what} {how[self.expect]} {self.value:g}"


def read_test(given: Mapping[str, Any]) -> PresetTest:
    """Return a test as a document holds it."""
    return PresetTest(**given)


def check_tests(tests: Sequence[PresetTest]) -> None:
    """Refuse tests that cannot be run; each sentence names the test."""
    if len(tests) > MOST_TESTS:
        raise InvalidInputError(f"{len(tests)} tests are too many; give at most {MOST_TESTS}.")
    names = [test.name for test in tests]
    for number, test in enumerate(tests, start=1):
        if not 1 <= len(test.name.strip()) <= LONGEST_NAME or not test.name.isprintable():
            raise InvalidInputError(
                f"Test {number} needs a name of 1 to {LONGEST_NAME} characters in one line, such "
                "as its prompt."
            )
        if names.count(test.name) > 1:
            raise InvalidInputError(
                f"Several tests are called {test.name!r}; give each a name of its own."
            )
        _check(test)


def _check(test: PresetTest) -> None:
    which = f"The test {test.name!r}"
    if not 1 <= len(test.prompts) <= MOST_PROMPTS:
        raise InvalidInputError(
            f"{which} has {len(test.prompts)} prompts; give 1 to {MOST_PROMPTS}."
        )
    for prompt in test.prompts:
        if not 1 <= len(prompt) <= LONGEST_PROMPT:
            raise InvalidInputError(
                f"{which} has a prompt of {len(prompt):,} characters; give 1 to {LONGEST_PROMPT:,}."
            )
        try:
            texts.check(prompt)
        except ValueError as error:
            raise InvalidInputError(
                f"{which} has a prompt that is no plain text ({error}); give text."
            ) from error
    _check_measure(which, test)
    written = 1 <= test.tokens <= MOST_WRITTEN and 1 <= test.samples <= MOST_SAMPLES
    if not written or not 0 <= test.temperature < math.inf or not 0 <= test.seed < 2**31:
        raise InvalidInputError(
            f"{which} writes {test.samples} texts of {test.tokens} tokens at a temperature of "
            f"{test.temperature:g} from seed {test.seed}; give 1 to {MOST_SAMPLES} texts of 1 to "
            f"{MOST_WRITTEN:,} tokens at 0 or more, and a seed from 0 on."
        )


def _check_measure(which: str, test: PresetTest) -> None:
    if test.measure not in MEASURES or test.expect not in EXPECTATIONS:
        raise InvalidInputError(
            f"{which} measures {test.measure!r} and expects {test.expect!r}; give one of "
            f"{', '.join(MEASURES)} and of {', '.join(EXPECTATIONS)}."
        )
    if len(test.of or "") > LONGEST_OF:
        raise InvalidInputError(
            f"{which} has {len(test.of or ''):,} characters as `of`; give at most {LONGEST_OF:,}."
        )
    if not abs(test.value) <= LARGEST:
        raise InvalidInputError(
            f"{which} expects the value {test.value:g}; give a number, such as 0.05."
        )
    if (test.measure in OF_SOMETHING) != bool(test.of):
        takes = "needs" if test.measure in OF_SOMETHING else "takes no"
        raise InvalidInputError(
            f"{which} measures {test.measure}, which {takes} `of`: a script such as Han, a "
            "feature's id, or some text."
        )
    if test.measure == "script":
        of_script(test.of or "")
    if test.measure == "activation":
        parse_feature_id(test.of or "")


def of_script(script: str) -> "regex.Pattern[str]":
    """Return the pattern of a letter of a script; refuse a name that Unicode does not know."""
    if regex.fullmatch(r"[A-Za-z_]{2,40}", script):
        try:
            return regex.compile(rf"[\p{{Script={script}}}&&\p{{L}}]", regex.V1)
        except regex.error:
            pass
    raise InvalidInputError(
        f"{script[:40]!r} is no script that Unicode knows; give one such as Han, Latin or Cyrillic."
    )


def script_share(script: str, written: Sequence[str]) -> float:
    """Return the share of all letters that are of a script; 0 where there is no letter."""
    text = "".join(written)
    letters = len(regex.findall(r"\p{L}", text))
    return len(of_script(script).findall(text)) / letters if letters else 0.0


def text_share(wanted: str, written: Sequence[str]) -> float:
    """Return the share of texts that hold a text, whatever its capitals."""
    return sum(wanted.casefold() in one.casefold() for one in written) / max(1, len(written))


def holds(test: PresetTest, *, unsteered: float, steered: float) -> bool:
    """Tell whether a test holds for what was measured; numbers that are none never do."""
    if test.expect == "below":
        return steered < test.value
    if test.expect == "above":
        return steered > test.value
    if test.expect == "falls":
        return unsteered - steered >= test.value
    return steered - unsteered >= test.value
