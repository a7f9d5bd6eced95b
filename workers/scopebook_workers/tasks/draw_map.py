"""Draw the map of a release: place its features by their labels' vectors, and name the regions."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func as sql
from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.artifact_holds import removing
from scopebook.artifacts import remove_artifact, write_artifact
from scopebook.db.label_tables import Label, LabelEmbedding
from scopebook.db.map_tables import FeatureMap
from scopebook.db.sessions import sessions
from scopebook.db.tables import FEATURE_BITS, Evidence, Release, Sae
from scopebook.embedders import current_embedder
from scopebook.errors import InvalidInputError
from scopebook.jobs import MAP_RELEASE
from scopebook.map_points import SOURCES, MapPoints, flag_bits
from scopebook.maps import artifact_name, forgotten_artifacts, labels_state, publish_map
from scopebook.releases import find_release, find_saes
from scopebook.settings import settings
from scopebook.steps import Claim
from scopebook_workers.claims import Finish, Progress, step_task
from scopebook_workers.labeling.layout import MIN_DISTANCE, NEIGHBOURS, SAMPLE, SEED, place
from scopebook_workers.labeling.region_names import name_regions
from scopebook_workers.labeling.regions import Regions, part

#: Rows read at once.
_ROWS: Final = 4_096
#: What `halfvec_send` puts before the numbers: their count and a reserved field.
_HEAD: Final = 4
#: Features that stand for a region where it cannot be looked at.
SHOWN: Final = 8
PARAMETERS: Final[dict[str, Any]] = {
    "method": f"umap-learn {version('umap-learn')}",
    "seed": SEED,
    "sample": SAMPLE,
    "neighbours": NEIGHBOURS,
    "min_distance": MIN_DISTANCE,
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is drawn: the SAEs with labels, and what their labels are embedded by."""

    release_id: int
    saes: Sequence[Sae]
    embedder_id: int
    labels_state: str


@dataclass(frozen=True, eq=False)
class Labelled:
    """Features with an embedded label, in order of their row ids."""

    feature_ids: NDArray[np.int64]
    texts: list[str]
    sources: NDArray[np.uint8]
    flags: NDArray[np.uint8]
    vectors: NDArray[np.float16]


@step_task(MAP_RELEASE)
def draw_map(claim: Claim, progress: Progress) -> Finish:
    """Place every feature of the layers that has a label; the labels must be embedded."""
    asked: list[int] | None = claim.parameters["layers"]
    with sessions()() as session:
        plan = _plan(session, claim.parameters["release"], asked)
        labelled = _read(session, plan)
        forgotten = forgotten_artifacts(session, plan.release_id)
    with removing(sessions(), progress.check):
        for name in forgotten:
            remove_artifact(name)
    places = place(labelled.vectors, told=lambda done, total: progress(done, total, "features"))
    regions = part(places)
    names = name_regions(labelled.texts, regions.of_point, len(regions.sizes))
    layers, points = _points(plan, labelled, places, regions)
    artifact = write_artifact(
        artifact_name(plan.release_id, claim.job_id, claim.fence), points.write
    )

    def write(session: Session) -> None:
        drawn = FeatureMap(
            release_id=plan.release_id,
            job_id=claim.job_id,
            embedder_id=plan.embedder_id,
            layers=layers,
            asked_layers=asked,
            labels_state=plan.labels_state,
            parameters=PARAMETERS,
            regions=_regions(regions, names, labelled, places),
            points=len(places),
            artifact=artifact,
        )
        publish_map(session, drawn)

    return write


def _plan(session: Session, release_name: str, layers: Sequence[int] | None) -> Plan:
    release: Release = find_release(session, release_name)
    saes = find_saes(session, release=release.name, layers=layers)
    embedder = current_embedder(session, settings())
    if embedder is None:
        raise InvalidInputError(
            "No embedder is ready that could say which labels are alike; retry the job, which "
            "prepares one."
        )
    # Before the labels are read: one that changes meanwhile makes the map stale, as it should.
    state = labels_state(session, [sae.id for sae in saes])
    return Plan(release_id=release.id, saes=saes, embedder_id=embedder.id, labels_state=state)


def _read(session: Session, plan: Plan) -> Labelled:
    """Read the labels in force with their vectors; by parts, since there may be gigabytes."""
    statement = (
        select(
            Label.feature_id,
            Label.text,
            Label.source,
            Evidence.flags,
            sql.halfvec_send(LabelEmbedding.embedding).label("vector"),
        )
        .join(LabelEmbedding, LabelEmbedding.label_id == Label.id)
        .join(Sae, Sae.id == Label.sae_id)
        .outerjoin(
            Evidence,
            (Evidence.feature_id == Label.feature_id) & (Evidence.run_id == Sae.current_run_id),
        )
        .where(
            Label.current,
            Label.sense_id.is_(None),
            Label.sae_id.in_([sae.id for sae in plan.saes]),
            LabelEmbedding.embedder_id == plan.embedder_id,
        )
        .order_by(Label.feature_id)
        .execution_options(yield_per=_ROWS)
    )
    feature_ids: list[int] = []
    texts: list[str] = []
    numbers: list[tuple[int, int]] = []
    vectors: list[NDArray[np.float16]] = []
    for rows in session.execute(statement).partitions():
        feature_ids += [row.feature_id for row in rows]
        texts += [row.text for row in rows]
        numbers += [(SOURCES.index(row.source), flag_bits(row.flags)) for row in rows]
        vectors.append(_vectors([row.vector for row in rows]))
    if not feature_ids:
        raise InvalidInputError(
            "None of the layers' labels is embedded; retry the job, which embeds them first."
        )
    sources, flags = np.asarray(numbers, dtype=np.uint8).T
    return Labelled(
        np.asarray(feature_ids, dtype=np.int64), texts, sources, flags, np.concatenate(vectors)
    )


def _vectors(sent: Sequence[bytes]) -> NDArray[np.float16]:
    """Return vectors as PostgreSQL sends them, big-endian halves: ten times as fast as its text."""
    rows = np.frombuffer(b"".join(sent), dtype=np.uint8).reshape(len(sent), -1)
    halves = np.ascontiguousarray(rows[:, _HEAD:]).view(">f2")
    return halves.astype(np.float16)


def _points(
    plan: Plan, labelled: Labelled, places: NDArray[np.float32], regions: Regions
) -> tuple[list[int], MapPoints]:
    """Return the layers that have points, and the points."""
    layer_of = {sae.id: sae.layer for sae in plan.saes}
    sae_ids, which = np.unique(labelled.feature_ids >> FEATURE_BITS, return_inverse=True)
    layers = [layer_of[int(sae_id)] for sae_id in sae_ids]
    points = MapPoints(
        x=places[:, 0],
        y=places[:, 1],
        index=(labelled.feature_ids & (2**FEATURE_BITS - 1)).astype(np.uint32),
        layer=which.astype(np.uint8),
        source=labelled.sources,
        flags=labelled.flags,
        region=regions.of_point.astype(np.uint8),
    )
    return layers, points


def _regions(
    regions: Regions, names: Sequence[str], labelled: Labelled, places: NDArray[np.float32]
) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for region, (name, centre) in enumerate(zip(names, regions.centres, strict=True)):
        members = np.flatnonzero(regions.of_point == region)
        far = np.linalg.norm(places[members] - centre, axis=1)
        # One for each wording: a hundred features may be called alike.
        shown: dict[str, int] = {}
        for row in members[np.argsort(far, kind="stable")].tolist():
            shown.setdefault(labelled.texts[row], row)
            if len(shown) == SHOWN:
                break
        found.append(
            {
                "name": name,
                "x": float(centre[0]),
                "y": float(centre[1]),
                "size": len(members),
                "features": [[int(labelled.feature_ids[row]), text] for text, row in shown.items()],
            }
        )
    return found
