"""Tell text that speaks to a language model, and wordings that were copied from such text.

Cleaning and fences keep data apart from rules; a model may still follow what it reads. So examples
that read like orders are not shown while they are few, and words that only few examples hold, or
that stand in an order, cannot become a label. Both are guesses about text: they may cost an example
or a second question, never a label that no order has asked for.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from scopebook_workers.labeling.hostile_text import CLOSE, OPEN, harmless

#: Letters of other alphabets that look like Latin ones, to read as an eye does.
_LOOKALIKES: Final = str.maketrans("аеорсухіјѕԁһӏո", "aeopcyxijsdhln")
_MARKS: Final = str.maketrans("", "", OPEN + CLOSE)

#: Ways of speaking to a model, over folded text; broad, since little is lost by a false alarm.
_LATIN: Final = re.compile(
    # To set aside what was said, in languages of Latin letters.
    r"\b(?:ignore|disregard|forget|override|bypass)\b[^.]{0,40}\b(?:all|any|above|earlier"
    r"|previous|prior|preceding|rules?|instructions?|prompts?|everything)\b"
    r"|\b(?:ignor(?:ez|iere|a|ad|are)|oubliez|vergiss|missachte|olvida|dimentica|esqueca|negeer"
    r"|zapomnij|unut|puuza|abaikan|bo qua|ignorera|unohda|felejtsd|uita)\b"
    # Whose words these claim to be, and to whom.
    r"|\b(?:system|assistant|user|developer|human|ai|llm|instruction|response) ?:"
    r"|\b(?:new|updated|hidden|secret) (?:instructions?|task|rules?)\b"
    r"|\b(?:admin|operator|system|developer)\b[^.]{0,20}\b(?:override|mode|prompt|asks?|notice)\b"
    r"|\b(?:language model|annotators?|labell?ers?|todo ?\(llm\)|as an ai|dear (?:ai|model))\b"
    r"|\byou are (?:now|a|an)\b[^.]{0,30}\b(?:mode|assistant|model|ai|bot|expert)\b"
    r"|\bend of (?:material|data|input|prompt|text)\b|\btool_result\b|\binst\b\]|<<? ?/?sys>>"
    r"|<\s?\|?\s?(?:im_|start_of|end_of)|<\s?/?data group"
    # Texts that are to be read as something else.
    r"|\b(?:decode|decrypt|unscramble)\b[^.]{0,20}\b(?:and|then|this)\b|\brot-?13\b|\bbackwards:"
    # What to write.
    r"|\b(?:answer|respond|reply|output|say|write|name|call|label|word)s?\b[^.]{0,24}\b(?:only"
    r"|exactly|verbatim|instead|for every|it|this|with|here)\b[^.]{0,60}$"
    r"|\b(?:the|your|every|each|correct|right)\b[^.]{0,12}\b(?:labels?|answer)\b[^.]{0,3}"
    r"(?:\b(?:is|must|to|should)\b|:)|\bas your label\b|\*\*label|\"label\"|\"senses\""
    r"|\b(?:etikett?e?|etiqueta|etichetta|etiket|rotulo|beschriftung|antworte|rispondi|responde"
    r"|odpowiedz|uandike|ghi nhan|schrijf|escreva|ecrivez)\b"
)
_OTHER: Final = re.compile(
    r"忽略|无视|無視|忘记|标签写|标签为|標籤|系统提示|指示を|ラベルを|答えて|무시|레이블|라벨|игнорируй|забудь|метку|инструкци[ию]"
    r"|ігноруй|تجاهل|نادیده|התעלם|अनदेखा|ละเว้น"
)
#: Letters that a wording and an order must share in a row, where words have blanks and where not.
_RUN: Final = 14
_SPACELESS_RUN: Final = 5
#: Words that fewer of the texts hold than this are not what they share.
_FEW: Final = 2
#: Letters before or after; the same in all texts where a passage was pasted into them.
_BESIDE: Final = 6
_NO_LETTER: Final = re.compile(r"[\W_]+")
_SPACELESS: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")


@lru_cache(maxsize=4_096)
def speaks_to_a_model(text: str) -> bool:
    """Tell whether a passage reads as if it told a language model what to do."""
    plain = harmless(text.translate(_MARKS)).casefold()
    if _LATIN.search(_folded(plain)) is not None:
        return True
    return not plain.isascii() and _OTHER.search(plain) is not None


def _folded(plain: str) -> str:
    """Return text without accents on Latin letters, with lookalikes as what they look like."""
    if plain.isascii():
        return plain
    parts = unicodedata.normalize("NFD", plain.translate(_LOOKALIKES))
    return re.sub(r"(?<=[a-z])[\u0300-\u036f]+", "", parts)


def copied_from(
    label: str, description: str, own: Sequence[str], contrasts: Sequence[str]
) -> str | None:
    """Return why a wording is a copy of what it should describe; None if it is none.

    `own` are the texts of its groups that were shown, `contrasts` the quiet ones. A label that
    most of the texts hold is what they share; one that a single text holds, or words that stand
    in an order to a model, are not.
    """
    orders = [_letters(text) for text in (*own, *contrasts) if speaks_to_a_model(text)]
    texts = [_letters(text) for text in own]
    for name, wording in (("label", label), ("description", description)):
        said = _letters(wording)
        common = 2 * _holders(said, texts) >= len(texts)
        if not common and any(_shares_run(said, order) for order in orders):
            return f'"{name}" repeats what one of the texts orders; write what the texts share.'
        if not common and " " in wording.strip() and _is_pasted(said, texts):
            return f'"{name}" is copied from the texts; write what they share.'
    return None


def _is_pasted(said: str, texts: Sequence[str]) -> bool:
    """Tell whether words stand in one text of several, or always beside the same letters."""
    places = [(text, text.index(said)) for text in texts if said and said in text]
    if len(places) < _FEW:
        return len(places) == 1 and len(texts) > _FEW
    before = {text[max(0, at - _BESIDE) : at] for text, at in places}
    after = {text[at + len(said) :][:_BESIDE] for text, at in places}
    return any(len(beside) == 1 and len(min(beside)) == _BESIDE for beside in (before, after))


def _holders(said: str, texts: Sequence[str]) -> int:
    return sum(said in text for text in texts) if said else 0


def _letters(text: str) -> str:
    folded = _folded(harmless(text.translate(_MARKS)).casefold().replace("\\n", " "))
    return _NO_LETTER.sub("", folded)


def _shares_run(said: str, order: str) -> bool:
    length = _SPACELESS_RUN if _SPACELESS.search(said) else _RUN
    if len(said) < length:
        return bool(said) and said in order
    return any(said[i : i + length] in order for i in range(len(said) - length + 1))
