"""Read the dictionary: search, features, what there is."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypedDict, Unpack, cast

from scopebook.client.transport import Transport, named
from scopebook.client.types.feature import (
    AlikePage,
    CorpusRead,
    FeatureRead,
    FeaturesRead,
    FeatureSummary,
    ReleaseRead,
)
from scopebook.client.types.job import Status
from scopebook.client.types.label import (
    CoverageRead,
    DriftRead,
    OriginRead,
    ScoresRead,
    ServersRead,
)
from scopebook.client.types.map import MapStateRead
from scopebook.client.types.search import FacetsRead, SearchHit

Order = Literal["relevance", "density", "max", "score"]
Sort = Literal["index", "density", "max", "score"]
LabelState = Literal[
    "accepted", "labelled", "unlabelled", "suspect", "abstained", "refused", "failed"
]
LabelSource = Literal["keywords", "llm", "person", "import"]


class Filters(TypedDict, total=False):
    """What confines a search or a list of features; all have to hold.

    Of several values in one any, but of `flag` all and of `without_flag` none. Densities are shares
    of tokens and scores are of labels, both 0 to 1.
    """

    release: str
    layer: Sequence[int]
    density_min: float
    density_max: float
    score_min: float
    score_max: float
    scorer: Sequence[str]
    state: Sequence[LabelState]
    source: Sequence[LabelSource]
    author: Sequence[str]
    tag: Sequence[str]
    script: Sequence[str]
    flag: Sequence[str]
    without_flag: Sequence[str]
    reviewed: bool


class Reading(Transport):
    """What everybody who may come in may ask."""

    def search(
        self,
        query: str,
        *,
        sort: Order = "relevance",
        preview: bool = False,
        limit: int | None = None,
        **filters: Unpack[Filters],
    ) -> Iterator[SearchHit]:
        """Find features by concept, words or id, best first; `limit`: at most so many."""
        params = {"q": query, "sort": sort, "preview": preview, **filters}
        return self._items("/search", params, limit)

    def facets(
        self, query: str, *, facet: Sequence[str] | None = None, **filters: Unpack[Filters]
    ) -> FacetsRead:
        """Count what each value of a filter would leave of what answers a search best."""
        params = {"q": query, "facet": facet, **filters}
        return cast(FacetsRead, self._get("/search/facets", params))

    def features(
        self,
        *,
        sort: Sort = "index",
        preview: bool = False,
        limit: int | None = None,
        **filters: Unpack[Filters],
    ) -> Iterator[FeatureSummary]:
        """List features; by a number, the largest first, without those that have none."""
        return self._items("/features", {"sort": sort, "preview": preview, **filters}, limit)

    def features_by_id(self, features: Sequence[str], *, preview: bool = False) -> FeaturesRead:
        """Return up to 500 features by their ids, and name those that are missing."""
        body = {"features": list(features), "preview": preview}
        return cast(FeaturesRead, self._send("POST", "/features/batch", body))

    def labels(
        self, *, release: str | None = None, layer: Sequence[int] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Stream all labels in force as they are at one moment; the API's docs name the fields."""
        return self._lines("/labels.ndjson", {"release": release, "layer": layer})

    def feature(self, feature: str) -> FeatureRead:
        """Return everything known of one feature, `{model}/{layer}-{set}/{index}`."""
        return cast(FeatureRead, self._get(f"/features/{named(feature)}"))

    def alike(self, feature: str, *, limit: int = 10) -> AlikePage:
        """Return features that are labelled nearly the same, the nearest first; 50 at most."""
        return cast(AlikePage, self._get(f"/features/{named(feature)}/alike", {"limit": limit}))

    def origins(self, feature: str, *, limit: int | None = None) -> Iterator[OriginRead]:
        """List what language models were asked about a feature and answered, newest first."""
        return self._items(f"/features/{named(feature)}/origins", {}, limit, largest=50)

    def status(self) -> Status:
        """Say what the instance holds and does."""
        return cast(Status, self._get("/status"))

    def releases(self) -> list[ReleaseRead]:
        """List all releases with their layers."""
        return cast(list[ReleaseRead], self._get("/releases")["items"])

    def corpora(self) -> list[CorpusRead]:
        """List all corpora."""
        return cast(list[CorpusRead], self._get("/corpora")["items"])

    def coverage(self, release: str | None = None) -> list[CoverageRead]:
        """List the layers with how many of their features have a label, and of whom."""
        return cast(
            list[CoverageRead], self._get("/labels/coverage", {"release": release})["items"]
        )

    def servers(self) -> ServersRead:
        """Return the servers of language models that one may name, and whether others may be."""
        return cast(ServersRead, self._get("/labels/servers"))

    def scores(
        self,
        *,
        release: str | None = None,
        layer: int | None = None,
        scorer: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> ScoresRead:
        """Tell how the labels in force are scored, and give one page of the worst of a scorer."""
        params = {"release": release, "layer": layer, "scorer": scorer}
        page = {"limit": limit, "cursor": cursor}
        return cast(ScoresRead, self._get("/labels/scores", params | page))

    def drift(
        self, first: int, second: int, *, limit: int = 50, cursor: str | None = None
    ) -> DriftRead:
        """Compare two labelings by their ids, which `coverage` lists; one page of features."""
        params = {"first": first, "second": second, "limit": limit, "cursor": cursor}
        return cast(DriftRead, self._get("/labels/drift", params))

    def map(self, release: str) -> MapStateRead:
        """Return the newest map of a release with its regions, and the job that draws another."""
        return cast(MapStateRead, self._get("/maps/latest", {"release": release}))

    def map_points(self, map_id: int) -> bytes:
        """Return a map's points as the API's docs lay them out, sixteen bytes each."""
        return self._read(f"/maps/{map_id}/points").content
