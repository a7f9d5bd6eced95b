"""The tables of lists: features that somebody put together, and searches that somebody kept."""

from typing import Any

from sqlalchemy import BigInteger, Double, ForeignKey, Index
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from scopebook.db.base import Base, BigId, Created


class FeatureList(Base):
    """A named list of features in an order; with a search, that search to be asked again."""

    __tablename__ = "feature_list"

    id: Mapped[BigId]
    owner_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    name: Mapped[str]
    description: Mapped[str] = mapped_column(server_default=sql("''"))
    #: Whether all who may come in see it; its owner and editors change it in any case.
    shared: Mapped[bool] = mapped_column(server_default=sql("false"))
    #: Parameters of `GET /api/search`; null: no search was kept.
    search: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    #: Counts changes of all but its items.
    version: Mapped[int] = mapped_column(server_default=sql("1"))
    created_at: Mapped[Created]
    changed_at: Mapped[Created]

    __table_args__ = (
        Index("ix_feature_list_owner_id_id", "owner_id", "id"),
        Index("ix_feature_list_shared", "id", postgresql_where=sql("shared")),
    )


class FeatureListItem(Base):
    """A feature in a list."""

    __tablename__ = "feature_list_item"

    list_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("feature_list.id", ondelete="CASCADE"), primary_key=True
    )
    feature_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("feature.id", ondelete="CASCADE"), primary_key=True
    )
    #: Items are in order of it; one that is moved gets a number between its new neighbours'.
    place: Mapped[float] = mapped_column(Double)
    note: Mapped[str] = mapped_column(server_default=sql("''"))
    added_by: Mapped[int] = mapped_column(ForeignKey("account.id"))
    added_at: Mapped[Created]

    __table_args__ = (
        Index("ix_feature_list_item_list_id_place", "list_id", "place", "feature_id"),
        Index("ix_feature_list_item_feature_id", "feature_id"),
    )
