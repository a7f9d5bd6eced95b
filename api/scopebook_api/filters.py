"""The query parameters that confine a search or a list of features."""

from typing import Annotated

from fastapi import Depends, Query

from scopebook.search_filters import Filters, Source, State

_Share = Annotated[float | None, Query(ge=0, le=1)]


async def feature_filters(
    release: Annotated[str | None, Query(description="Its name; the last part is enough.")] = None,
    layer: Annotated[list[int] | None, Query(description="Any of these layers.")] = None,
    density_min: _Share = None,
    density_max: _Share = None,
    score_min: _Share = None,
    score_max: _Share = None,
    scorer: Annotated[
        list[str] | None, Query(description="Scored by any of these, e.g. `detection`.")
    ] = None,
    state: Annotated[
        list[State] | None, Query(description="How far the label is; any of these.")
    ] = None,
    source: Annotated[
        list[Source] | None, Query(description="Where the label comes from; any of these.")
    ] = None,
    author: Annotated[list[str] | None, Query(description="Who has worded it.")] = None,
    script: Annotated[
        list[str] | None,
        Query(description="The label's writing as ISO 15924 code: `Latn`, `Hani`, `Cyrl`, ..."),
    ] = None,
    flag: Annotated[list[str] | None, Query(description="All of these flags.")] = None,
    without_flag: Annotated[list[str] | None, Query(description="None of these flags.")] = None,
    tag: Annotated[
        list[str] | None, Query(description="Any of these words of the team's vocabulary.")
    ] = None,
    reviewed: Annotated[bool | None, Query(description="Whether a person has judged it.")] = None,
) -> Filters:
    """Return the filters that a request names; all have to hold."""
    return Filters(
        release=release,
        layers=None if layer is None else tuple(layer),
        density_min=density_min,
        density_max=density_max,
        score_min=score_min,
        score_max=score_max,
        scorers=tuple(scorer or ()),
        states=tuple(state or ()),
        sources=tuple(source or ()),
        authors=tuple(author or ()),
        scripts=tuple(script or ()),
        flags=tuple(flag or ()),
        without_flags=tuple(without_flag or ()),
        tags=tuple(tag or ()),
        reviewed=reviewed,
    )


FeatureFilters = Annotated[Filters, Depends(feature_filters)]
