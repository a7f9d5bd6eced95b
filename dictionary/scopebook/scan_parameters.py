"""What a scan was asked for, as it is kept with the scan."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from scopebook.db.scan_tables import Scan
from scopebook.runs import RunParameters

_RUN = RunParameters()


@dataclass(frozen=True, kw_only=True)
class Condition:
    """When a scan fails: the share of documents that fire something, held against a bound."""

    #: As it was written.
    text: str
    kind: Literal["feature", "label", "list"]
    target: str
    comparison: Literal["<", ">", "<=", ">="]
    bound: float
    #: Row ids of the features that it means; one that fires is enough.
    features: Sequence[int] = ()


@dataclass(frozen=True, kw_only=True)
class CoverageList:
    """The list whose features are looked for in the documents."""

    name: str
    features: Sequence[int]


@dataclass(frozen=True, kw_only=True)
class ScanParameters:
    """Everything that decides what a scan finds."""

    #: The run that each layer is held against, by layer.
    references: dict[int, int]
    #: The text's last document when the scan was asked for: a corpus may grow meanwhile.
    last_document: int
    #: The corpus that was named; None: the runs that the dictionary shows.
    against: str | None = None
    sink_factor: float = _RUN.sink_factor
    #: Documents are batched within blocks of so many tokens, of whole documents.
    block_tokens: int = _RUN.block_tokens
    batch_tokens: int = _RUN.batch_tokens
    #: Features are named over- or under-represented up to this false discovery rate.
    fdr: float = 0.05
    #: Documents kept of each feature in each part: those that fire it most strongly.
    best: int = 8
    coverage: CoverageList | None = None
    conditions: Sequence[Condition] = field(default_factory=tuple)

    @property
    def watched(self) -> list[int]:
        """Row ids of the features of which every hit is kept."""
        of_list = self.coverage.features if self.coverage else ()
        return sorted({*of_list, *(one for each in self.conditions for one in each.features)})

    def as_json(self) -> dict[str, Any]:
        """Return what `read_scan_parameters` reads."""
        return asdict(self)


def read_scan_parameters(scan: Scan) -> ScanParameters:
    """Return the parameters that a scan was asked for with."""
    given = dict(scan.parameters)
    coverage = given.pop("coverage")
    return ScanParameters(
        **{
            **given,
            "references": {int(layer): run for layer, run in given["references"].items()},
            "coverage": CoverageList(**coverage) if coverage else None,
            "conditions": [Condition(**each) for each in given["conditions"]],
        }
    )
