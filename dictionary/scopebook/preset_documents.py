"""A preset version as a document: `steering-preset/1.0`, complete without this dictionary.

It names model, SAEs and features by what they are, pins the labels, statistics and hashes of the
day it was saved, and holds every strength as people gave it and as an absolute number::

    {"schema": "steering-preset/1.0",
     "model": {"id", "revision", "arch", "n_layers", "d_model", "tokenizer_sha256",
               "weights_sha256"},
     "sae": [{"ref", "release", "source", "revision", "sha256", "layer", "hook", "type", "k",
              "d_sae", "trained_on"}],
     "groups": [{"name", "strength"}],
     "interventions": [{"sae", "feature", "id", "label", "label_source", "op", "group", "enabled",
                        "strength" | "target" | "factor"}],
     "positions": {"prompt", "generation", "exclude_special_tokens"},
     "combine": "joint", "error_term": "preserve", "normalise": "none",
     "tests": [...], "notice": {"caution"}}

The amount of `add` is its `strength`, of `set` and `min_set` their `target`, of `scale` and
`project` their `factor`; `ablate` has none.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.corpus_statistics import statistics_of
from scopebook.db.tables import (
    FEATURE_BITS,
    Corpus,
    Feature,
    Model,
    Release,
    Run,
    Sae,
    Tokenisation,
    Tokenizer,
)
from scopebook.errors import InvalidInputError
from scopebook.feature_names import row_ids_of
from scopebook.labels import current_labels
from scopebook.neutral_texts import known_norms, shown_tokenisations
from scopebook.preset_drafts import DraftIntervention, Group, PresetDraft, check_draft
from scopebook.preset_tests import read_test
from scopebook.release_names import is_qwen_scope_name, parse_release_name
from scopebook.steering import ENCODED, MEASURED, Intervention, Op, Positions, Resolved, resolve

SCHEMA: Final = "steering-preset/1.0"
#: Where the amount of an operation stands; one that must know whether a feature fires says so.
AMOUNT: Final[dict[Op, str]] = {
    "add": "strength",
    "set": "target",
    "min_set": "target",
    "scale": "factor",
    "project": "factor",
}

Document = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What the dictionary says of the features of a draft."""

    model: Model
    saes: Mapping[int, Sae]  # by layer
    row_ids: Mapping[str, int]
    decoder_norms: Mapping[int, float]  # by row id
    labels: Mapping[int, Any]  # by row id
    norms: Mapping[int, float]  # by layer
    #: By layer, what the statistics are of.
    collections: Mapping[int, str]


def pin(session: Session, draft: PresetDraft) -> tuple[Release, Document]:
    """Return the release of a draft's features, and the draft as a document.

    Raises InvalidInputError for a draft that is not possible, and for a share of a residual's norm
    that was not measured yet.
    """
    check_draft(draft)
    release, resolved = resolve(
        session, [one.intervention for one in draft.interventions], check_projections=False
    )
    resolve(session, draft.enabled())  # with their strengths, which projections share
    _check_read_features(session, draft, release)
    known = _look_up(session, release, draft, resolved)
    layers = sorted({one.layer for one in resolved})
    interventions = [
        _intervention(given, one, known)
        for given, one in zip(draft.interventions, resolved, strict=True)
    ]
    return release, {
        "schema": SCHEMA,
        "model": _model(session, known.model),
        "sae": [_sae(release, known.model, known.saes[layer]) for layer in layers],
        "groups": [{"name": one.name, "strength": one.strength} for one in draft.groups],
        "interventions": interventions,
        "positions": {
            "prompt": draft.positions.prompt,
            "generation": "all" if draft.positions.written else "none",
            "exclude_special_tokens": not draft.positions.special,
        },
        "combine": "joint",
        "error_term": "preserve",
        "normalise": "none",
        "tests": [test.as_json() for test in draft.tests],
        "notice": {"caution": release.caution},
    }


def _check_read_features(session: Session, draft: PresetDraft, release: Release) -> None:
    """Hold that tests read features of the release that is loaded with the preset."""
    read = {test.of: test.name for test in draft.tests if test.measure == "activation" and test.of}
    row_ids = row_ids_of(session, list(read))
    saes = session.scalars(select(Sae.id).where(Sae.release_id == release.id)).all()
    for feature, row_id in row_ids.items():
        if row_id >> FEATURE_BITS not in saes:
            raise InvalidInputError(
                f"The test {read[feature]!r} reads {feature}, which is of another release than the "
                f"preset's, {release.name}; take one of its own."
            )


def draft_of(document: Mapping[str, Any]) -> PresetDraft:
    """Return what people had put together when a document was pinned."""
    positions = document["positions"]
    return PresetDraft(
        interventions=[_draft_intervention(one) for one in document["interventions"]],
        groups=[Group(**one) for one in document["groups"]],
        positions=Positions(
            prompt=positions["prompt"],
            written=positions["generation"] == "all",
            special=not positions["exclude_special_tokens"],
        ),
        tests=[read_test(one) for one in document["tests"]],
    )


def _draft_intervention(one: Mapping[str, Any]) -> DraftIntervention:
    amount = amount_of(one)
    unit = amount.get("unit", "max_act")
    intervention = Intervention(
        feature=one["id"], op=one["op"], value=amount.get("value"), unit=unit
    )
    return DraftIntervention(intervention=intervention, group=one["group"], enabled=one["enabled"])


def keep_amounts(document: Document, before: Mapping[str, Any]) -> None:
    """Let what is given as before, of the same SAE file, be as much as before.

    Otherwise a collection made since would change strengths that nobody touched.
    """
    hashes = {one["ref"]: one["sha256"] for one in before["sae"]}
    same = {one["ref"] for one in document["sae"] if hashes.get(one["ref"]) == one["sha256"]}
    known = {_as_given(one): one for one in before["interventions"] if one["sae"] in same}
    for one in document["interventions"]:
        if one["op"] in MEASURED and _as_given(one) in known:
            one[AMOUNT[one["op"]]] = known[_as_given(one)][AMOUNT[one["op"]]]


def _as_given(one: Mapping[str, Any]) -> tuple[Any, ...]:
    amount = amount_of(one)
    return one["id"], one["op"], amount.get("value"), amount.get("unit")


def amount_of(intervention: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the amount of a document's intervention; nothing for `ablate`."""
    found: Mapping[str, Any] | None = intervention.get(AMOUNT.get(intervention["op"], ""))
    return found or {}


def sha256_of(document: Mapping[str, Any]) -> str:
    """Return the hash of a document's canonical form."""
    return hashlib.sha256(canonical(document)).hexdigest()


def canonical(document: Mapping[str, Any]) -> bytes:
    """Return the bytes that are the same for equal documents."""
    return json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def strengths_of(document: Mapping[str, Any]) -> dict[str | None, float]:
    """Return what the changes of each group are multiplied by; those of no group by 1."""
    strengths: dict[str | None, float] = {
        one["name"]: float(one["strength"]) for one in document["groups"]
    }
    return strengths | {None: 1.0}


def _look_up(
    session: Session, release: Release, draft: PresetDraft, resolved: Sequence[Resolved]
) -> _Known:
    row_ids = row_ids_of(session, [one.intervention.feature for one in draft.interventions])
    layers = sorted({one.layer for one in resolved})
    saes = {
        sae.layer: sae
        for sae in session.scalars(
            select(Sae).where(Sae.release_id == release.id, Sae.layer.in_(layers))
        )
    }
    lengths = session.execute(
        select(Feature.id, Feature.decoder_norm).where(Feature.id.in_(row_ids.values()))
    )
    shown = shown_tokenisations(session, release.id, layers)
    model = session.get_one(Model, release.model_id)
    return _Known(
        model=model,
        saes=saes,
        row_ids=row_ids,
        decoder_norms={row.id: row.decoder_norm for row in lengths},
        labels=current_labels(session, list(row_ids.values())),
        norms=known_norms(session, model_id=model.id, tokenisations=shown),
        collections={layer: collection_of(session, sae) for layer, sae in saes.items()},
    )


def collection_of(session: Session, sae: Sae) -> str:
    """Return what the statistics that the dictionary shows of an SAE were measured on."""
    if sae.current_run_id is None:
        return "nothing collected"
    run = session.get_one(Run, sae.current_run_id)
    tokenisation = session.get_one(Tokenisation, run.tokenisation_id)
    return f"{session.get_one(Corpus, tokenisation.corpus_id).name}, run {run.id}"


def _intervention(given: DraftIntervention, one: Resolved, known: _Known) -> Document:
    row_id = known.row_ids[given.intervention.feature]
    label = known.labels.get(row_id)
    found: Document = {
        "sae": f"s{one.layer}",
        "feature": one.index,
        "id": given.intervention.feature,
        "label": None if label is None else label.text,
        "label_source": None if label is None else label.source,
        "op": one.op,
        "group": given.group,
        "enabled": given.enabled,
    }
    if one.op in ENCODED:
        found["encode"] = "full"
    if one.op in AMOUNT:
        found[AMOUNT[one.op]] = _amount(given.intervention, one, known, row_id)
    return found


def _amount(given: Intervention, one: Resolved, known: _Known, row_id: int) -> Document:
    if one.op not in MEASURED:
        return {"value": one.value, "absolute": one.value}
    norm, length = known.norms.get(one.layer), known.decoder_norms[row_id]
    if one.of_norm and norm is None:
        raise InvalidInputError(
            f"The strength of {one.feature} is a share of the residual's norm, which was not "
            f"measured at layer {one.layer} yet; steer a text with it once, or give it in raw or "
            "max_act."
        )
    if one.of_norm and not length > 0:
        raise InvalidInputError(
            f"{one.feature} has a direction of length 0, so that no share of a norm can be added; "
            "leave it out."
        )
    largest = given.value and one.value / given.value if given.unit == "max_act" else None
    return {
        "value": given.value,
        "unit": given.unit,
        "absolute": one.value * norm / length if one.of_norm and norm else one.value,
        "max_act": largest,
        "d_norm": length,
        "resid_norm": norm,
        "stats_ref": known.collections[one.layer],
    }


def _model(session: Session, model: Model) -> Document:
    return {
        "id": model.name,
        "revision": model.revision,
        "arch": _arch(model),
        "n_layers": model.layers,
        "d_model": model.d_model,
        "tokenizer_sha256": session.get_one(Tokenizer, model.tokenizer_id).sha256,
        "weights_sha256": model.sha256,
    }


def _arch(model: Model) -> str | None:
    """Return the model's type where its folder can be read from here."""
    try:
        config = json.loads((Path(model.path) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    kind = config.get("text_config", config).get("model_type")
    return kind if isinstance(kind, str) else None


def _sae(release: Release, model: Model, sae: Sae) -> Document:
    return {
        "ref": f"s{sae.layer}",
        "release": release.name,
        "source": release.source if release.revision else release.name,
        "revision": release.revision,
        "sha256": sae.sha256,
        "layer": sae.layer,
        "hook": "resid_post",
        "type": sae.kind,
        "k": sae.k,
        "d_sae": sae.d_sae,
        "trained_on": trained_on(release, model),
    }


def trained_on(release: Release, model: Model) -> str | None:
    """Return the model that a release was trained on; None where its name does not say."""
    if not is_qwen_scope_name(release.name):
        return None
    base = parse_release_name(release.name).base_model
    # A folder's name stands for the model, without who published it.
    return model.name if base and base.split("/")[-1] == model.name.split("/")[-1] else base


def warnings_of(session: Session, document: Mapping[str, Any], release: Release) -> list[str]:
    """Return what has changed since a document was pinned, and what was strange then."""
    model = session.get_one(Model, release.model_id)
    saes = {
        sae.layer: sae for sae in session.scalars(select(Sae).where(Sae.release_id == release.id))
    }
    found = pinned_warnings(document)
    pinned = document["model"]
    if pinned["weights_sha256"] != model.sha256 or pinned["revision"] != model.revision:
        found.append(
            f"The weights of {pinned['id']} are others than when this was saved; test it again."
        )
    for of in document["sae"]:
        found += _warnings_of_sae(of, saes.get(of["layer"]))
    for one in document["interventions"]:
        statistics = amount_of(one).get("max_act")
        sae = saes.get(int(one["sae"][1:]))
        if statistics and sae and sae.d_sae > one["feature"]:
            largest = float(statistics_of(session, sae).max[one["feature"]])
            if abs(largest - statistics) > _SAME * statistics:
                found.append(
                    f"The largest activation of {one['id']} is {largest:.3g} in the collection "
                    f"that is shown now, and was {statistics:.3g}; the preset keeps its own."
                )
    return found


def pinned_warnings(document: Mapping[str, Any]) -> list[str]:
    """Return what was strange when a document was pinned, which never changes."""
    model = document["model"]["id"]
    return [
        f"The SAE of layer {pinned['layer']} of {pinned['release']} was trained on "
        f"{pinned['trained_on']}, and steers {model} here; test what it does."
        for pinned in document["sae"]
        if pinned["trained_on"] not in (None, model)
    ]


#: A statistic that differs by less is the same, written otherwise.
_SAME: Final = 1e-6


def _warnings_of_sae(pinned: Mapping[str, Any], sae: Sae | None) -> list[str]:
    which = f"layer {pinned['layer']} of {pinned['release']}"
    if sae is None:
        return [f"The SAE of {which} is not here any more; add it with `scopebook add`."]
    if sae.sha256 != pinned["sha256"]:
        return [
            f"The SAE of {which} is another file now (SHA-256 {sae.sha256[:12]}..., when this was "
            f"saved {pinned['sha256'][:12]}...); save a new version for it."
        ]
    return []


def check_unchanged(document: Mapping[str, Any], saes: Mapping[int, str]) -> None:
    """Refuse a document whose SAEs are others here; `saes` are the hashes of the files by layer."""
    for pinned in document["sae"]:
        which = f"layer {pinned['layer']} of {pinned['release']}"
        here = saes.get(pinned["layer"])
        if here is None:
            raise InvalidInputError(
                f"The SAE of {which} is not here, so the preset cannot be applied; add it with "
                f"`scopebook add {pinned['source']} --layers {pinned['layer']}`."
            )
        if here != pinned["sha256"]:
            raise InvalidInputError(
                f"The SAE of {which} has the SHA-256 {here[:12]}..., and the preset was made with "
                f"{pinned['sha256'][:12]}...; bring that file back, or save a new version."
            )
