"""Ask for the vectors of labels that came in, so that a search by meaning finds them."""

from collections.abc import Sequence

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from scopebook.db.label_tables import Label, LabelEmbedding
from scopebook.db.tables import Release, Sae
from scopebook.interchange.ground_in import IMPORT_JOB
from scopebook.jobs import EMBED_LABELS
from scopebook.steps import NewStep, create_job


def request_vectors(session: Session, releases: Sequence[str]) -> int | None:
    """Ask workers to embed what is in force without a vector; None where all have one."""
    saes = select(Sae.id).join(Release, Release.id == Sae.release_id)
    sae_ids = session.scalars(saes.where(Release.name.in_(releases)).order_by(Sae.id)).all()
    lacking = select(func.count()).where(
        Label.sae_id.in_(sae_ids),
        Label.current,
        ~exists().where(LabelEmbedding.label_id == Label.id),
    )
    if not session.execute(lacking).scalar_one():
        return None
    step = NewStep(
        kind=EMBED_LABELS,
        stage=0,
        title="Embed the labels",
        parameters={"sae_ids": list(sae_ids)},
    )
    title = f"Embed imported labels of {', '.join(releases)}"
    return create_job(session, IMPORT_JOB, title, [step]).id
