"""The table of maps: features of a release on a plane, near where their labels mean alike."""

from typing import Any

from sqlalchemy import ForeignKey, SmallInteger
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from scopebook.db.base import Base, Created


class FeatureMap(Base):
    """One drawing of a release's features; its points lie in an artifact."""

    __tablename__ = "map"

    id: Mapped[int] = mapped_column(primary_key=True)
    release_id: Mapped[int] = mapped_column(
        ForeignKey("release.id", ondelete="CASCADE"), index=True
    )
    job_id: Mapped[int | None] = mapped_column(ForeignKey("job.id", ondelete="SET NULL"))
    embedder_id: Mapped[int] = mapped_column(ForeignKey("embedder.id"))
    #: The layers of its points, in order.
    layers: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    #: The layers that were asked for; null: all that the release has.
    asked_layers: Mapped[list[int] | None] = mapped_column(ARRAY(SmallInteger))
    #: Which labels were in force when it was drawn (`scopebook.maps.labels_state`).
    labels_state: Mapped[str]
    #: Everything else that decides where points lie.
    parameters: Mapped[dict[str, Any]]
    #: `{"name", "x", "y", "size", "features": [[row id, label], ...]}`, the largest first.
    regions: Mapped[list[Any]] = mapped_column(type_=Base.type_annotation_map[dict[str, Any]])
    points: Mapped[int]
    #: See `scopebook.map_points`.
    artifact: Mapped[str]
    created_at: Mapped[Created]
