"""Copies of a GPU's columns that are made while it goes on working."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class HostCopies:
    """Columns on their way to the host's memory.

    On a GPU the copies are queued behind what makes the columns, into memory that the GPU writes
    itself; nobody waits for them before they are read. Elsewhere they are there at once.
    """

    _columns: dict[str, Tensor]
    #: Passed by the GPU when all copies are made.
    _made: torch.cuda.Event | None

    @classmethod
    def of(cls, columns: Mapping[str, Tensor]) -> "HostCopies":
        """Queue the copies of these columns, which lie on one device."""
        if all(column.device.type != "cuda" for column in columns.values()):
            return cls({name: column.cpu() for name, column in columns.items()}, None)
        copies = {name: column.to("cpu", non_blocking=True) for name, column in columns.items()}
        made = torch.cuda.Event()  # type: ignore[no-untyped-call]
        made.record()
        return cls(copies, made)

    def arrays(self) -> dict[str, Any]:
        """Return the columns as NumPy arrays, once they are there."""
        if self._made is not None:
            self._made.synchronize()
        return {name: column.numpy() for name, column in self._columns.items()}
