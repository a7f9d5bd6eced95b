"""What Neuronpedia says beside its features: rows of their release, model, set and source."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.db.tables import Corpus, Model, Release, Run, Sae, Tokenisation
from scopebook.interchange.neuronpedia_layout import BOT, model_id, source_id
from scopebook.interchange.numbering import DumpedSae
from scopebook.release_names import layer_file

Row = dict[str, Any]


def ground_rows(session: Session, sae: DumpedSae) -> dict[str, Row]:
    """Return the one row each of `release`, `model`, `sourceset` and `source`."""
    release = session.get_one(Release, sae.release_id)
    model = session.get_one(Model, release.model_id)
    by = {"creatorId": BOT, "visibility": "PUBLIC"}
    publisher = release.name.split("/", 1)[0] if "/" in release.name else "unknown"
    about = " ".join(filter(None, [f"{release.name}.", release.caution]))
    urls = [f"https://huggingface.co/{release.name}"] if release.revision else []
    return {
        "release": by
        | {
            "name": release.name.rsplit("/", 1)[-1].lower(),
            "description": about,
            "descriptionShort": release.name,
            "urls": urls,
            "creatorName": publisher,
            "creatorNameShort": publisher,
            "createdAt": release.created_at.isoformat(),
        },
        "model": by | _model(model),
        "sourceset": by
        | {
            "modelId": model_id(model.name),
            "name": release.set_name,
            "releaseName": release.name.rsplit("/", 1)[-1].lower(),
            "description": f"{release.set_name}: {release.width:,} features a layer",
            "type": "Residual stream",
            "creatorName": publisher,
            "urls": urls,
            "defaultRange": 1,
            "defaultShowBreaks": True,
            "showDfa": False,
            "showCorrelated": False,
            "showHeadAttribution": False,
            "showUmap": False,
        },
        "source": by | _source(session, sae, release),
    }


def _model(model: Model) -> Row:
    return {
        "id": model_id(model.name),
        "displayName": model.name.rsplit("/", 1)[-1],
        "displayNameShort": model.name.rsplit("/", 1)[-1],
        "instruct": False,
        "layers": model.layers,
        "neuronsPerLayer": 0,
        "dimension": model.d_model,
        "owner": model.name.split("/", 1)[0] if "/" in model.name else "unknown",
    }


def _source(session: Session, sae: DumpedSae, release: Release) -> Row:
    run_id = session.get_one(Sae, sae.id).current_run_id
    run = session.execute(
        select(Run.contexts_seen, Tokenisation.context_tokens, Corpus.name)
        .join(Tokenisation, Tokenisation.id == Run.tokenisation_id)
        .join(Corpus, Corpus.id == Tokenisation.corpus_id)
        .where(Run.id == run_id)
    ).one_or_none()
    return {
        "id": source_id(sae.layer, sae.set_name),
        "modelId": model_id(sae.model),
        "setName": sae.set_name,
        "dataset": run.name if run else None,
        "num_prompts": run.contexts_seen if run else None,
        "num_tokens_in_prompt": run.context_tokens if run else None,
        "hfRepoId": release.name,
        "hfFolderId": layer_file(sae.layer),
        "hasDashboards": True,
        "inferenceEnabled": False,
    }
