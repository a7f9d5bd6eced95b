"""Examples as text: packed evidence turned into the tokens a person reads."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from scopebook.db.arrays import among_given
from scopebook.db.tables import Context, Document
from scopebook.packing import BEST, ExampleSet, unpack_ints
from scopebook.passages import read_passages


# Not frozen: a page has some 20,000 of them, and a frozen one takes three times as long to make.
@dataclass(slots=True)
class Piece:
    """A piece of text as the model reads it, widened to whole characters.

    Tokens that split one character are shown as one, with the largest of their activations.
    """

    text: str
    activation: float


@dataclass(frozen=True, kw_only=True)
class Source:
    """The document an example comes from."""

    id: int
    name: str
    title: str | None
    tag: str | None
    language: str | None
    source: str | None
    licence: str | None


@dataclass(frozen=True, kw_only=True)
class Example:
    """A context that fires a feature, as text."""

    context_id: int
    kind: str
    activation: float
    quantile: float | None
    sense: int | None
    peak: int
    tokens: list[Piece]
    cut_left: bool
    cut_right: bool
    document: Source
    #: Its place among the typical examples of its sense, 0 first; None: it is none of them.
    typical: int | None = None
    #: Nobody who words the feature sees it.
    held_out: bool = False


@dataclass(frozen=True, kw_only=True)
class Activity:
    """A context that fired a feature, by its document."""

    context_id: int
    document: Source
    #: The document's place in its corpus: 0 is the first, 1 the last.
    position: float


@dataclass(frozen=True, kw_only=True)
class Window:
    """Which tokens of which packed example to show."""

    examples: ExampleSet
    position: int
    sense: int | None = None
    typical: int | None = None
    held_out: bool = False
    left: int | None = None
    right: int | None = None

    @property
    def context_id(self) -> int:
        """The context the example points into."""
        return int(self.examples.context_id[self.position])

    def bounds(self) -> tuple[int, int]:
        """Return the first token and the one after the last, counted in the context."""
        start, end = int(self.examples.start[self.position]), int(self.examples.end[self.position])
        peak = int(self.examples.peak[self.position])
        if self.left is not None:
            start = max(start, peak - self.left)
        if self.right is not None:
            end = min(end, peak + self.right + 1)
        return start, end


def read_examples(session: Session, windows: Sequence[Window]) -> list[Example]:
    """Return the windows as text, in their order, with two queries for all of them."""
    contexts = _contexts(session, {window.context_id for window in windows})
    ranges = [_characters(window, contexts[window.context_id][1]) for window in windows]
    texts = read_passages(
        session,
        [contexts[window.context_id][2].id for window in windows],
        [start for start, _ in ranges],
        # One more, which tells whether the document goes on.
        [end - start + 1 for start, end in ranges],
    )
    return [
        _example(window, contexts[window.context_id], characters, text)
        for window, characters, text in zip(windows, ranges, texts, strict=True)
    ]


_SOURCE_NAMES: Final = tuple(field.name for field in fields(Source))
_SOURCE = (
    Document.id,
    Document.name,
    Document.title,
    Document.tag,
    Document.language,
    Document.source,
    Document.licence,
)


def _source(values: Sequence[Any]) -> Source:
    return Source(**dict(zip(_SOURCE_NAMES, values, strict=True)))


_other = aliased(Document)
_last_of_corpus = (
    select(func.max(_other.ordinal))
    .where(_other.corpus_id == Document.corpus_id)
    .correlate(Document)
    .scalar_subquery()
)
_ACTIVITIES: Final = (
    select(Context.id, Document.ordinal, _last_of_corpus, *_SOURCE)
    .join(Document, Document.id == Context.document_id)
    .where(among_given(Context.id))
)


def read_activities(session: Session, context_ids: Sequence[int]) -> dict[int, Activity]:
    """Return where in the corpus each of the contexts stands; those that are gone are left out."""
    return {
        row[0]: Activity(
            context_id=row[0], document=_source(row[3:]), position=row[1] / max(1, row[2])
        )
        for row in session.execute(_ACTIVITIES, {"ids": list(context_ids)})
    }


_OF_CONTEXTS: Final = (
    select(Context.id, Context.ordinal, Context.spans, *_SOURCE)
    .join(Document, Document.id == Context.document_id)
    .where(among_given(Context.id))
)
#: Its place in the document, its tokens' spans, the document.
_ContextRow = tuple[int, NDArray[np.int32], Source]


def _contexts(session: Session, ids: set[int]) -> dict[int, _ContextRow]:
    rows = session.execute(_OF_CONTEXTS, {"ids": list(ids)})
    return {
        row[0]: (
            row[1],
            unpack_ints(row[2]).reshape(-1, 2),
            _source(row[3:]),
        )
        for row in rows
    }


def _characters(window: Window, spans: NDArray[np.int32]) -> tuple[int, int]:
    """Return the characters of the document that the window covers."""
    start, end = window.bounds()
    return int(spans[start:end, 0].min()), int(spans[start:end, 1].max())


def _example(
    window: Window, context: _ContextRow, characters: tuple[int, int], text: str
) -> Example:
    """Return the window as text; `text` has one character more if the document goes on."""
    ordinal, spans, document = context
    length = characters[1] - characters[0]
    start, end = window.bounds()
    activations = np.zeros(end - start, dtype=np.float32)
    positions, amounts = window.examples.activations(window.position)
    inside = (positions >= start) & (positions < end)
    activations[positions[inside] - start] = amounts[inside]
    pieces, piece_of = cut_into_pieces(text[:length], spans[start:end] - characters[0], activations)
    best = window.examples.kind[window.position] == BEST
    return Example(
        context_id=window.context_id,
        kind="best" if best else "sample",
        activation=float(window.examples.activation[window.position]),
        quantile=None if best else float(window.examples.quantile[window.position]),
        sense=window.sense,
        peak=piece_of[int(window.examples.peak[window.position]) - start],
        tokens=pieces,
        cut_left=bool(start > 0 or ordinal > 0),
        cut_right=len(text) > length,
        document=document,
        typical=window.typical,
        held_out=window.held_out,
    )


def cut_into_pieces(
    text: str, spans: NDArray[np.int32], activations: NDArray[np.float32]
) -> tuple[list[Piece], list[int]]:
    """Cut `text` at the borders of its tokens, never inside a character.

    `spans` (token, 2) are first and last (exclusive) character of each token. Byte-level tokens
    can split a character; all tokens of such a character make one piece. Text that no token
    covers goes to the piece after it. Returns the pieces and, for each token, its piece.
    """
    pieces: list[Piece] = []
    piece_of: list[int] = []
    # How far the tokens before this one have come, and where the piece they are in begins.
    reached = begun = 0
    strongest = 0.0
    # A loop, since windows are short: on 50 tokens it takes two fifths of the time of arrays.
    for (start, end), activation in zip(spans.tolist(), activations.tolist(), strict=True):
        if begun < reached <= start:
            pieces.append(Piece(text[begun:reached], strongest))
            begun, strongest = reached, activation
        elif activation > strongest:
            strongest = activation
        piece_of.append(len(pieces))
        reached = max(reached, end)
    pieces.append(Piece(text[begun:], strongest))
    return pieces, piece_of
