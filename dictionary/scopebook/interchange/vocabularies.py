"""Texts of tokens, looked up for many at once."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.db.tables import TokenPiece
from scopebook.feature_page import token_text
from scopebook.interchange.numbering import stream


class Vocabularies:
    """The vocabularies of a dictionary; each is read once and held, a token a row."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._texts: dict[int, Any] = {}

    def texts(self, tokenizer_id: int) -> pa.StringArray:
        """Return the text of every token, at its id."""
        if tokenizer_id not in self._texts:
            rows = stream(
                self._session,
                select(TokenPiece.token_id, TokenPiece.piece)
                .where(TokenPiece.tokenizer_id == tokenizer_id)
                .order_by(TokenPiece.token_id),
            )
            found: list[str] = []
            for token_id, piece in rows:
                found += [""] * (token_id - len(found))
                found.append(token_text(piece))
            self._texts[tokenizer_id] = pa.array(found, type=pa.string())
        return self._texts[tokenizer_id]

    def of(self, tokenizer_id: int, token_ids: Any) -> pa.StringArray:
        """Return the texts of these tokens; one that the vocabulary lacks has none."""
        texts = self.texts(tokenizer_id)
        ids = pa.array(token_ids, type=pa.int64())
        known = pc.less(ids, len(texts))
        return texts.take(pc.if_else(known, ids, None))
