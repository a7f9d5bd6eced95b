"""Words of a query as full-text search takes them, mistyped ones set right."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
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
#: A word that is still being typed matches those that begin with it.
_LEAST_PREFIX: Final = 3


@dataclass(frozen=True)
class QueryWords:
    """A query's words, each with the ones that are searched in its stead or beside it."""

    words: tuple[str, ...]
    #: Of each mistyped word those that were probably meant.
    meant: dict[str, list[str]]

    @property
    def some(self) -> str:
        """A tsquery that asks for any of the words."""
        return " | ".join(self._terms())

    @property
    def every(self) -> str:
        """A tsquery that asks for all of the words."""
        return " & ".join(f"({term})" for term in self._terms())

    @property
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
        prefix = ":*" if is_last and len(word) >= _LEAST_PREFIX and not self.meant.get(word) else ""
        return " | ".join(
            [f"'{word}'{prefix}", *(f"'{other}'" for other in self.meant.get(word, []))]
        )


def _pairs(run: str) -> list[str]:
    return [run[i : i + 2] for i in range(len(run) - 1)] or [run]


def words_of(session: Session, query: str) -> QueryWords:
    """Return the query's words, and for those that no label holds the nearest that one does."""
    words = tuple(dict.fromkeys(_PIECES.findall(query.lower())))
    doubtful = [word for word in words if len(word) >= _LEAST_LETTERS and word.isalpha()]
    doubtful = [word for word in doubtful if not _IS_UNSPACED.search(word)]
    unknown = _unknown(session, doubtful)
    return QueryWords(words, {word: near for word in unknown if (near := _near(session, word))})


def _unknown(session: Session, words: Sequence[str]) -> list[str]:
    """Return the words that no label holds, in any of their forms, nor begins with."""
    if not words:
        return []
    rows = session.execute(
        text(
            "SELECT w.word FROM unnest(CAST(:words AS text[])) AS w (word)"
            " LEFT JOIN LATERAL (SELECT (tsvector_to_array(to_tsvector('english', w.word)))[1]"
            "   AS lexeme) stem ON true"
            " WHERE stem.lexeme IS NOT NULL AND NOT EXISTS ("
            "   SELECT FROM label_word k WHERE k.word = w.word OR k.lexeme = stem.lexeme)"
        ),
        {"words": list(words)},
    )
    return list(rows.scalars())


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
