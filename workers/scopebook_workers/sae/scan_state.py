"""What a scan keeps of every feature: sums over documents, and the documents that fire it most.

Additive and free of order, like a collection's state, but with documents in the place of contexts
and a few numbers for each feature in the place of kilobytes. Everything is kept for each part of
the text by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from scopebook_workers.sae.encode import Active
from scopebook_workers.sae.firings import Batch, firings_of, group_firings, sorted_numbers
from scopebook_workers.sae.scan_totals import Hits, best_hits
from scopebook_workers.sae.statistics import steps_of

#: Pairs of a feature and a context that wait before they become pairs with documents.
_PAIRS: Final = 1 << 22
#: Hits that wait beside the kept ones before the best are chosen again.
_POOL: Final = 200_000
_OFFSETS: Final = 0xFFFFFFFF


@dataclass(frozen=True)
class ScanBlock:
    """Some whole documents that are taken in together, by their contexts in ascending order."""

    context_ids: Int64[np.ndarray, " context"]
    lengths: Int64[np.ndarray, " context"]
    #: The place of each context's document in `document_ids`.
    document: Int64[np.ndarray, " context"]
    document_ids: Int64[np.ndarray, " document"]
    #: The number of each document's part.
    parts: Int64[np.ndarray, " document"]

    @property
    def first_tokens(self) -> Int64[np.ndarray, " context"]:
        """Return how many of the block's tokens come before each context."""
        starts: Int64[np.ndarray, " context"] = np.cumsum(self.lengths) - self.lengths
        return starts


@dataclass(frozen=True)
class Pairs:
    """Features with the documents that fire them."""

    feature: Int64[Tensor, " pair"]
    #: Place in the block.
    document: Int64[Tensor, " pair"]
    tokens: Int64[Tensor, " pair"]
    #: Activation in steps of 2**-20.
    total: Int64[Tensor, " pair"]
    #: The largest activation, and which of the block's tokens has it: the first one of several.
    largest: Float32[Tensor, " pair"]
    offset: Int64[Tensor, " pair"]

    def __len__(self) -> int:
        return len(self.feature)


@dataclass(frozen=True)
class ScanGuide:
    """What is known of a layer's features before the scan."""

    #: Dense, bound to a position or to parked attention: they say nothing of a text.
    flagged: Bool[Tensor, " d_sae"]
    #: How far each speaks for a language, in whole steps; see `scan_plan`.
    language: Int64[Tensor, "d_sae language"]
    #: Features of which every hit is kept.
    watched: Bool[Tensor, " d_sae"]


class ScanState:
    """The state of every feature of one SAE."""

    def __init__(self, guide: ScanGuide, *, parts: int, best: int) -> None:
        self._guide, self._parts, self._best = guide, parts, best
        self.d_sae, device = len(guide.flagged), guide.flagged.device
        places = parts * self.d_sae

        def zeros() -> Int64[Tensor, " place"]:
            return torch.zeros(places, dtype=torch.int64, device=device)

        self._sums = {name: zeros() for name in ("hits", "documents", "total")}
        self._sums |= {name: zeros() for name in ("squares", "products")}
        self._largest = torch.zeros(places, device=device)
        self._least = torch.zeros(places, device=device)
        self._candidates: list[Hits] = []
        self._watched: list[Hits] = []
        self._documents: list[dict[str, Any]] = []
        self._waiting: list[Pairs] = []
        self._block: ScanBlock | None = None
        self._usable = zeros()[:0]
        self.sinks = 0

    def expect(self, block: ScanBlock) -> None:
        """Expect the contexts of these documents, in batches."""
        self._block = block
        self._usable = torch.zeros(
            len(block.document_ids), dtype=torch.int64, device=self._least.device
        )

    def update(
        self,
        batch: Batch,
        active: Active,
        *,
        usable: Bool[Tensor, " token"],
        sinks: Bool[Tensor, " token"],
    ) -> None:
        """Take in a batch of the block's contexts; see `FeatureState.update`."""
        assert self._block is not None
        places = np.searchsorted(self._block.context_ids, batch.contexts.ids)
        document = self._there(self._block.document[places])
        self._usable.scatter_add_(0, document[batch.context], usable.long())
        self.sinks += int((sinks & (batch.position > 0)).sum())
        firings = firings_of(batch, active, usable)
        groups = group_firings(firings, len(batch.ids))
        steps = steps_of(firings.activation)[groups.order].cumsum(0)
        steps = torch.cat([steps.new_zeros(1), steps])
        first = self._there(self._block.first_tokens[places])
        self._waiting.append(
            Pairs(
                feature=groups.feature,
                document=document[groups.context],
                tokens=groups.head.diff(),
                total=steps[groups.head].diff(),
                largest=groups.activation,
                offset=first[groups.context] + groups.peak,
            )
        )
        if sum(len(pairs) for pairs in self._waiting) > _PAIRS:
            self._waiting = [self._joined()]

    def settle(self) -> None:
        """Do nothing: no update leaves anything to be done."""

    def end(self) -> None:
        """Take the block's documents, all of whose contexts have come, into the sums."""
        assert self._block is not None
        block, pairs = self._block, self._joined()
        self._waiting, self._block = [], None
        part = self._there(block.parts)
        place = part[pairs.document] * self.d_sae + pairs.feature
        added = {
            "hits": pairs.tokens,
            "documents": torch.ones_like(pairs.tokens),
            "total": pairs.total,
            "squares": pairs.tokens**2,
            "products": pairs.tokens * self._usable[pairs.document],
        }
        for name, values in added.items():
            self._sums[name].scatter_add_(0, place, values)
        self._largest.scatter_reduce_(0, place, pairs.largest, "amax")
        self._note_documents(block, pairs)
        self._watched.append(self._hits(block, pairs, self._guide.watched[pairs.feature]))
        self._candidates.append(self._hits(block, pairs, pairs.largest >= self._least[place]))
        if sum(len(hits) for hits in self._candidates[1:]) > _POOL:
            self._choose_best()

    def arrays(self) -> dict[str, Any]:
        """Return everything as named arrays; of features that never fired, nothing."""
        self._choose_best()
        fired = self._sums["hits"].nonzero().squeeze(1)
        arrays = {name: _host(sums[fired]) for name, sums in self._sums.items()}
        arrays |= {"place": _host(fired), "largest": _host(self._largest[fired])}
        arrays["sinks"] = np.asarray(self.sinks)
        arrays |= Hits.joined(self._candidates).arrays("best.")
        arrays |= Hits.joined(self._watched).arrays("watched.")
        for name in self._documents[0] if self._documents else ():
            arrays[f"document.{name}"] = np.concatenate([one[name] for one in self._documents])
        return arrays

    def _joined(self) -> Pairs:
        """Return the waiting pairs, those of one feature and document as one."""
        device = self._least.device
        if not self._waiting:
            none = torch.zeros(0, dtype=torch.int64, device=device)
            return Pairs(none, none, none, none, none.float(), none)
        parts = self._waiting
        feature, document, tokens, total, offset = (
            torch.cat([getattr(part, name) for part in parts])
            for name in ("feature", "document", "tokens", "total", "offset")
        )
        largest = torch.cat([part.largest for part in parts])
        documents = len(self._usable)
        low = len(feature).bit_length()
        number = torch.arange(len(feature), device=device)
        packed = sorted_numbers(((feature * documents + document) << low) | number)
        order, key = packed & ((1 << low) - 1), packed >> low
        begins = torch.ones_like(key, dtype=torch.bool)
        torch.ne(key[1:], key[:-1], out=begins[1:])
        group, key = begins.cumsum(0) - 1, key[begins]
        # Bits of positive floats order as the floats do; an earlier token makes a larger number.
        strength = (largest.view(torch.int32).long() << 32 | (_OFFSETS - offset))[order]
        strongest = torch.zeros_like(key).scatter_reduce_(
            0, group, strength, "amax", include_self=True
        )
        return Pairs(
            feature=key // documents,
            document=key % documents,
            tokens=torch.zeros_like(key).scatter_add_(0, group, tokens[order]),
            total=torch.zeros_like(key).scatter_add_(0, group, total[order]),
            largest=(strongest >> 32).int().view(torch.float32),
            offset=_OFFSETS - (strongest & _OFFSETS),
        )

    def _note_documents(self, block: ScanBlock, pairs: Pairs) -> None:
        """Note of each document what counts in it, and what fires in it."""
        tokens, n = pairs.tokens, len(block.document_ids)
        informative = torch.where(self._guide.flagged[pairs.feature], 0, tokens)
        width = self._guide.language.shape[1]
        spoken = torch.zeros(width, n, dtype=torch.int64, device=tokens.device)
        for language in range(width):
            weights = self._guide.language[pairs.feature, language] * tokens
            spoken[language].scatter_add_(0, pairs.document, weights)
        sums = torch.zeros(2, n, dtype=torch.int64, device=tokens.device)
        sums[0].scatter_add_(0, pairs.document, tokens)
        sums[1].scatter_add_(0, pairs.document, informative)
        self._documents.append(
            {
                "id": block.document_ids,
                "part": block.parts,
                "usable": _host(self._usable),
                "firings": _host(sums[0]),
                "informative": _host(sums[1]),
                "languages": _host(spoken.T),
            }
        )

    def _hits(self, block: ScanBlock, pairs: Pairs, chosen: Bool[Tensor, " pair"]) -> Hits:
        document, offset = _host(pairs.document[chosen]), _host(pairs.offset[chosen])
        first = block.first_tokens
        context = np.searchsorted(first, offset, side="right") - 1
        return Hits(
            part=block.parts[document],
            feature=_host(pairs.feature[chosen]),
            document=block.document_ids[document],
            tokens=_host(pairs.tokens[chosen]),
            largest=_host(pairs.largest[chosen]),
            context=block.context_ids[context],
            peak=offset - first[context],
        )

    def _choose_best(self) -> None:
        """Keep the best of each feature and part, and let in only what can be among them."""
        best, last = best_hits(Hits.joined(self._candidates), self._best)
        self._candidates = [best]
        full = best.take(last)
        places = self._there(full.part * self.d_sae + full.feature)
        self._least[places] = torch.from_numpy(full.largest).to(self._least.device)

    def _there(self, numbers: Int64[np.ndarray, " n"]) -> Int64[Tensor, " n"]:
        return torch.from_numpy(np.ascontiguousarray(numbers)).to(self._least.device)


def _host(column: Tensor) -> Any:
    return column.cpu().numpy()


def block_of(
    context_ids: Sequence[int],
    lengths: Sequence[int],
    documents: Sequence[int],
    parts: Sequence[int],
) -> ScanBlock:
    """Return the block of these contexts, each with its document and that one's part."""
    ids, first, place = np.unique(
        np.asarray(documents, dtype=np.int64), return_index=True, return_inverse=True
    )
    return ScanBlock(
        context_ids=np.asarray(context_ids, dtype=np.int64),
        lengths=np.asarray(lengths, dtype=np.int64),
        document=place.astype(np.int64),
        document_ids=ids,
        parts=np.asarray(parts, dtype=np.int64)[first],
    )
