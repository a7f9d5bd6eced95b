"""What a scan says of documents: parts, languages, near-empty ones, lists and conditions."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.artifacts import open_artifact
from scopebook.db.arrays import among
from scopebook.db.scan_tables import Scan
from scopebook.db.tables import FEATURE_BITS, Context, Document
from scopebook.scan_conditions import holds
from scopebook.scan_parameters import Condition
from scopebook.scan_views import (
    ConditionFound,
    Coverage,
    CoverageRow,
    LanguageFound,
    NearEmpty,
    PartFound,
)
from scopebook_workers.sae.scan_totals import Hits
from scopebook_workers.tasks.scan_merge import Found

#: Below this share of informative firings a document is near-empty.
NEAR_EMPTY: Final = 0.05
#: Near-empty documents that are named; the others are counted.
NAMED: Final = 100


def parts_found(found: Found) -> list[PartFound]:
    """Return each part with its size."""
    plan = found.plan
    tokens = found.usable.max(axis=0)
    near_empty = _is_near_empty(found)
    parts = []
    for number, (name, documents) in enumerate(zip(plan.parts, plan.documents, strict=True)):
        of_part = found.document_parts == number
        filled = int((of_part & (tokens > 0)).sum())
        telling = int((of_part & ~near_empty).sum())
        parts.append(
            PartFound(
                name=name,
                documents=documents,
                tokens=int(tokens[of_part].sum()),
                empty=documents - filled,
                near_empty=documents - telling,
            )
        )
    return parts


def _is_near_empty(found: Found) -> NDArray[np.bool_]:
    return np.asarray(found.informative <= NEAR_EMPTY * found.firings)


def near_empty_found(session: Session, found: Found, scan: Scan) -> list[NearEmpty]:
    """Return the first near-empty documents: those without a context, then the others."""
    parts = found.plan.parts
    without = session.execute(
        select(Document.id, Document.name, Document.tag)
        .where(
            Document.corpus_id == scan.corpus_id,
            Document.id <= found.plan.parameters.last_document,
            ~select(Context.id)
            .where(
                Context.document_id == Document.id,
                Context.tokenisation_id == scan.tokenisation_id,
            )
            .exists(),
        )
        .order_by(Document.id)
        .limit(NAMED)
    ).all()
    rows = [
        NearEmpty(
            document_id=row.id,
            document=row.name,
            part=(row.tag or "") if scan.parts else "",
            tokens=0,
            informative=0.0,
        )
        for row in without
    ]
    places = np.flatnonzero(_is_near_empty(found))[: NAMED - len(rows)]
    names = document_names(session, found.document_ids[places].tolist())
    for place in places.tolist():
        document_id = int(found.document_ids[place])
        rows.append(
            NearEmpty(
                document_id=document_id,
                document=names.get(document_id, ""),
                part=parts[int(found.document_parts[place])],
                tokens=int(found.usable[:, place].max()),
                informative=float(found.informative[place] / max(int(found.firings[place]), 1)),
            )
        )
    return rows


def document_names(session: Session, ids: Sequence[int]) -> dict[int, str]:
    """Return the names of documents by row id."""
    rows = session.execute(select(Document.id, Document.name).where(among(Document.id, ids)))
    return {row.id: row.name for row in rows}


def languages_found(found: Found, guide_name: str) -> tuple[list[LanguageFound], int]:
    """Return the languages by documents, and how many documents speak for none.

    A document counts for the language that its features speak for most: each firing adds how much
    more often than usual its feature fires, in the reference, in texts of that language.
    """
    with open_artifact(guide_name) as file, np.load(file, allow_pickle=False) as stored:
        names = stored["languages"].tolist()
    total = sum(found.plan.documents)
    if not names:
        return [], total
    first, second = np.sort(found.languages, axis=1)[:, [-1, -2]].T
    speaks = first > second
    mostly = found.languages.argmax(axis=1)
    tokens = found.usable.max(axis=0)
    rows = []
    for number, name in enumerate(names):
        of_language = speaks & (mostly == number)
        documents = int(of_language.sum())
        rows.append(
            LanguageFound(
                language=name,
                documents=documents,
                share=documents / max(total, 1),
                tokens=int(tokens[of_language].sum()),
            )
        )
    rows.sort(key=lambda row: (-row.documents, row.language))
    return [row for row in rows if row.documents], total - int(speaks.sum())


class Watched:
    """Every hit of the watched features, by the features' row ids."""

    def __init__(self, found: Found) -> None:
        self._found = found
        self._hits: dict[int, Hits] = {}
        for layer, totals in zip(found.plan.layers, found.totals, strict=True):
            hits = totals.watched()
            hits = hits.take(np.argsort(hits.feature, kind="stable"))
            indices, starts = np.unique(hits.feature, return_index=True)
            borders = [*starts.tolist(), len(hits)]
            for number, index in enumerate(indices.tolist()):
                some = slice(borders[number], borders[number + 1])
                self._hits[layer.sae_id << FEATURE_BITS | index] = hits.take(some)
        self._label = {layer.sae_id: (layer.prefix, layer.labels) for layer in found.plan.layers}

    def documents(self, features: Sequence[int]) -> NDArray[np.int64]:
        """Return the row ids of the documents that fire any of the features."""
        fired = [self._hits[one].document for one in features if one in self._hits]
        return np.unique(np.concatenate(fired)) if fired else np.empty(0, dtype=np.int64)

    def shares(self, documents: NDArray[np.int64]) -> dict[str, float]:
        """Return which share of each part some documents are."""
        plan = self._found.plan
        places = np.searchsorted(self._found.document_ids, documents)
        counts = np.bincount(self._found.document_parts[places], minlength=len(plan.parts))
        return {
            name: float(count / max(total, 1))
            for name, count, total in zip(plan.parts, counts, plan.documents, strict=True)
        }

    def coverage(self) -> Coverage | None:
        """Return how many documents fire the features of the list, if one was named."""
        wanted, total = self._found.plan.parameters.coverage, sum(self._found.plan.documents)
        if wanted is None:
            return None
        any_of = self.documents(wanted.features)
        rows = []
        for feature in wanted.features:
            documents = self.documents([feature])
            prefix, labels = self._label[feature >> FEATURE_BITS]
            index = feature & (2**FEATURE_BITS - 1)
            rows.append(
                CoverageRow(
                    feature=f"{prefix}{index}",
                    label=labels.get(index),
                    documents=len(documents),
                    share=len(documents) / max(total, 1),
                    parts=self.shares(documents),
                )
            )
        return Coverage(
            name=wanted.name,
            documents=len(any_of),
            share=len(any_of) / max(total, 1),
            parts=self.shares(any_of),
            features=rows,
        )

    def condition(self, condition: Condition) -> ConditionFound:
        """Return whether the documents fulfil a condition, which fails the scan."""
        total = sum(self._found.plan.documents)
        documents = len(self.documents(condition.features))
        share = documents / max(total, 1)
        failed = holds(condition, share)
        what = {"feature": "", "label": "the label ", "list": "the list "}[condition.kind]
        named = condition.target if condition.kind == "feature" else f"{condition.target!r}"
        outcome = "as" if failed else "not"
        return ConditionFound(
            condition=condition.text,
            documents=documents,
            share=share,
            failed=failed,
            sentence=(
                f"{what}{named} fires in {documents:,} of {total:,} documents ({share:.2%}), "
                f"{outcome} {condition.comparison} {condition.bound:g} says."
            ),
        )
