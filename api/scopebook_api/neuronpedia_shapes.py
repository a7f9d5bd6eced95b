"""What is known of features, as Neuronpedia tells it."""

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from fastapi import Request
from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.db.account_tables import ReleaseVisibility
from scopebook.db.tables import FEATURE_BITS
from scopebook.discussion import CommentView
from scopebook.examples import Example
from scopebook.feature_sheets import FeatureSheet
from scopebook.feature_views import FeatureInList, Histogram
from scopebook.interchange.neuronpedia_ground import ground_rows
from scopebook.interchange.neuronpedia_intervals import Interval
from scopebook.interchange.neuronpedia_layout import TYPES, model_id, row_id, source_id
from scopebook.interchange.numbering import dumped_saes
from scopebook.label_details import ScoreView
from scopebook.labels import LabelView
from scopebook.lists import ItemView, ListView, Membership
from scopebook_api import neuronpedia_schemas as theirs
from scopebook_api.neuronpedia_route import page_url


def named(feature: FeatureInList) -> dict[str, str]:
    """Return a feature's three names."""
    return {
        "model_id": model_id(feature.model),
        "layer": source_id(feature.layer, feature.set_name),
        "index": str(feature.index),
    }


def short_neuron(feature: FeatureInList) -> theirs.ShortNeuron:
    """Return a feature among others: with its label, and its best example if that was read."""
    labels = [feature.label] if feature.label else []
    best = feature.preview
    # It is the best one: of these the interval ends where the feature's activations do.
    shown = [(best, (-1.0, best.activation, -1.0))] if best else []
    return theirs.ShortNeuron(**_head(feature, labels, {}, shown, corpus=None))


def neuron(sheet: FeatureSheet) -> theirs.Neuron:
    """Return a feature."""
    return theirs.Neuron(**_in_full(sheet))


def neuron_page(
    session: Session,
    request: Request,
    feature: FeatureSheet,
    comments: Sequence[CommentView],
    lists: Sequence[Membership],
) -> theirs.NeuronPage:
    """Return everything that is known of a feature."""
    return theirs.NeuronPage(
        **_in_full(feature),
        **_ground(session, feature),
        comments=[
            theirs.NeuronpediaComment(
                **named(feature),
                id=str(comment.id),
                text=comment.text,
                user=theirs.NeuronpediaUser(name=comment.author),
                created_at=comment.created_at,
            )
            for comment in comments
            if comment.text is not None
        ],
        lists=[
            theirs.ListOfFeature(
                **named(feature),
                list_id=str(one.list.id),
                description=one.note,
                added_at=one.added_at,
                list=list_read(request, one.list),
            )
            for one in lists
        ],
    )


def list_read(request: Request, found: ListView) -> theirs.NeuronpediaList:
    """Return a list without its features."""
    return theirs.NeuronpediaList(**_list(request, found))


def full_list(request: Request, found: ListView, items: Sequence[ItemView]) -> theirs.FullList:
    """Return a list with its features."""
    neurons = [
        theirs.NeuronInList(**_item(found.id, item), neuron=short_neuron(item.feature))
        for item in items
    ]
    return theirs.FullList(**_list(request, found), neurons=neurons)


def feature_in_list(list_id: int, item: ItemView) -> theirs.NeuronInListRow:
    """Return that a list has a feature."""
    return theirs.NeuronInListRow(**_item(list_id, item))


def _item(list_id: int, item: ItemView) -> dict[str, Any]:
    return named(item.feature) | {
        "list_id": str(list_id),
        "description": item.note,
        "added_at": item.added_at,
    }


def _list(request: Request, found: ListView) -> dict[str, Any]:
    return {
        "id": str(found.id),
        "name": found.name,
        "description": found.description,
        "user": theirs.NeuronpediaUser(name=found.owner),
        "created_at": found.created_at,
        "updated_at": found.changed_at,
        "url": page_url(request, f"lists/{found.id}"),
    }


def _head(
    feature: FeatureInList,
    labels: Sequence[LabelView],
    scores: Mapping[int, Sequence[ScoreView]],
    examples: Sequence[tuple[Example, Interval]],
    *,
    corpus: str | None,
) -> dict[str, Any]:
    names = named(feature)
    return names | {
        "source_set_name": feature.set_name,
        "max_act_approx": feature.max_activation,
        "frac_nonzero": feature.density,
        "explanations": [_explanation(names, one, scores.get(one.id, ())) for one in labels],
        "activations": [_activation(names, *example, corpus) for example in examples],
    }


def _in_full(sheet: FeatureSheet) -> dict[str, Any]:
    heights, values = _bars(sheet.histogram)
    return _head(sheet, sheet.labels, sheet.scores, sheet.examples, corpus=sheet.corpus) | {
        "hook_name": f"blocks.{sheet.layer}.hook_resid_post",
        "topk_cos_sim_indices": [index for index, _ in sheet.near],
        "topk_cos_sim_values": [cosine for _, cosine in sheet.near],
        "neg_str": [token.text for token in sheet.suppressed],
        "neg_values": [token.value for token in sheet.suppressed],
        "pos_str": [token.text for token in sheet.promoted],
        "pos_values": [token.value for token in sheet.promoted],
        "freq_hist_data_bar_heights": heights,
        "freq_hist_data_bar_values": values,
    }


def _bars(histogram: Histogram) -> tuple[list[float], list[float]]:
    """Return the bins that hold something, as heights and the middles of their edges."""
    bars = [
        (float(count), (low + high) / 2)
        for count, (low, high) in zip(histogram.counts, pairwise(histogram.edges), strict=True)
        if count
    ]
    return [height for height, _ in bars], [middle for _, middle in bars]


def _explanation(
    names: Mapping[str, str], label: LabelView, scores: Sequence[ScoreView]
) -> theirs.NeuronpediaExplanation:
    author = theirs.NeuronpediaUser(name=label.author) if label.author else None
    return theirs.NeuronpediaExplanation(
        **names,
        id=str(label.id),
        description=label.text,
        author=author,
        triggered_by_user=author if label.source == "person" else None,
        type_name=TYPES[label.source],
        explanation_model_name=label.method if label.source == "llm" else None,
        scores=[_score(score) for score in scores],
        created_at=label.created_at,
        updated_at=label.created_at,
    )


def _score(score: ScoreView) -> theirs.NeuronpediaScore:
    told = ("label_id", "scorer", "judge", "value", "created_at")
    rest = {name: value for name, value in vars(score).items() if name not in told}
    return theirs.NeuronpediaScore(
        value=score.value,
        explanation_id=str(score.label_id),
        explanation_score_type_name=score.scorer,
        explanation_score_model_name=score.judge,
        json_details=json.dumps(rest),
        created_at=score.created_at,
    )


def _activation(
    names: Mapping[str, str], example: Example, interval: Interval, corpus: str | None
) -> theirs.NeuronpediaActivation:
    low, high, share = interval
    values = [piece.activation for piece in example.tokens]
    return theirs.NeuronpediaActivation(
        **names,
        id=row_id(*names.values(), "activation", example.kind, example.context_id),
        tokens=[piece.text for piece in example.tokens],
        values=values,
        max_value=example.activation,
        max_value_token_index=example.peak,
        min_value=min(values),
        bin_min=low,
        bin_max=high,
        bin_contains=share,
        qualifying_token_index=example.peak,
        data_source=corpus,
        data_index=example.document.name,
    )


def _ground(session: Session, feature: FeatureSheet) -> dict[str, Any]:
    """Return the rows beside a feature, without what is said there only to its importer."""
    (sae,) = dumped_saes(session, [feature.feature_id >> FEATURE_BITS])
    kept = select(ReleaseVisibility.id).where(ReleaseVisibility.release_id == sae.release_id)
    said = {
        "creatorId": None,
        "visibility": "PUBLIC" if session.scalar(kept.limit(1)) is None else "PRIVATE",
    }
    rows = ground_rows(session, sae)
    return {
        "source": rows["source"] | said,
        "source_set": rows["sourceset"] | said,
        "model": rows["model"] | said,
    }
