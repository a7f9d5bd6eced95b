"""Words of a query as full-text search takes them, mistyped ones set right."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Final

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from scopebook.db.entry_tables import FeatureEntry, LabelWord
from scopebook.visibility import hides

#: Letters of scripts that put no spaces between words; `label_words` keeps them in pairs.
_UNSPACED: Final = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_PIECES: Final = re.compile(rf"[{_UNSPACED}]+|[^\W_{_UNSPACED}]+")
_IS_UNSPACED: Final = re.compile(f"[{_UNSPACED}]")
#: Shorter words are near too many others.
_LEAST_LETTERS: Final = 4
_NEAREST: Final = 2
#: Looked through for them.
_CANDIDATES: Final = 8
#: Share of three-letter pieces in common; "grammer" and "grammar" have 0.5.
_ALIKE: Final = 0.42
_HELD: Final = text(
    "SELECT w.word, EXISTS (SELECT FROM label_word k WHERE k.word = w.word)"
    "  OR EXISTS (SELECT FROM label_word k WHERE k.lexeme = stem.lexeme) AS held"
    " FROM unnest(CAST(:words AS text[])) AS w (word)"
    " CROSS JOIN LATERAL (SELECT (tsvector_to_array(to_tsvector('english', w.word)))[1]"
    "   AS lexeme) stem WHERE stem.lexeme IS NOT NULL"
)
#: A word that is still being typed matches those that begin with it.
_LEAST_PREFIX: Final = 3


@dataclass(frozen=True)
class QueryWords:
    """A query's words, each with the ones that are searched in its stead or beside it."""

    words: tuple[str, ...]
    #: Of each mistyped word those that were probably meant.
    meant: dict[str, list[str]]
    #: Whether the last one may be but a beginning: it is short, or no label holds it as it stands.
    unfinished: bool = True

    @property
    def some(self) -> str:
        """A tsquery that asks for any of the words."""
        return " | ".join(self._terms())

    @property
    def every(self) -> str:
        """A tsquery that asks for all of the words."""
        return " & ".join(f"({term})" for term in self._terms())

    @cached_property  # asked for each piece of each label that is shown
    def unspaced(self) -> list[str]:
        """What is searched of scripts without spaces: whole runs, then their pairs."""
        runs = [word for word in self.words if _IS_UNSPACED.search(word)]
        return [*runs, *(pair for run in runs for pair in _pairs(run))]

    def _terms(self) -> list[str]:
        return [self._term(place) for place in range(len(self.words))]

    def _term(self, place: int) -> str:
        word = self.words[place]
        if _IS_UNSPACED.search(word):
            return " & ".join(f"'{pair}'" for pair in _pairs(word))
        is_last = place == len(self.words) - 1
        begins = is_last and self.unfinished and len(word) >= _LEAST_PREFIX
        prefix = ":*" if begins and not self.meant.get(word) else ""
        return " | ".join(
            [f"'{word}'{prefix}", *(f"'{other}'" for other in self.meant.get(word, []))]
        )


def _pairs(run: str) -> list[str]:
    return [run[i : i + 2] for i in range(len(run) - 1)] or [run]


def words_of(session: Session, query: str) -> QueryWords:
    """Return the query's words, and for those that no label holds the nearest that one does."""
    words = tuple(dict.fromkeys(_PIECES.findall(query.lower())))
    held = _held(session, [word for word in words if not _IS_UNSPACED.search(word)])
    unknown = [word for word in words if held.get(word) is False and _may_be_mistyped(word)]
    meant = {word: near for word in unknown if (near := _near(session, word))}
    return QueryWords(words, meant, unfinished=not held.get(words[-1], False) if words else False)


def _may_be_mistyped(word: str) -> bool:
    return len(word) >= _LEAST_LETTERS and word.isalpha()


def _held(session: Session, words: Sequence[str]) -> dict[str, bool]:
    """Return of each word whether a label holds it in any of its forms.

    Words that full-text search passes over are left out.
    """
    if not words:
        return {}
    rows = session.execute(_HELD, {"words": list(words)})
    return {row.word: row.held for row in rows}


def _near(session: Session, word: str) -> list[str]:
    likeness = func.similarity(LabelWord.word, word)
    near = session.scalars(
        select(LabelWord.word)
        .where(LabelWord.word.op("%")(word), likeness >= _ALIKE)
        .order_by(likeness.desc(), LabelWord.word)
        .limit(_CANDIDATES)
    )
    # Words are kept for all releases alike; one that only hidden labels hold is not told.
    told = (one for one in near if not hides(session) or _is_held(session, one))
    return list(islice(told, _NEAREST))


def _is_held(session: Session, word: str) -> bool:
    """Tell whether a label that the session may see holds the word."""
    held = FeatureEntry.words.op("@@")(func.to_tsquery("english", f"'{word}'"))
    return session.scalar(select(FeatureEntry.feature_id).where(held).limit(1)) is not None
