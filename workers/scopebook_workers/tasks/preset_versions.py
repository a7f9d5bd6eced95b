"""The preset version that a job is for, with its model and its SAEs loaded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.accounts import local_actor
from scopebook.db.preset_tables import Preset, PresetExport, PresetReport, PresetVersion
from scopebook.db.sessions import sessions
from scopebook.db.tables import Model, Release, Sae
from scopebook.neutral_texts import neutral_texts, shown_tokenisations
from scopebook.preset_documents import check_unchanged
from scopebook.preset_exports import document_of, read_layers
from scopebook.settings import settings
from scopebook_workers.exporters.compiled import CompiledPreset
from scopebook_workers.exporters.compiling import compile_preset
from scopebook_workers.inference.residents import Resident, Residents
from scopebook_workers.qwen.model import choose_device
from scopebook_workers.sae.weights import SparseAutoencoder, converted_sae
from scopebook_workers.tasks.loaded import forget_loaded


@dataclass(frozen=True)
class _Rows:
    """What the database says of a version."""

    version_id: int
    document: Mapping[str, Any]
    model_path: str
    #: By layer, of the preset and of the features that its tests read.
    artifacts: Mapping[int, str]
    neutral: Sequence[NDArray[np.int32]]


@dataclass(frozen=True)
class LoadedVersion:
    """A version ready to be run."""

    version_id: int
    document: Mapping[str, Any]
    preset: CompiledPreset
    resident: Resident
    saes: Mapping[int, SparseAutoencoder]
    #: Token ids of texts that it is not about; none where nothing was collected.
    neutral: Sequence[NDArray[np.int32]]


def load_version(job_id: int) -> LoadedVersion:
    """Return the version that a job exports or measures.

    Raises InvalidInputError where its SAEs or its model are others than when it was saved.
    """
    with sessions()() as session:
        rows = _read(session, job_id)
    # By the files themselves: they are what is run.
    hashes = {layer: converted_sae(Path(at)).source_sha256 for layer, at in rows.artifacts.items()}
    check_unchanged(rows.document, hashes)
    # Collections keep theirs loaded, and a device may have room for one model alone.
    forget_loaded()
    residents = Residents(choose_device(settings().device))
    resident, saes = residents.model(rows.model_path), residents.saes(rows.artifacts)
    preset = compile_preset(rows.document, saes, Path(rows.model_path), resident.special)
    return LoadedVersion(rows.version_id, rows.document, preset, resident, saes, rows.neutral)


def _read(session: Session, job_id: int) -> _Rows:
    version = session.scalars(
        select(PresetVersion).where(
            PresetVersion.id.in_(
                select(PresetExport.version_id)
                .where(PresetExport.job_id == job_id)
                .union(select(PresetReport.version_id).where(PresetReport.job_id == job_id))
            )
        )
    ).one()
    preset = session.get_one(Preset, version.preset_id)
    release = session.get_one(Release, preset.release_id)
    document = document_of(session, local_actor(session), preset.id, version.number)
    layers = {one["layer"] for one in document["sae"]} | read_layers(document)
    saes = session.execute(
        select(Sae.layer, Sae.artifact).where(
            Sae.release_id == release.id, Sae.layer.in_(layers), Sae.artifact != ""
        )
    )
    shown = shown_tokenisations(session, release.id, sorted(layers))
    return _Rows(
        version_id=version.id,
        document=document,
        model_path=session.get_one(Model, release.model_id).path,
        artifacts={row.layer: row.artifact for row in saes},
        neutral=neutral_texts(session, next(iter(shown.values()), None)),
    )
