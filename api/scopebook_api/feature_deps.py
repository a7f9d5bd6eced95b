"""What a route of one feature may ask for: the feature, its version, the right to write to it."""

import re
from typing import Annotated

from fastapi import Depends, Header, HTTPException, Path, Response

from scopebook.annotations import AnnotationView, annotation_of
from scopebook.errors import InvalidInputError
from scopebook.feature_names import row_id_of
from scopebook.feature_writes import FeatureWrite, open_write
from scopebook.release_names import parse_feature_id
from scopebook_api.deps import Annotator, DbSession

_ETAG = re.compile(r'(?:W/)?"([0-9]{1,18})"')


def feature_key(
    session: DbSession,
    model: str,
    source: Annotated[str, Path(description="`{layer}-{set}`.")],
    index: str,
) -> int:
    """Return the row id of the feature in the path."""
    return row_id_of(session, parse_feature_id(f"{model}/{source}/{index}", any_index=True))


FeatureKey = Annotated[int, Depends(feature_key)]


async def expected_version(
    if_match: Annotated[
        str | None, Header(description="The `ETag` of the feature's annotation as it was read.")
    ] = None,
) -> int:
    """Return the version that a write is for."""
    if if_match is None:
        raise HTTPException(
            428,
            "Send the feature's version as If-Match, from the ETag of its annotation, so that "
            "nobody's change is overwritten",
        )
    found = _ETAG.fullmatch(if_match.strip())
    if found is None:
        raise InvalidInputError(
            f'If-Match is {if_match!r}; expected the ETag of the annotation, such as "12".'
        )
    return int(found[1])


def open_feature(
    session: DbSession,
    me: Annotator,
    feature_id: FeatureKey,
    version: Annotated[int, Depends(expected_version)],
) -> FeatureWrite:
    """Hold the feature in the path for one write."""
    return open_write(session, me, feature_id, version)


Writing = Annotated[FeatureWrite, Depends(open_feature)]


def answered(session: DbSession, response: Response, feature_id: int) -> AnnotationView:
    """Return what people have said of a feature, and its version as the answer's ETag."""
    view = annotation_of(session, feature_id)
    response.headers["ETag"] = f'"{view.version}"'
    return view
