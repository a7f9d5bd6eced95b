"""Plan a scan: cut its text into shards of whole documents, and look up what they must know."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from scopebook.artifacts import write_artifact
from scopebook.db.scan_tables import Scan, ScanShard
from scopebook.db.sessions import sessions, unit_of_work
from scopebook.db.tables import FEATURE_BITS, Context, Document, Evidence, Run, Sae, Tokenisation
from scopebook.errors import InvalidInputError
from scopebook.jobs import PLAN_SCAN, SCAN_SHARD
from scopebook.scan_parameters import ScanParameters, read_scan_parameters
from scopebook.scans import FLAGGED
from scopebook.settings import settings
from scopebook.steps import Claim, NewStep
from scopebook_workers.claims import Finish, Progress, step_task
from scopebook_workers.labeling.tongues import LANGUAGES, NAMES, PROGRAMMING
from scopebook_workers.sae.blocks import cut_shards

#: A scan's results are small: a shard is as long as a killed worker may lose.
SHARD_TOKENS: Final = 100_000
#: Steps of a feature's weight for a language, which are added up as whole numbers.
_WEIGHT_STEPS: Final = 1024
#: Shares of languages are smoothed by so much: tags below a twentieth are not kept.
_SMOOTHING: Final = 0.02
#: A tag is taken for a language if so much of its documents is in it.
_SURE: Final = 0.8
_READ_AT_ONCE: Final = 10_000


@dataclass(frozen=True, eq=False)
class TextPlace:
    """The contexts of a text in ascending order, each with its document."""

    context_ids: NDArray[np.int64]
    lengths: NDArray[np.int64]
    documents: NDArray[np.int64]

    def document_starts(self) -> NDArray[np.int64]:
        """Return the place of each document's first context."""
        return np.flatnonzero(np.diff(self.documents, prepend=-1))

    def document_tokens(self) -> NDArray[np.int64]:
        """Return how many tokens each document has."""
        starts = self.document_starts()
        return np.add.reduceat(self.lengths, starts) if len(starts) else starts


@step_task(PLAN_SCAN)
def plan_scan(claim: Claim, progress: Progress) -> Finish:
    """Cut the scan's documents into shards, add a step for each, and write the guide."""
    scan_id = claim.parameters["scan_id"]
    with unit_of_work(sessions()) as session:
        scan = session.get_one(Scan, scan_id)
        parameters = read_scan_parameters(scan)
        place = read_place(session, scan.tokenisation_id, last_document=parameters.last_document)
        shards = _cut(place, parameters)
        if not shards:
            raise InvalidInputError(
                f"{scan.dataset} holds no token to scan; give a text that is not empty."
            )
        guide = _guide(session, scan)
    name = f"scans/{scan_id}/guide-{claim.fence}.npz"
    write_artifact(name, lambda file: _save(file, guide))

    def write(session: Session) -> list[NewStep]:
        session.get_one(Scan, scan_id).guide = name
        session.execute(delete(ScanShard).where(ScanShard.scan_id == scan_id))
        rows = [
            ScanShard(
                scan_id=scan_id, ordinal=ordinal, first_context_id=first, last_context_id=last
            )
            for ordinal, (first, last, _) in enumerate(shards)
        ]
        session.add_all(rows)
        session.flush()
        return [
            NewStep(
                kind=SCAN_SHARD,
                stage=claim.stage + 1,
                title=f"Scan shard {row.ordinal + 1} of {len(rows)}",
                parameters={"shard_id": row.id},
                total=tokens,
                unit="tokens",
            )
            for row, (_, _, tokens) in zip(rows, shards, strict=True)
        ]

    return write


def read_place(
    session: Session,
    tokenisation_id: int,
    *,
    first: int = 0,
    last: int = 2**62,
    last_document: int = 2**62,
) -> TextPlace:
    """Return some of a tokenisation's contexts that hold tokens."""
    rows = session.execute(
        select(Context.id, Context.n_tokens, Context.document_id)
        .where(
            Context.tokenisation_id == tokenisation_id,
            Context.id.between(first, last),
            Context.document_id <= last_document,
            Context.n_tokens > 0,
        )
        .order_by(Context.id)
        .execution_options(yield_per=_READ_AT_ONCE)
    )
    numbers = np.fromiter((tuple(row) for row in rows), dtype="i8,i8,i8")
    return TextPlace(*(numbers[name].copy() for name in ("f0", "f1", "f2")))


def _cut(place: TextPlace, parameters: ScanParameters) -> list[tuple[int, int, int]]:
    """Return the first and last context of each shard, and how many tokens it holds."""
    tokens = place.document_tokens().tolist()
    borders = [*place.document_starts().tolist(), len(place.context_ids)]
    shards = cut_shards(
        tokens,
        block_tokens=parameters.block_tokens,
        shard_tokens=settings().shard_tokens or SHARD_TOKENS,
    )
    return [
        (
            int(place.context_ids[borders[shard.start]]),
            int(place.context_ids[borders[shard.stop] - 1]),
            sum(tokens[shard.start : shard.stop]),
        )
        for shard in shards
    ]


def _guide(session: Session, scan: Scan) -> dict[str, Any]:
    """Return by layer which features are flagged, and how far each speaks for a language."""
    references = read_scan_parameters(scan).references
    runs = {layer: session.get_one(Run, references[layer]) for layer in scan.layers}
    spoken: dict[str, str] = {}
    for run in {run.id: run for run in runs.values()}.values():
        spoken |= _languages_of_tags(session, run)
    languages = sorted(set(spoken.values()))
    if len(languages) < 2:
        languages = []  # nothing to tell apart
    arrays: dict[str, Any] = {"languages": np.asarray(languages, dtype=np.str_)}
    # One layer's evidence at a time: that of all of them may not fit into memory.
    for layer, run in runs.items():
        sae = session.scalars(select(Sae).filter_by(release_id=scan.release_id, layer=layer)).one()
        first = sae.id << FEATURE_BITS
        rows = session.execute(
            select((Evidence.feature_id - first).label("place"), Evidence.flags, Evidence.tags)
            .where(Evidence.run_id == run.id)
            .where(Evidence.feature_id.between(first, first + sae.d_sae - 1))
        ).all()
        flagged = np.zeros(sae.d_sae, dtype=bool)
        flagged[[row.place for row in rows if not FLAGGED.isdisjoint(row.flags)]] = True
        arrays[f"{layer}.flagged"] = flagged
        arrays[f"{layer}.language"] = _weights(rows, flagged, spoken, languages)
    return arrays


def _weights(
    rows: Sequence[Any],
    flagged: NDArray[np.bool_],
    spoken: Mapping[str, str],
    languages: Sequence[str],
) -> NDArray[np.int64]:
    """Return how far each feature speaks for each language: log2 of the share that its texts have.

    Divided by that of all contexts, in steps of 1/1024; 0 for features that tell nothing.
    """
    shares = np.zeros((len(flagged), len(languages)))
    known = np.zeros(len(flagged), dtype=bool)
    usual: dict[str, float] = {}
    for row in rows:
        for tag, share, lift in row.tags:
            name = spoken.get(tag)
            if name in languages and lift > 0 and not flagged[row.place]:
                shares[row.place, languages.index(name)] += share
                known[row.place] = True
                usual[tag] = share / lift
    of_all = np.zeros(len(languages))
    for tag, share in usual.items():
        of_all[languages.index(spoken[tag])] += share
    weights = np.log2((shares + _SMOOTHING) / (of_all + _SMOOTHING))
    steps: NDArray[np.int64] = np.where(known[:, None], weights * _WEIGHT_STEPS, 0).astype(np.int64)
    return steps


def _save(file: BinaryIO, guide: Mapping[str, Any]) -> None:
    np.savez(file, allow_pickle=False, **guide)


def _languages_of_tags(session: Session, run: Run) -> dict[str, str]:
    """Return the natural language of each tag: by its name, or by what its documents say."""
    rows = session.execute(
        select(Document.tag, Document.language, func.count().label("documents"))
        .join(Tokenisation, Tokenisation.corpus_id == Document.corpus_id)
        .where(Tokenisation.id == run.tokenisation_id, Document.tag.is_not(None))
        .group_by(Document.tag, Document.language)
    ).all()
    by_tag: dict[str, dict[str | None, int]] = {}
    for row in rows:
        counts = by_tag.setdefault(row.tag or "", {})
        counts[_language(row.language)] = counts.get(_language(row.language), 0) + row.documents
    spoken = {}
    for tag, counts in by_tag.items():
        if tag.lower() in PROGRAMMING:
            continue
        named = _language(tag)
        usual = max(counts, key=lambda name: counts[name])
        sure = counts[usual] >= _SURE * sum(counts.values())
        found = named or (usual if sure else None)
        if found is not None:
            spoken[tag] = found
    return spoken


def _language(name: str | None) -> str | None:
    """Return the English name of a language that is named in words or by its code."""
    written = (name or "").strip().lower()
    return NAMES.get(written) or LANGUAGES.get(written.split("-")[0].split("_")[0])
