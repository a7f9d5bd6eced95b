"""What the API says of maps, and how one is asked for."""

from datetime import datetime
from typing import Any

from pydantic import Field

from scopebook_api.job_schemas import JobRead
from scopebook_api.schemas import OutcomeRead, Schema


class RegionFeatureRead(Schema):
    """A feature near the middle of a region, with its label when the map was drawn."""

    id: str
    text: str
    unlabelled: OutcomeRead | None = Field(
        description="Why the language model that was asked last has given no label."
    )


class RegionRead(Schema):
    """A part of a map; its name stands at (x, y)."""

    name: str = Field(description="Terms that set its labels apart from all others.")
    x: float
    y: float
    size: int = Field(description="Features in it.")
    features: list[RegionFeatureRead] = Field(
        description="Some of them, with different labels, the most central first."
    )


class MapRead(Schema):
    """Features of a release on a plane; the points themselves are at `/maps/{id}/points`."""

    id: int
    model: str
    set_name: str
    layers: list[int] = Field(description="Of the points; a point names one by its position.")
    embedder: str = Field(description="What says which labels are alike.")
    parameters: dict[str, Any]
    points: int
    created_at: datetime
    job_id: int | None
    stale: bool = Field(description="Labels have changed since it was drawn.")
    changed_at: datetime | None = Field(
        description="When the first did; null: they have not, or it is not known."
    )
    sources: list[str] = Field(description="A point names its label's source by its position.")
    flags: list[str] = Field(description="A point names its flags by bits, the first is 1.")
    regions: list[RegionRead] = Field(description="The largest first.")


class MapStateRead(Schema):
    """What there is of a release's map."""

    release: str
    labelled: int = Field(description="Features with a label.")
    job: JobRead | None = Field(
        description="The job that draws a map now, or has failed to since the newest."
    )
    map: MapRead | None = Field(description="The newest; null: none was drawn.")


class MapRequest(Schema):
    """Which features are to be placed."""

    release: str
    layers: list[int] | None = Field(
        default=None, description="Null: all, also those that come later."
    )
