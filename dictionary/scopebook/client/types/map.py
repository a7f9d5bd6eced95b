"""What the API answers of maps; written by `make openapi`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

if TYPE_CHECKING:
    from scopebook.client.types.feature import OutcomeRead
    from scopebook.client.types.job import JobRead


class MapRead(TypedDict):
    """Features of a release on a plane; the points themselves are at `/maps/{id}/points`."""

    id: int
    model: str
    set_name: str
    layers: list[int]
    embedder: str
    parameters: dict[str, Any]
    points: int
    created_at: str
    job_id: int | None
    stale: bool
    changed_at: str | None
    sources: list[str]
    flags: list[str]
    regions: list[RegionRead]


class MapRequest(TypedDict):
    """Which features are to be placed."""

    release: str
    layers: NotRequired[list[int] | None]


class MapStateRead(TypedDict):
    """What there is of a release's map."""

    release: str
    labelled: int
    job: JobRead | None
    map: MapRead | None


class RegionFeatureRead(TypedDict):
    """A feature near the middle of a region, with its label when the map was drawn."""

    id: str
    text: str
    unlabelled: OutcomeRead | None


class RegionRead(TypedDict):
    """A part of a map; its name stands at (x, y)."""

    name: str
    x: float
    y: float
    size: int
    features: list[RegionFeatureRead]
