"""Edits of features, as changes of the residual stream: what steering adds to it.

With h the residual at a layer, f the SAE's activations of it and d_i the row of `w_dec` that
feature i writes, an edit of f_i to g changes h by (g - f_i) d_i. What the SAE does not explain of h
stays in it: a reconstruction is never put in its place. Several edits of a layer are made from the
same, unedited h.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor

from scopebook.steering import ENCODED, Op
from scopebook_workers.sae.autoencoder import SparseAutoencoder
from scopebook_workers.sae.chosen import activations_of


@dataclass(frozen=True)
class Edit:
    """What is done to one feature; the value of `ablate` does not count."""

    feature: int
    op: Op
    #: In units of activations for `add`, `set`, `min_set`; a factor for `scale`, `project`.
    value: float = 0.0
    #: What the change is multiplied by: at 0 nothing is done, at 1 what the edit says.
    strength: float = 1.0


class LayerEdits:
    """The edits of one layer for one or more rows of a batch.

    All rows edit the same features by the same operations; their values may differ, so that a
    sweep of strengths is one batch.
    """

    def __init__(self, sae: SparseAutoencoder, rows: Sequence[Sequence[Edit]]) -> None:
        """Hold the edits of each row; one row stands for all.

        Raises:
            ValueError: Rows differ in more than values, a feature is edited twice, or is not the
                SAE's.
        """
        first = rows[0]
        asked = [(edit.feature, edit.op) for edit in first]
        if any([(edit.feature, edit.op) for edit in row] != asked for row in rows):
            raise ValueError("the rows of a batch may differ in their values alone")
        if len({feature for feature, _ in asked}) < len(asked):
            raise ValueError("a feature can be edited once")
        if any(not 0 <= feature < sae.d_sae for feature, _ in asked):
            raise ValueError(f"features are numbered 0 to {sae.d_sae - 1}")
        device = sae.w_dec.device
        values = _numbers([[edit.value for edit in row] for row in rows])
        strengths = _numbers([[edit.strength for edit in row] for row in rows])
        self._sae = sae
        self._adds = any(edit.op == "add" for edit in first)
        self._written = _added(sae, first, values * strengths).to(device, torch.float32)
        self._encoded = _Encoded.of(sae, first, values, strengths)
        self._projected = _Projected.of(sae, first, 1 + (values - 1) * strengths)

    @property
    def vectors(self) -> Float32[Tensor, "row d_model"] | None:
        """What is added for each row whatever the residual is; None: it depends on that too."""
        return None if self._encoded or self._projected else self._written

    @torch.no_grad()
    def change(
        self, residual: Float[Tensor, "token d_model"], row: Int64[Tensor, " token"]
    ) -> Float32[Tensor, "token d_model"]:
        """Return what is to be added to the residual of each token, which is of a row."""
        changes = [
            part.change(residual, row, self._sae)
            for part in (self._encoded, self._projected)
            if part
        ]
        if self._adds or not changes:
            changes.append(_of_rows(self._written, row).expand(len(residual), -1))
        return sum(changes[1:], start=changes[0])


def _of_rows(
    table: Float32[Tensor, "row number"], row: Int64[Tensor, " token"]
) -> Float32[Tensor, "token_or_one number"]:
    """Return what holds for each token; one row holds for all, and needs no copies of itself."""
    return table if len(table) == 1 else table[row]


def added_vector(
    sae: SparseAutoencoder, edits: Sequence[Edit]
) -> Float32[Tensor, " d_model"] | None:
    """Return the sum of what `add` writes, on the CPU; None: nothing is added."""
    if not any(edit.op == "add" for edit in edits):
        return None
    factors = _numbers([[edit.value * edit.strength for edit in edits]])
    return _added(sae, edits, factors)[0].float()


def _numbers(rows: Sequence[Sequence[float]]) -> Float64[Tensor, "row edit"]:
    return torch.tensor(rows, dtype=torch.float64).reshape(len(rows), -1)


def _chosen(edits: Sequence[Edit], ops: frozenset[Op]) -> list[int]:
    return [place for place, edit in enumerate(edits) if edit.op in ops]


def _added(
    sae: SparseAutoencoder, edits: Sequence[Edit], values: Float64[Tensor, "row edit"]
) -> Float64[Tensor, "row d_model"]:
    """Sum what `add` writes in float64: what is exported is the same number for number."""
    places = _chosen(edits, frozenset({"add"}))
    features = torch.tensor([edits[place].feature for place in places], dtype=torch.int64)
    directions = sae.w_dec[features.to(sae.w_dec.device)].double().cpu()
    return values[:, places] @ directions


@dataclass(frozen=True)
class _Encoded:
    """Edits that depend on how strongly a feature fires."""

    #: Which of these edits are of an operation: edits of one operation stand side by side.
    ops: dict[Op, slice]
    features: Int64[Tensor, " edit"]
    values: Float32[Tensor, "row edit"]
    strengths: Float32[Tensor, "row edit"]
    directions: Float32[Tensor, "edit d_model"]

    @classmethod
    def of(
        cls,
        sae: SparseAutoencoder,
        edits: Sequence[Edit],
        values: Float64[Tensor, "row edit"],
        strengths: Float64[Tensor, "row edit"],
    ) -> "_Encoded | None":
        places = sorted(_chosen(edits, ENCODED), key=lambda place: edits[place].op)
        if not places:
            return None
        device = sae.w_dec.device
        features = torch.tensor([edits[place].feature for place in places], device=device)
        return cls(
            ops=_side_by_side([edits[place].op for place in places]),
            features=features,
            values=values[:, places].to(device, torch.float32),
            strengths=strengths[:, places].to(device, torch.float32),
            directions=sae.w_dec[features].float(),
        )

    def change(
        self,
        residual: Float[Tensor, "token d_model"],
        row: Int64[Tensor, " token"],
        sae: SparseAutoencoder,
    ) -> Float32[Tensor, "token d_model"]:
        fires = activations_of(residual, sae, self.features)
        return (self._more(fires, row) * _of_rows(self.strengths, row)) @ self.directions

    def _more(
        self, fires: Float32[Tensor, "token edit"], row: Int64[Tensor, " token"]
    ) -> Float32[Tensor, "token edit"]:
        if list(self.ops) == ["ablate"]:
            return -fires
        wanted = _of_rows(self.values, row)
        more = torch.empty_like(fires)
        for op, edits in self.ops.items():
            now = fires[:, edits]
            more[:, edits] = _edited(op, now, wanted[:, edits]) - now
        return more


def _side_by_side(ops: Sequence[Op]) -> dict[Op, slice]:
    ends = {op: place + 1 for place, op in enumerate(ops)}
    return {op: slice(end - ops.count(op), end) for op, end in ends.items()}


def _edited(
    op: Op, now: Float32[Tensor, "token edit"], value: Float32[Tensor, "token_or_one edit"]
) -> Float32[Tensor, "token edit"]:
    if op == "set":
        return value.expand_as(now)
    if op == "min_set":
        return now.maximum(value)
    if op == "scale":
        return now * value
    return torch.zeros_like(now)  # ablate


@dataclass(frozen=True)
class _Projected:
    """The part of the residual along some directions, scaled.

    Several directions are one space, whose part is scaled at once: were each taken off by itself,
    what they share would go twice.
    """

    #: An orthonormal basis of the space.
    basis: Float32[Tensor, "direction d_model"]
    #: What the part is multiplied by, for each row.
    kept: Float32[Tensor, "row 1"]

    @classmethod
    def of(
        cls, sae: SparseAutoencoder, edits: Sequence[Edit], values: Float64[Tensor, "row edit"]
    ) -> "_Projected | None":
        places = _chosen(edits, frozenset({"project"}))
        if not places:
            return None
        of_project = values[:, places]
        if (of_project != of_project[:, :1]).any():
            raise ValueError("projections of one layer share one value")
        device = sae.w_dec.device
        features = torch.tensor([edits[place].feature for place in places], device=device)
        directions = sae.w_dec[features].double()
        # Directions that say the same are one.
        _, sizes, basis = torch.linalg.svd(directions, full_matrices=False)
        basis = basis[sizes > sizes.max() * _SAME_DIRECTION]
        return cls(basis.float(), of_project[:, :1].to(device, torch.float32))

    def change(
        self,
        residual: Float[Tensor, "token d_model"],
        row: Int64[Tensor, " token"],
        _sae: SparseAutoencoder,
    ) -> Float32[Tensor, "token d_model"]:
        along = residual.float() @ self.basis.T
        return (_of_rows(self.kept - 1, row) * along) @ self.basis


#: Share of the largest singular value below which a direction adds nothing to a space.
_SAME_DIRECTION: Final = 1e-6
