"""Maps: ask for one, publish it, and tell whether the labels have changed since."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, delete, func, select
from sqlalchemy.orm import Session

from scopebook.artifacts import list_artifacts, open_artifact
from scopebook.db.label_tables import Embedder, Label
from scopebook.db.map_tables import FeatureMap
from scopebook.db.tables import FEATURE_BITS, Model, Release, Sae
from scopebook.errors import InvalidInputError, NotFoundError, UnavailableError
from scopebook.job_reports import JobReport, read_job
from scopebook.jobs import EMBED_LABELS, MAP_RELEASE
from scopebook.jobs_under_way import job_under_way, refuse_beside
from scopebook.map_points import FLAGS, SOURCES
from scopebook.releases import find_release, find_saes
from scopebook.steps import NewStep, create_job

MAP_JOB: Final = "map"
FOLDER: Final = "maps"
#: Maps kept of a release: the newest, and the one that somebody may be looking at.
KEPT: Final = 2
#: The database lock of those who ask for maps; the number is ours alone.
_ASKING: Final = 7_263_015


@dataclass(frozen=True, kw_only=True)
class RegionFeature:
    """A feature near the middle of a region, with its label when the map was drawn."""

    id: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Region:
    """A part of a map; its name stands at (x, y)."""

    name: str
    x: float
    y: float
    #: Features in it.
    size: int
    #: Some of them, with different labels, the most central first.
    features: list[RegionFeature]


@dataclass(frozen=True, kw_only=True)
class MapReport:
    """A map without its points."""

    id: int
    model: str
    set_name: str
    #: Of its points, in order.
    layers: list[int]
    embedder: str
    parameters: dict[str, Any]
    points: int
    created_at: datetime
    job_id: int | None
    #: Labels have changed since it was drawn.
    stale: bool
    sources: list[str]
    flags: list[str]
    regions: list[Region]


@dataclass(frozen=True, kw_only=True)
class MapState:
    """What there is of a release's map: the newest one, the job that draws another, or neither."""

    release: str
    #: Features with a label, which a map would show.
    labelled: int
    job: JobReport | None
    map: MapReport | None


def request_map(session: Session, release_name: str, layers: Sequence[int] | None = None) -> int:
    """Return the id of a new job that draws the release's map.

    Raises InvalidInputError where nothing is labelled, ConflictError while a map is drawn.
    """
    release = find_release(session, release_name)
    saes = find_saes(session, release=release.name, layers=layers)
    # Two who ask at the same time wait for each other until the end of the transaction.
    session.execute(select(func.pg_advisory_xact_lock(_ASKING, release.id)))
    refuse_beside(session, MAP_JOB, release.name, does="draws the map of")
    sae_ids = [sae.id for sae in saes]
    if not _count_labelled(session, sae_ids):
        raise InvalidInputError(
            f"{release.name} has no labels that a map could be drawn of; label it with "
            f"`scopebook label {release.name}` first."
        )
    asked = {"release": release.name, "layers": None if layers is None else sorted(set(layers))}
    job = create_job(
        session,
        MAP_JOB,
        f"Map of {release.name}",
        [
            NewStep(
                kind=EMBED_LABELS,
                stage=0,
                title="Embed the labels",
                parameters={"sae_ids": sae_ids},
            ),
            NewStep(kind=MAP_RELEASE, stage=1, title="Draw the map", parameters=asked),
        ],
        parameters=asked,
    )
    return job.id


def _in_force(sae_ids: Sequence[int]) -> tuple[Any, ...]:
    """Return the condition for labels of whole features, one for each feature that has one."""
    return (Label.current, Label.sense_id.is_(None), Label.sae_id.in_(sae_ids))


def _count_labelled(session: Session, sae_ids: Sequence[int]) -> int:
    return session.execute(select(func.count()).where(*_in_force(sae_ids))).scalar_one()


def labels_state(session: Session, sae_ids: Sequence[int]) -> str:
    """Return what differs as soon as another label of one of the features is in force."""
    mixed = func.bit_xor(func.hashint8extended(Label.id, 0, type_=BigInteger))
    row = session.execute(select(func.count(), mixed).where(*_in_force(sae_ids))).one()
    return f"{row[0]} {row[1]}"


def read_map_state(session: Session, release_name: str) -> MapState:
    """Return the newest map of a release with what is being drawn."""
    release = find_release(session, release_name)
    drawn = session.scalar(
        select(FeatureMap)
        .where(FeatureMap.release_id == release.id)
        .order_by(FeatureMap.id.desc())
        .limit(1)
    )
    busy = job_under_way(session, MAP_JOB, release.name)
    sae_ids = [sae.id for sae in find_saes(session, release=release.name)]
    return MapState(
        release=release.name,
        labelled=_count_labelled(session, sae_ids),
        job=None if busy is None else read_job(session, busy),
        map=None if drawn is None else _report(session, release, drawn),
    )


def _report(session: Session, release: Release, drawn: FeatureMap) -> MapReport:
    saes = list(session.scalars(select(Sae).where(Sae.release_id == release.id)))
    asked = drawn.asked_layers
    now = labels_state(session, [sae.id for sae in saes if asked is None or sae.layer in asked])
    model = session.get_one(Model, release.model_id).name
    heads = {sae.id: f"{model}/{sae.layer}-{release.set_name}" for sae in saes}
    return MapReport(
        id=drawn.id,
        model=model,
        set_name=release.set_name,
        layers=drawn.layers,
        embedder=session.get_one(Embedder, drawn.embedder_id).name,
        parameters=drawn.parameters,
        points=drawn.points,
        created_at=drawn.created_at,
        job_id=drawn.job_id,
        stale=now != drawn.labels_state,
        sources=list(SOURCES),
        flags=list(FLAGS),
        regions=[_region(region, heads) for region in drawn.regions],
    )


def _region(stored: dict[str, Any], heads: dict[int, str]) -> Region:
    features = [
        RegionFeature(
            id=f"{heads[feature_id >> FEATURE_BITS]}/{feature_id & (2**FEATURE_BITS - 1)}",
            text=text,
        )
        for feature_id, text in stored["features"]
    ]
    return Region(**(stored | {"features": features}))


def read_points(session: Session, map_id: int) -> bytes:
    """Return the bytes of a map's points (`scopebook.map_points`)."""
    drawn = session.get(FeatureMap, map_id) if 0 <= map_id < 2**31 else None
    if drawn is None:
        raise NotFoundError(
            f"There is no map {map_id}; a release keeps its newest ones, so load the page anew."
        )
    try:
        with open_artifact(drawn.artifact) as file:
            return file.read()
    except UnavailableError as error:
        raise UnavailableError(
            f"The points of map {map_id} cannot be read; draw the map again."
        ) from error


def publish_map(session: Session, drawn: FeatureMap) -> None:
    """Add a map, and forget those of its release that are too old to be looked at."""
    session.add(drawn)
    session.flush()
    newest = (
        select(FeatureMap.id)
        .where(FeatureMap.release_id == drawn.release_id)
        .order_by(FeatureMap.id.desc())
        .limit(KEPT)
    )
    session.execute(
        delete(FeatureMap).where(
            FeatureMap.release_id == drawn.release_id, FeatureMap.id.not_in(newest)
        )
    )


def artifact_name(release_id: int, job_id: int, fence: int) -> str:
    """Return the name of the artifact that one attempt of a job writes."""
    return f"{FOLDER}/release{release_id}-job{job_id}-{fence}.bin"


def forgotten_artifacts(session: Session, release_id: int) -> list[str]:
    """Return the points of the release's maps that are forgotten, or were never published."""
    kept = set(
        session.scalars(select(FeatureMap.artifact).where(FeatureMap.release_id == release_id))
    )
    ours = f"{FOLDER}/release{release_id}-"
    return [name for name in list_artifacts(FOLDER) if name.startswith(ours) and name not in kept]
