"""The collection that activations of a dump in Neuronpedia's layout become, where there is none."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import numpy as np
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from scopebook.db.jobs import Job
from scopebook.db.tables import (
    FEATURE_BITS,
    Corpus,
    Evidence,
    Model,
    Release,
    Run,
    Tokenisation,
    TokenPiece,
)
from scopebook.feature_page import token_text
from scopebook.interchange.ground_in import IMPORT_JOB
from scopebook.interchange.import_progress import DumpRow
from scopebook.interchange.neuronpedia_examples import (
    MOST_TOKENS,
    Firing,
    Texts,
    example_set,
    is_number,
    read_firing,
)
from scopebook.interchange.neuronpedia_files import Source
from scopebook.interchange.row_checks import RefusedRowError
from scopebook.packing import pack_examples, pack_pairs

#: Activations whose texts are looked up and written together.
_TOGETHER: Final = 512
#: Tokens that tell what a feature fires on.
_TOP_TOKENS: Final = 10

Refuse = Callable[[DumpRow, str], None]


@dataclass(frozen=True, kw_only=True)
class Collection:
    """Where a source's examples go."""

    run_id: int
    corpus_id: int
    tokenisation_id: int
    tokens_seen: int


def begin_collection(session: Session, source: Source) -> Collection:
    """Add the corpus, its cut and the run that the source's activations fill."""
    release = session.get_one(Release, source.sae.release_id)
    model = session.get_one(Model, release.model_id)
    name = f"neuronpedia {source.model}/{source.name}"
    same = Corpus.name.startswith(name, autoescape=True)
    others = len(session.scalars(select(Corpus.name).where(same)).all())
    corpus = Corpus(
        name=f"{name} {others + 1}" if others else name, source=f"Neuronpedia dump {source.folder}"
    )
    job = Job(
        kind=IMPORT_JOB,
        title=f"Import {source.name} of a Neuronpedia dump",
        parameters={"source": source.name, "model": source.model},
        state="done",
        started_at=func.now(),
        finished_at=func.now(),
    )
    session.add_all([corpus, job])
    session.flush()
    cut = Tokenisation(
        corpus_id=corpus.id, tokenizer_id=model.tokenizer_id, context_tokens=MOST_TOKENS
    )
    session.add(cut)
    session.flush()
    prompts = _whole_number(source.row.get("num_prompts"))
    tokens = prompts * _whole_number(source.row.get("num_tokens_in_prompt"))
    run = Run(
        job_id=job.id,
        release_id=release.id,
        tokenisation_id=cut.id,
        layers=[source.sae.layer],
        parameters={},
        tokens_seen=tokens,
        contexts_seen=prompts,
        finished_at=func.now(),
    )
    session.add(run)
    session.flush()
    return Collection(
        run_id=run.id, corpus_id=corpus.id, tokenisation_id=cut.id, tokens_seen=tokens
    )


def _whole_number(value: Any) -> int:
    return int(value) if is_number(value) and 0 <= value < 2**31 else 0


def vocabulary(session: Session, source: Source) -> dict[str, int]:
    """Return the model's tokens by their text, as dumps of others and of ours write them."""
    release = session.get_one(Release, source.sae.release_id)
    tokenizer_id = session.get_one(Model, release.model_id).tokenizer_id
    rows = session.execute(
        select(TokenPiece.piece, TokenPiece.token_id)
        .where(TokenPiece.tokenizer_id == tokenizer_id)
        .order_by(TokenPiece.token_id.desc())
    )
    found: dict[str, int] = {}
    for piece, token_id in rows:
        for text in (token_text(piece), piece.decode("utf-8", errors="replace")):
            found[text.replace("\x00", " ")] = token_id
    return found


@dataclass(kw_only=True)
class Kept:
    """What became of a file's activations."""

    written: int = 0
    #: The same as another of its feature, which top and interval groups often are.
    repeated: int = 0
    #: Padding, in which nothing fires; or of a feature whose examples are in already.
    dropped: int = 0


def write_examples(
    session: Session,
    source: Source,
    collection: Collection,
    rows: Iterable[DumpRow],
    ids: dict[str, int],
    refuse: Refuse,
) -> Kept:
    """Take one file's activations, and give its features their examples."""
    kept = Kept()
    texts = Texts(session, collection.corpus_id, collection.tokenisation_id)
    found: dict[int, dict[bytes, tuple[Firing, int]]] = defaultdict(dict)
    stream = iter(rows)
    while part := list(islice(stream, _TOGETHER)):
        firings = _firings(part, ids, refuse, kept)
        contexts = texts.contexts([firing for _, firing in firings])
        for (row, firing), context_id in zip(firings, contexts, strict=True):
            of_feature = found[row.values["index"]]
            kept.repeated += firing.same in of_feature
            of_feature.setdefault(firing.same, (firing, context_id))
    for index, of_index in found.items():
        taken = _give(session, source, collection, index, list(of_index.values()))
        kept.written += len(of_index) if taken else 0
        kept.dropped += 0 if taken else len(of_index)
    return kept


def _firings(
    rows: Sequence[DumpRow], ids: dict[str, int], refuse: Refuse, kept: Kept
) -> list[tuple[DumpRow, Firing]]:
    found = []
    for row in rows:
        try:
            firing = read_firing(row.values, ids, f"{row.place.file} line {row.place.row}")
        except RefusedRowError as refused:
            refuse(row, str(refused))
            continue
        if firing is None:
            kept.dropped += 1
        else:
            found.append((row, firing))
    return found


def _give(
    session: Session,
    source: Source,
    collection: Collection,
    index: int,
    firings: Sequence[tuple[Firing, int]],
) -> bool:
    """Give a feature its examples; a second file that has some of it comes too late."""
    examples = example_set(firings)
    done = session.execute(
        update(Evidence)
        .where(
            Evidence.run_id == collection.run_id,
            Evidence.feature_id == (source.sae.id << FEATURE_BITS | index),
            Evidence.contexts == 0,
        )
        .values(
            examples=pack_examples(examples),
            contexts=len(examples),
            count=func.greatest(Evidence.count, len(examples.positions)),
            max=func.greatest(Evidence.max, float(examples.activation.max())),
            top_tokens=_top_tokens(firings),
            first_context_id=int(examples.context_id.min()),
            last_context_id=int(examples.context_id.max()),
        )
        .returning(Evidence.feature_id)
    )
    return done.one_or_none() is not None


def _top_tokens(firings: Sequence[tuple[Firing, int]]) -> bytes:
    """Return the shares of the activation that tokens have in the examples."""
    tokens = np.concatenate([one.tokens[one.positions] for one, _ in firings])
    values = np.concatenate([firing.values for firing, _ in firings])
    ids, place = np.unique(tokens, return_inverse=True)
    shares = np.bincount(place, weights=values) / values.sum()
    best = np.argsort(-shares, kind="stable")[:_TOP_TOKENS]
    return pack_pairs(ids[best].tolist(), shares[best].tolist())
