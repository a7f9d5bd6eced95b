"""Maps: ask for one, publish it, and tell whether the labels have changed since."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, delete, func, select
from sqlalchemy.orm import Session

from scopebook.artifacts import list_artifacts, open_artifact
from scopebook.db.jobs import Job
from scopebook.db.label_tables import Embedder, Label, LabelChoice
from scopebook.db.map_tables import FeatureMap
from scopebook.db.tables import FEATURE_BITS, Model, Release, Sae
from scopebook.errors import InvalidInputError, NotFoundError, UnavailableError
from scopebook.job_reports import JobReport, read_job
from scopebook.jobs import EMBED_LABELS, MAP_RELEASE
from scopebook.jobs_under_way import UNDER_WAY, refuse_beside
from scopebook.label_reports import Outcome, outcomes_of
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
    #: Why the language model that was asked last has given no label.
    unlabelled: Outcome | None


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
    #: Labels have changed since it was drawn, and when the first did; None: not known.
    stale: bool
    changed_at: datetime | None
    sources: list[str]
    flags: list[str]
    regions: list[Region]


@dataclass(frozen=True, kw_only=True)
class MapState:
    """What there is of a release's map: the newest one, the job that draws another, or neither.

    A job that has failed stays until another draws the map.
    """

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
    job_id = _job_to_tell(session, release.name, drawn)
    sae_ids = [sae.id for sae in find_saes(session, release=release.name)]
    return MapState(
        release=release.name,
        labelled=_count_labelled(session, sae_ids),
        job=None if job_id is None else read_job(session, job_id),
        map=None if drawn is None else _report(session, release, drawn),
    )


def _job_to_tell(session: Session, release: str, drawn: FeatureMap | None) -> int | None:
    """Return the newest job of a release's map where it is not over, or has failed since."""
    newest = session.execute(
        select(Job.id, Job.state)
        .where(Job.kind == MAP_JOB, Job.parameters["release"].astext == release)
        .order_by(Job.id.desc())
        .limit(1)
    ).one_or_none()
    if newest is None or newest.state not in (*UNDER_WAY, "failed"):
        return None
    return None if drawn is not None and drawn.job_id == newest.id else newest.id


def _report(session: Session, release: Release, drawn: FeatureMap) -> MapReport:
    saes = list(session.scalars(select(Sae).where(Sae.release_id == release.id)))
    asked = drawn.asked_layers
    minded = [sae.id for sae in saes if asked is None or sae.layer in asked]
    stale = labels_state(session, minded) != drawn.labels_state
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
        stale=stale,
        changed_at=_first_change(session, minded, drawn.created_at) if stale else None,
        sources=list(SOURCES),
        flags=list(FLAGS),
        regions=_regions(session, drawn.regions, heads),
    )


def _first_change(session: Session, sae_ids: Sequence[int], drawn_at: datetime) -> datetime | None:
    """Return when after a time the first label came in force; None: labels only went."""
    return session.execute(
        select(func.min(LabelChoice.created_at))
        .join(Label, Label.id == LabelChoice.label_id)
        .where(
            Label.sae_id.in_(sae_ids),
            Label.sense_id.is_(None),
            LabelChoice.created_at > drawn_at,
        )
    ).scalar_one()


def _regions(
    session: Session, stored: Sequence[dict[str, Any]], heads: dict[int, str]
) -> list[Region]:
    ids = [feature_id for region in stored for feature_id, _ in region["features"]]
    unlabelled = outcomes_of(session, ids)

    def features(region: dict[str, Any]) -> list[RegionFeature]:
        return [
            RegionFeature(
                id=f"{heads[feature_id >> FEATURE_BITS]}/{feature_id & (2**FEATURE_BITS - 1)}",
                text=text,
                unlabelled=unlabelled.get(feature_id),
            )
            for feature_id, text in region["features"]
        ]

    return [Region(**(region | {"features": features(region)})) for region in stored]


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
