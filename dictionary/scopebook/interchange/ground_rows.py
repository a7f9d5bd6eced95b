"""Rows of a dump's tables that others rest on: models, releases, corpora, runs, labelings."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import select, text
from sqlalchemy.orm import Session, aliased

from scopebook.db.label_tables import Labeling
from scopebook.db.tables import (
    Corpus,
    Document,
    Model,
    Release,
    Run,
    Sae,
    Tokenisation,
    Tokenizer,
    TokenPiece,
)
from scopebook.feature_page import token_text
from scopebook.interchange.arrays import as_json
from scopebook.interchange.numbering import Numbers, stream

Rows = Iterator[Sequence[Any]]


def _releases_of(numbers: Numbers) -> list[int]:
    return sorted({sae.release_id for sae in numbers.saes})


def model_rows(session: Session, numbers: Numbers) -> Rows:
    """Yield the models of the releases."""
    yield from session.execute(
        select(
            Model.name,
            Model.revision,
            Model.layers,
            Model.d_model,
            Model.sha256,
            Tokenizer.sha256,
            Model.created_at,
        )
        .join(Tokenizer, Tokenizer.id == Model.tokenizer_id)
        .join(Release, Release.model_id == Model.id)
        .where(Release.id.in_(_releases_of(numbers)))
        .distinct()
        .order_by(Model.name)
    )


def piece_rows(session: Session, numbers: Numbers) -> Rows:
    """Yield the vocabularies of these models."""
    wanted = sorted({sae.tokenizer_id for sae in numbers.saes})
    rows = stream(
        session,
        select(Tokenizer.sha256, TokenPiece.token_id, TokenPiece.piece)
        .join(TokenPiece, TokenPiece.tokenizer_id == Tokenizer.id)
        .where(Tokenizer.id.in_(wanted))
        .order_by(Tokenizer.sha256, TokenPiece.token_id),
    )
    for sha256, token_id, piece in rows:
        yield sha256, token_id, piece, token_text(piece)


def release_rows(session: Session, numbers: Numbers) -> Rows:
    """Yield the releases."""
    yield from session.execute(
        select(
            Release.name,
            Model.name,
            Release.set_name,
            Release.width,
            Release.k,
            Release.source,
            Release.revision,
            Release.caution,
            Release.created_at,
        )
        .join(Model, Model.id == Release.model_id)
        .where(Release.id.in_(_releases_of(numbers)))
        .order_by(Release.name)
    )


def sae_rows(session: Session, numbers: Numbers) -> Rows:
    """Yield the SAEs, in the dump's order."""
    for sae in numbers.saes:
        row = session.get_one(Sae, sae.id)
        shown = numbers.runs.get(row.current_run_id or 0)
        yield (
            *(sae.release, sae.layer, row.d_sae, row.kind, row.k, row.sha256, shown),
            row.created_at,
        )


_CORPORA: Final = """
SELECT p.name, p.source, (SELECT count(*) FROM document d WHERE d.corpus_id = p.id), p.created_at
FROM corpus p
WHERE EXISTS (SELECT FROM out_document o JOIN document d ON d.id = o.id WHERE d.corpus_id = p.id)
   OR EXISTS (SELECT FROM tokenisation k JOIN run r ON r.tokenisation_id = k.id
              WHERE k.corpus_id = p.id AND r.id = ANY(:run_ids))
ORDER BY p.name
"""


def corpus_rows(session: Session, numbers: Numbers) -> Rows:
    """Yield the corpora whose texts are in the dump, or whose collections are."""
    yield from session.execute(text(_CORPORA), {"run_ids": list(numbers.runs)})


_TOKENISATIONS: Final = """
SELECT p.name, t.sha256, k.context_tokens, k.created_at
FROM tokenisation k
JOIN corpus p ON p.id = k.corpus_id
JOIN tokenizer t ON t.id = k.tokenizer_id
WHERE k.id IN (SELECT tokenisation_id FROM run WHERE id = ANY(:run_ids)
               UNION SELECT c.tokenisation_id FROM out_context o JOIN context c ON c.id = o.id)
ORDER BY p.name, t.sha256, k.context_tokens
"""


def tokenisation_rows(session: Session, numbers: Numbers) -> Rows:
    """Yield how these corpora were cut."""
    yield from session.execute(text(_TOKENISATIONS), {"run_ids": list(numbers.runs)})


def run_rows(session: Session, numbers: Numbers) -> Rows:
    """Yield the runs; one that was based on a run outside of the dump names none."""
    last = aliased(Document)
    rows = session.execute(
        select(
            Run,
            Release.name.label("release"),
            Corpus.name.label("corpus"),
            Tokenizer.sha256,
            Tokenisation.context_tokens,
            last.ordinal.label("last_document"),
        )
        .join(Release, Release.id == Run.release_id)
        .join(Tokenisation, Tokenisation.id == Run.tokenisation_id)
        .join(Corpus, Corpus.id == Tokenisation.corpus_id)
        .join(Tokenizer, Tokenizer.id == Tokenisation.tokenizer_id)
        .outerjoin(last, last.id == Run.last_document_id)
        .where(Run.id.in_(numbers.runs))
    )
    for row in sorted(rows, key=lambda row: numbers.runs[row.Run.id]):
        run: Run = row.Run
        yield (
            *(numbers.runs[run.id], row.release, row.corpus, row.sha256, row.context_tokens),
            *(run.layers, as_json(run.parameters), run.tokens_seen, run.contexts_seen),
            *(numbers.runs.get(run.base_run_id or 0), row.last_document),
            *(run.created_at, run.finished_at),
        )


def labeling_rows(session: Session, numbers: Numbers) -> Rows:
    """Yield the labelings, in the dump's order."""
    by_id = {sae.id: sae for sae in numbers.saes}
    for labeling_id, number in numbers.labelings.items():
        labeling = session.get_one(Labeling, labeling_id)
        sae = by_id[labeling.sae_id]
        yield (
            *(number, sae.release, sae.layer, numbers.runs[labeling.run_id], labeling.source),
            *(labeling.method, numbers.labelings.get(labeling.base_id or 0)),
            *(as_json(_parameters(labeling, numbers)), labeling.sha256),
            *(labeling.created_at, labeling.finished_at),
        )


#: Where the parameters of a person's senses hold the labeling whose senses were parted.
PARTED: Final = "from"


def _parameters(labeling: Labeling, numbers: Numbers) -> dict[str, Any]:
    if numbers.version == 1 or PARTED not in labeling.parameters:
        return labeling.parameters
    number = numbers.labelings.get(labeling.parameters[PARTED], 0)
    return labeling.parameters | {PARTED: number}
