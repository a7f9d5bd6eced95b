"""Features: lists of them, and one with everything known."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from scopebook.alike import labelled_alike
from scopebook.feature_names import look_up
from scopebook.feature_page import read_feature
from scopebook.feature_views import FeatureInFull
from scopebook.features import Sort, features_by_id, find_feature, list_features
from scopebook.label_details import origins_of
from scopebook.release_names import parse_feature_id
from scopebook_api.deps import Cursor, DbSession, Limit
from scopebook_api.filters import FeatureFilters
from scopebook_api.label_schemas import OriginRead
from scopebook_api.schemas import (
    AlikePage,
    FeatureRead,
    FeaturesRead,
    FeaturesRequest,
    FeatureSummary,
    Page,
    problems,
)

router = APIRouter(prefix="/features", tags=["features"], responses=problems(404))


@router.get("", response_model=Page[FeatureSummary])
def browse(
    session: DbSession,
    filters: FeatureFilters,
    sort: Sort = "index",
    limit: Limit = 50,
    cursor: Cursor = None,
    preview: bool = False,
) -> dict[str, object]:
    """List features; by a number, the largest first, without those that have none."""
    features, following = list_features(
        session, filters, sort=sort, limit=limit, cursor=cursor, preview=preview
    )
    return {"items": features, "next": following}


@router.post("/batch", response_model=FeaturesRead)
def batch(session: DbSession, wanted: FeaturesRequest) -> dict[str, object]:
    """Return features by their ids, up to 500 at once, and name those that are missing."""
    found, missing = look_up(session, wanted.features)
    return {
        "items": features_by_id(session, list(found.values()), preview=wanted.preview),
        "missing": [{"id": name, "reason": reason} for name, reason in missing.items()],
    }


# Those below stand before the feature itself, whose path would take "origins" for an index.
@router.get("/{model:path}/{source}/{index}/origins", response_model=Page[OriginRead])
def origins(
    session: DbSession,
    model: str,
    source: Annotated[str, Path(description="`{layer}-{set}`.")],
    index: str,
    limit: Annotated[int, Query(ge=1, le=50, description="Items on a page.")] = 10,
    cursor: Cursor = None,
) -> dict[str, object]:
    """List what language models were asked about a feature and what they answered, newest first."""
    wanted = parse_feature_id(f"{model}/{source}/{index}", any_index=True)
    found, following = origins_of(
        session, find_feature(session, wanted), limit=limit, cursor=cursor
    )
    return {"items": found, "next": following}


@router.get("/{model:path}/{source}/{index}/alike", response_model=AlikePage)
def alike(
    session: DbSession,
    model: str,
    source: Annotated[str, Path(description="`{layer}-{set}`.")],
    index: str,
    limit: Annotated[int, Query(ge=1, le=50, description="Features to return.")] = 10,
) -> dict[str, object]:
    """List features of the release that are labelled nearly the same, the nearest first."""
    wanted = parse_feature_id(f"{model}/{source}/{index}", any_index=True)
    found, total = labelled_alike(session, wanted, limit=limit)
    return {"items": found, "total": total}


@router.get("/{model:path}/{source}/{index}", response_model=FeatureRead)
def read(
    session: DbSession,
    model: str,
    source: Annotated[str, Path(description="`{layer}-{set}`.")],
    index: str,
) -> FeatureInFull:
    """Return everything known of one feature."""
    return read_feature(session, parse_feature_id(f"{model}/{source}/{index}", any_index=True))
