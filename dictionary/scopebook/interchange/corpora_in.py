"""Find the corpus that a dump's texts belong to, or make one that they alone are in."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.corpora import refuse_deleted
from scopebook.db.tables import Corpus, Document
from scopebook.interchange.importing import Importing


def corpus_here(session: Session, importing: Importing, values: dict[str, Any]) -> int:
    """Return the row id of the corpus that holds the texts, or will hold them.

    A corpus of that name that has all of them at their places is the same one. Nobody's corpus
    is added to: beside another of that name stands one that is named by the dump.
    """
    name = values["name"]
    corpus = session.scalar(select(Corpus).where(Corpus.name == name))
    if corpus is not None and not _has_all(session, importing, name, corpus.id):
        own = f"{name} (import {importing.dump.sha256[:8]})"
        importing.progress.note(
            f"There is a corpus {name!r} with other texts here, so the dump's texts are in the "
            f"corpus {own!r}."
        )
        name, corpus = own, session.scalar(select(Corpus).where(Corpus.name == own))
    if corpus is None:
        corpus = Corpus(name=name, source=values["source"], created_at=values["created_at"])
        session.add(corpus)
        session.flush()
    refuse_deleted(corpus)
    return corpus.id


def _has_all(session: Session, importing: Importing, name: str, corpus_id: int) -> bool:
    for rows in importing.dump.rows("documents", size=1_024):
        wanted = {
            row.values["ordinal"]: row.values["sha256"]
            for row in rows
            if row.values["corpus"] == name
        }
        here = session.execute(
            select(Document.ordinal, Document.sha256).where(
                Document.corpus_id == corpus_id, Document.ordinal.in_(wanted)
            )
        )
        if {row.ordinal: row.sha256.hex() for row in here} != wanted:
            return False
    return True
