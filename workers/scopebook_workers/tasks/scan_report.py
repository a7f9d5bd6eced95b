"""End a scan: merge its shards, hold them against the reference, write what was found."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

import numpy as np
from sqlalchemy import func, update
from sqlalchemy.orm import Session

from scopebook.artifact_holds import removing
from scopebook.artifacts import list_artifacts, remove_artifact
from scopebook.db.scan_tables import Scan, ScanShard
from scopebook.db.sessions import sessions, unit_of_work
from scopebook.jobs import REPORT_SCAN
from scopebook.scan_contrasts import Contrast, Counts, contrast
from scopebook.scan_passages import Hit, read_snippets
from scopebook.scan_views import FeatureFound, PartsContrast, ScanSummary, Snippet
from scopebook.steps import Claim, NewStep
from scopebook_workers.claims import Finish, Progress, step_task
from scopebook_workers.outages import read_patiently
from scopebook_workers.sae.scan_totals import Hits
from scopebook_workers.sae.statistics import STEPS_PER_UNIT
from scopebook_workers.tasks.scan_concepts import concepts_found
from scopebook_workers.tasks.scan_documents import (
    Watched,
    languages_found,
    near_empty_found,
    parts_found,
)
from scopebook_workers.tasks.scan_files import write_features, write_hits
from scopebook_workers.tasks.scan_merge import Found, merge_shards, read_report_plan

#: Features that the summary names at each end; all stand in the Parquet file.
NAMED: Final = 100
#: Of so many of them passages are shown.
SHOWN: Final = 30
PASSAGES: Final = 3
FLAGGED_NAMED: Final = 50


@step_task(REPORT_SCAN)
def report_scan(claim: Claim, progress: Progress) -> Finish:
    """Write the summary and the files of all features and hits; then, as a step, tidy up."""
    scan_id = claim.parameters["scan_id"]
    if claim.parameters.get("tidy", False):
        return _tidy(scan_id, progress)
    plan = read_patiently(lambda session: read_report_plan(session, scan_id))
    found = merge_shards(plan, progress)
    side, reference = found.side(), found.reference()
    whole = contrast(side, reference, ranked=~found.flagged(), fdr=plan.parameters.fdr)
    features = f"scans/{scan_id}/features-{claim.fence}.parquet"
    hits = f"scans/{scan_id}/hits-{claim.fence}.parquet"
    write_features(features, found, whole)
    write_hits(hits, found)
    summary = read_patiently(lambda session: _summary(session, found, whole, reference))

    def write(session: Session) -> list[NewStep]:
        scan = session.get_one(Scan, scan_id)
        scan.summary = asdict(summary)
        scan.features_artifact, scan.hits_artifact = features, hits
        scan.finished_at = func.now()
        tidy = {"scan_id": scan_id, "tidy": True}
        title = "Remove what was merged"
        return [NewStep(kind=REPORT_SCAN, stage=claim.stage + 1, title=title, parameters=tidy)]

    return write


def _tidy(scan_id: int, progress: Progress) -> Finish:
    """Remove the shards' results and what killed workers left; the rows let go of them first."""
    with unit_of_work(sessions()) as session:
        progress.hold(session)
        session.execute(update(ScanShard).where(ScanShard.scan_id == scan_id).values(artifact=None))
        scan = session.get_one(Scan, scan_id)
        scan.guide = None
        kept = {scan.features_artifact, scan.hits_artifact}
    with removing(sessions(), progress.check):
        for name in list_artifacts(f"scans/{scan_id}"):
            if name not in kept:
                remove_artifact(name)
    return lambda session: None


def _summary(session: Session, found: Found, whole: Contrast, reference: Counts) -> ScanSummary:
    plan = found.plan
    scan = session.get_one(Scan, plan.scan_id)
    assert scan.guide is not None, "a scan is reported before it is tidied up"
    languages, unknown = languages_found(found, scan.guide)
    parts = parts_found(found)
    watched = Watched(found)
    passages = _passages(session, found, whole.over[:SHOWN].tolist())
    concepts_over, concepts_under = concepts_found(found, whole)
    flagged = _flagged(found, whole)
    return ScanSummary(
        release=plan.release,
        model=plan.model,
        caution=plan.caution,
        documents=sum(plan.documents),
        tokens=sum(part.tokens for part in parts),
        sinks={
            str(layer.layer): totals.sinks
            for layer, totals in zip(plan.layers, found.totals, strict=True)
        },
        parts=parts,
        references=[layer.reference for layer in plan.layers],
        tested=whole.tested,
        over_total=len(whole.over),
        under_total=len(whole.under),
        over=[_feature(found, whole, i, passages.get(i, ())) for i in _first(whole.over)],
        under=[_feature(found, whole, i) for i in _first(whole.under)],
        concepts_over=concepts_over,
        concepts_under=concepts_under,
        flagged_total=int((found.flagged() & (whole.one.hits > 0)).sum()),
        flagged=flagged,
        languages=languages,
        languages_unknown=unknown,
        near_empty=near_empty_found(session, found, scan),
        coverage=watched.coverage(),
        conditions=[watched.condition(one) for one in plan.parameters.conditions],
        compared=_compared(found),
        parameters={
            "fdr": plan.parameters.fdr,
            "against": plan.parameters.against,
            "sink_factor": plan.parameters.sink_factor,
            "layers": [layer.layer for layer in plan.layers],
        },
    )


def _first(places: np.ndarray) -> list[int]:
    return [int(place) for place in places[:NAMED]]


def _feature(
    found: Found,
    held: Contrast,
    place: int,
    examples: Sequence[Snippet] = (),
    part: int | None = None,
) -> FeatureFound:
    """Return how one feature fires on both sides; `part` tells whose documents `held.one` is."""
    layer, index = found.layer_of(place)
    some = slice(None) if part is None else slice(part, part + 1)
    totals = found.totals[found.plan.layers.index(layer)]
    hits, fdr = int(held.one.hits[place]), float(held.fdr[place])
    documents = int(held.one.clusters[place])
    return FeatureFound(
        feature=f"{layer.prefix}{index}",
        layer=layer.layer,
        index=index,
        label=layer.labels.get(index),
        flags=layer.flags.get(index, []),
        tokens=hits,
        documents=documents,
        share=documents / max(sum(found.plan.documents[some]), 1),
        rate=float(held.one.rate[place]),
        other_rate=float(held.other.rate[place]),
        mean=int(totals.sums["total"][some, index].sum()) / STEPS_PER_UNIT / max(hits, 1),
        max=float(totals.largest[some, index].max()),
        log2=float(held.ratios.log2[place]),
        low=float(held.ratios.low[place]),
        high=float(held.ratios.high[place]),
        p=float(held.ratios.p[place]),
        fdr=None if np.isnan(fdr) else fdr,
        examples=list(examples),
    )


def _flagged(found: Found, whole: Contrast) -> list[FeatureFound]:
    """Return the flagged features that fire most."""
    hits = np.where(found.flagged(), whole.one.hits, 0)
    places = np.argsort(-hits, kind="stable")[:FLAGGED_NAMED]
    return [_feature(found, whole, int(place)) for place in places if hits[place] > 0]


def _passages(session: Session, found: Found, places: list[int]) -> dict[int, list[Snippet]]:
    """Return the passages that fire some features most strongly, by the features' places."""
    hits: list[Hit] = []
    owner: list[int] = []
    for place in places:
        layer, index = found.layer_of(place)
        best = found.totals[found.plan.layers.index(layer)].best
        for hit in _hits_of(found, best.take(best.feature == index)):
            hits.append(hit)
            owner.append(place)
    snippets = read_snippets(session, hits)
    shown: dict[int, list[Snippet]] = {}
    # Texts that went meanwhile have no passage, and then it is not known whose the others are.
    for place, snippet in zip(owner, snippets, strict=len(owner) == len(snippets)):
        shown.setdefault(place, []).append(snippet)
    return shown if len(owner) == len(snippets) else {}


def _hits_of(found: Found, best: Hits) -> list[Hit]:
    order = np.lexsort((best.document, -best.largest))[:PASSAGES]
    some = best.take(order)
    return [
        Hit(
            part=found.plan.parts[int(some.part[row])],
            document_id=int(some.document[row]),
            tokens=int(some.tokens[row]),
            activation=float(some.largest[row]),
            context_id=int(some.context[row]),
            peak=int(some.peak[row]),
        )
        for row in range(len(some))
    ]


def _compared(found: Found) -> list[PartsContrast]:
    """Return each part held against each that comes after it."""
    parts, ranked = found.plan.parts, ~found.flagged()
    sides = [found.side(number) for number in range(len(parts))] if len(parts) > 1 else []
    contrasts = []
    for one in range(len(sides)):
        for other in range(one + 1, len(sides)):
            held = contrast(sides[one], sides[other], ranked=ranked, fdr=found.plan.parameters.fdr)
            contrasts.append(
                PartsContrast(
                    one=parts[one],
                    other=parts[other],
                    tested=held.tested,
                    over_total=len(held.over),
                    under_total=len(held.under),
                    over=[_feature(found, held, i, part=one) for i in _first(held.over)],
                    under=[_feature(found, held, i, part=one) for i in _first(held.under)],
                )
            )
    return contrasts
