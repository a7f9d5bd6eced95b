"""Merge a scan's shards, and read what they are held against."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from scopebook.artifacts import open_artifact
from scopebook.db.label_tables import Label
from scopebook.db.scan_tables import Scan, ScanShard
from scopebook.db.tables import (
    FEATURE_BITS,
    Corpus,
    Document,
    Evidence,
    Model,
    Release,
    Run,
    Sae,
    Tokenisation,
)
from scopebook.errors import UnavailableError
from scopebook.scan_contrasts import Counts, context_counts, document_counts, joined
from scopebook.scan_parameters import ScanParameters, read_scan_parameters
from scopebook.scan_views import Reference
from scopebook.scans import FLAGGED
from scopebook_workers.claims import Progress
from scopebook_workers.sae.scan_totals import SUMS, ScanTotals


@dataclass(frozen=True, kw_only=True)
class ScanLayer:
    """A layer, and what the reference knows of its features."""

    layer: int
    sae_id: int
    d_sae: int
    #: What stands before the index in a feature's id.
    prefix: str
    reference: Reference
    other: Counts
    #: By index, of those that have any.
    flags: dict[int, list[str]]
    labels: dict[int, str]


@dataclass(frozen=True, kw_only=True)
class ReportPlan:
    """What a scan's rows say is to be reported."""

    scan_id: int
    release: str
    model: str
    caution: str | None
    tokenisation_id: int
    parameters: ScanParameters
    #: Names of the parts; "" is the only one of a text without parts.
    parts: list[str]
    #: Documents of each part, empty ones too.
    documents: list[int]
    layers: list[ScanLayer]
    shards: list[str]


@dataclass(kw_only=True)
class Found:
    """What all shards found: totals by layer, and documents with sums over the layers."""

    plan: ReportPlan
    totals: list[ScanTotals]
    #: Row ids and parts of the documents that have contexts, in ascending order.
    document_ids: NDArray[np.int64]
    document_parts: NDArray[np.int64]
    #: Tokens of each document that count in each layer, (layer, document).
    usable: NDArray[np.int64]
    firings: NDArray[np.int64]
    informative: NDArray[np.int64]
    #: (document, language).
    languages: NDArray[np.int64]

    def side(self, part: int | None = None) -> Counts:
        """Return the side of one part's documents, or of all, over the features of all layers."""
        some = slice(None) if part is None else slice(part, part + 1)
        chosen = slice(None) if part is None else self.document_parts == part
        sides = []
        for totals, usable in zip(self.totals, self.usable, strict=True):
            tokens = usable[chosen].astype(np.float64)
            sides.append(
                document_counts(
                    {name: totals.sums[name][some].sum(axis=0) for name in SUMS},
                    tokens=float(tokens.sum()),
                    token_squares=float((tokens**2).sum()),
                    documents=int((tokens > 0).sum()),
                )
            )
        return joined(sides)

    def over_layers(self, name: str, part: int | None = None) -> NDArray[Any]:
        """Return a sum of all features, or the largest activation (`largest`)."""
        some = slice(None) if part is None else slice(part, part + 1)
        if name == "largest":
            return np.concatenate([totals.largest[some].max(axis=0) for totals in self.totals])
        return np.concatenate([totals.sums[name][some].sum(axis=0) for totals in self.totals])

    def reference(self) -> Counts:
        """Return the reference's side over the features of all layers."""
        return joined([layer.other for layer in self.plan.layers])

    def feature_ids(self) -> NDArray[np.int64]:
        """Return the row ids of all features, layer by layer: their place is that in a side."""
        return np.concatenate(
            [(one.sae_id << FEATURE_BITS) + np.arange(one.d_sae) for one in self.plan.layers]
        )

    def flagged(self) -> NDArray[np.bool_]:
        """Tell which features fire whatever a text is about."""
        marks = []
        for layer in self.plan.layers:
            mark = np.zeros(layer.d_sae, dtype=bool)
            mark[[i for i, flags in layer.flags.items() if not FLAGGED.isdisjoint(flags)]] = True
            marks.append(mark)
        return np.concatenate(marks)

    def layer_of(self, place: int) -> tuple[ScanLayer, int]:
        """Return the layer of a feature's place among all, and its index there."""
        for layer in self.plan.layers:
            if place < layer.d_sae:
                return layer, place
            place -= layer.d_sae
        raise IndexError(place)


def read_report_plan(session: Session, scan_id: int) -> ReportPlan:
    """Read what is to be reported, the reference's side too."""
    scan = session.get_one(Scan, scan_id)
    release = session.get_one(Release, scan.release_id)
    model = session.get_one(Model, release.model_id)
    parameters = read_scan_parameters(scan)
    saes = session.scalars(
        select(Sae)
        .where(Sae.release_id == release.id, Sae.layer.in_(scan.layers))
        .order_by(Sae.layer)
    )
    shards = session.scalars(
        select(ScanShard).where(ScanShard.scan_id == scan_id).order_by(ScanShard.ordinal)
    )
    return ReportPlan(
        scan_id=scan_id,
        release=release.name,
        model=model.name,
        caution=release.caution,
        tokenisation_id=scan.tokenisation_id,
        parameters=parameters,
        parts=list(scan.parts) or [""],
        documents=_documents(session, scan, parameters.last_document),
        layers=[
            _read_layer(session, sae, model.name, release.set_name, parameters) for sae in saes
        ],
        shards=[_artifact(shard) for shard in shards],
    )


def _artifact(shard: ScanShard) -> str:
    if shard.artifact is None:
        raise UnavailableError(
            f"Shard {shard.ordinal + 1} of scan {shard.scan_id} has no result; scan again."
        )
    return shard.artifact


def _documents(session: Session, scan: Scan, last: int) -> list[int]:
    rows = session.execute(
        select(Document.tag, func.count().label("documents"))
        .where(Document.corpus_id == scan.corpus_id, Document.id <= last)
        .group_by(Document.tag)
    ).all()
    if not scan.parts:
        return [sum(row.documents for row in rows)]
    by_tag = {row.tag: row.documents for row in rows}
    return [by_tag.get(part, 0) for part in scan.parts]


def _read_layer(
    session: Session, sae: Sae, model: str, set_name: str, parameters: ScanParameters
) -> ScanLayer:
    run = session.get_one(Run, parameters.references[sae.layer])
    corpus = session.scalars(
        select(Corpus.name)
        .join(Tokenisation, Tokenisation.corpus_id == Corpus.id)
        .where(Tokenisation.id == run.tokenisation_id)
    ).one()
    hits = np.zeros(sae.d_sae, dtype=np.int64)
    contexts = np.zeros(sae.d_sae, dtype=np.int64)
    density = np.zeros(sae.d_sae)
    flags: dict[int, list[str]] = {}
    first = sae.id << FEATURE_BITS
    for row in session.execute(
        select(
            *(Evidence.feature_id, Evidence.count.label("hits"), Evidence.contexts),
            *(Evidence.density, Evidence.flags),
        ).where(
            Evidence.run_id == run.id, Evidence.feature_id.between(first, first + sae.d_sae - 1)
        )
    ):
        index = row.feature_id - first
        hits[index], contexts[index], density[index] = row.hits, row.contexts, row.density
        if row.flags:
            flags[index] = list(row.flags)
    labels = session.execute(
        select(Label.feature_id, Label.text).where(
            Label.sae_id == sae.id, Label.current, Label.sense_id.is_(None)
        )
    )
    tokens = _tokens_that_count(run, sae.layer, hits, density)
    return ScanLayer(
        layer=sae.layer,
        sae_id=sae.id,
        d_sae=sae.d_sae,
        prefix=f"{model}/{sae.layer}-{set_name}/",
        reference=Reference(
            layer=sae.layer, run=run.id, corpus=corpus, tokens=tokens, sae_sha256=sae.sha256
        ),
        other=context_counts(hits, contexts, tokens=tokens),
        flags=flags,
        labels={row.feature_id - first: row.text for row in labels},
    )


def _tokens_that_count(
    run: Run, layer: int, hits: NDArray[np.int64], density: NDArray[np.float64]
) -> int:
    """Return of how many tokens the run's counts are: neither first positions nor sinks.

    `tokens_seen` holds the sinks, whose number stands beside it by layer. A density is a count
    divided by what is wanted here; an imported run may tell it in no other way.
    """
    if hits.max(initial=0) > 0 and density[hits.argmax()] > 0:
        return round(float(hits.max() / density[hits.argmax()]))
    sinks: int = run.parameters.get("sinks", {}).get(str(layer), 0)
    return max(0, (run.tokens_seen or 0) - sinks)


def merge_shards(plan: ReportPlan, progress: Progress) -> Found:
    """Merge what the shards found, in any order."""
    totals = [
        ScanTotals(layer.d_sae, parts=len(plan.parts), best=plan.parameters.best)
        for layer in plan.layers
    ]
    for done, name in enumerate(plan.shards):
        progress(done, len(plan.shards), "shards")
        with open_artifact(name) as file, np.load(file, allow_pickle=False) as stored:
            for layer, total in zip(plan.layers, totals, strict=True):
                prefix = f"{layer.layer}."
                names = (name for name in stored.files if name.startswith(prefix))
                total.add({name.removeprefix(prefix): stored[name] for name in names})
    return _together(plan, totals)


def _together(plan: ReportPlan, totals: Sequence[ScanTotals]) -> Found:
    columns = [total.documents() for total in totals]
    order = np.argsort(columns[0]["id"])
    return Found(
        plan=plan,
        totals=list(totals),
        document_ids=columns[0]["id"][order],
        document_parts=columns[0]["part"][order],
        usable=np.stack([one["usable"][order] for one in columns]),
        firings=sum(one["firings"][order] for one in columns),
        informative=sum(one["informative"][order] for one in columns),
        languages=sum(one["languages"][order] for one in columns),
    )
