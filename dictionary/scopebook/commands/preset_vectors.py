"""`scopebook preset import FILE.gguf`: a control vector of another tool as a preset."""

from pathlib import Path

from rich.markup import escape
from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.accounts import local_actor
from scopebook.console import dictionary, err, watch_job
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.db.tables import Model, Release, Sae
from scopebook.errors import InvalidInputError
from scopebook.preset_drafts import DraftIntervention, Group, PresetDraft
from scopebook.preset_views import PresetView
from scopebook.presets import create_preset
from scopebook.registration import request_release
from scopebook.release_names import FeatureId
from scopebook.releases import find_release
from scopebook.steering import Intervention


def take_vectors(file: Path, *, model: str | None, name: str | None) -> PresetView:
    """Register a control vector as a release of one feature a layer; return a preset that adds it.

    Raises InvalidInputError where no model is named, since the file tells only its kind.
    """
    if model is None:
        raise InvalidInputError(
            f"{file} does not say which model it is for; name it with --model, as it is registered "
            "here, or as a hub id or a folder."
        )
    if not file.is_file():
        raise InvalidInputError(f"There is no file {file}; name a control vector, a .gguf file.")
    with dictionary(work=True) as factory:
        release = _register(factory, file.resolve(), model)
        with unit_of_work(factory) as session:
            draft = _draft(session, release, file.stem)
            return create_preset(
                session,
                local_actor(session),
                name or file.stem,
                draft,
                note=f"The vectors of {file.name}",
            )


def _register(factory: Sessions, file: Path, model: str) -> str:
    """Register the file as a release and return its name."""
    with unit_of_work(factory) as session:
        job_id = request_release(session, str(file), model=_model(session, model)).id
    err.print(f"Registering {escape(file.name)} as a release of one feature a layer ...")
    watch_job(factory, job_id)
    return file.stem


def _model(session: Session, given: str) -> str:
    """Return what brings a model here: of one that is registered from a folder, that folder."""
    row = session.scalar(select(Model).where(Model.name == given))
    return given if row is None or row.revision is not None or not row.path else row.path


def _draft(session: Session, name: str, group: str) -> PresetDraft:
    """Return a draft that adds every layer's vector once."""
    release: Release = find_release(session, name)
    model = session.get_one(Model, release.model_id)
    layers = session.scalars(
        select(Sae.layer).where(Sae.release_id == release.id).order_by(Sae.layer)
    )
    features = [FeatureId(model.name, layer, release.set_name, 0) for layer in layers]
    return PresetDraft(
        interventions=[
            DraftIntervention(
                intervention=Intervention(feature=str(one), op="add", value=1.0, unit="raw"),
                group=group,
            )
            for one in features
        ],
        groups=[Group(name=group)],
    )
