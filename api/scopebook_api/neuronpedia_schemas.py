"""The JSON of the routes in Neuronpedia's shapes. Its names are kept to the letter.

What Scopebook does not have is null or empty: ids of users, vectors, correlations, plots.
"""

import re
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

from scopebook.lists import MOST_AT_ONCE

#: Its older names, which are not camel case.
_OLD: Final = re.compile(
    r"(neuron_alignment|correlated|neg|pos|frac|freq_hist|logits_hist|decoder_weights|umap|num|cosine)_"
)
#: Features of one request; each takes what a feature's page takes.
MOST_FEATURES: Final = 100

Nothing = Annotated[None, Field(description="Scopebook has no such thing.")]
NoList = Annotated[list[Any], Field(max_length=0, description="Scopebook has no such thing.")]
Index = Annotated[
    int,
    Field(ge=0, lt=2**63),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}]}),
]
_Text = Annotated[str, Field(max_length=10_000)]
_Name = Annotated[str, Field(max_length=1_000)]


def _their_name(name: str) -> str:
    return name if _OLD.match(name) else to_camel(name)


class Shape(BaseModel):
    """An object of theirs; what it does not know of in a request is left aside, as there."""

    model_config = ConfigDict(alias_generator=_their_name, populate_by_name=True)


class FeatureNamed(Shape):
    """A feature by its three names."""

    model_id: _Name = Field(description="The last part of our model's name in lower case, or all.")
    source: _Name = Field(
        validation_alias=AliasChoices("layer", "source"),
        serialization_alias="layer",
        description="`{layer}-{set}`, as `layer` or as `source`.",
    )
    index: Index


class FeatureWanted(FeatureNamed):
    """A feature that is asked for among others."""

    max_acts_to_return: int | None = Field(default=None, ge=0, description="Null: all.")


class ExplanationSearch(Shape):
    """What is searched for, and after how many results."""

    query: _Text
    offset: int = Field(default=0, ge=0, lt=2**31)


class ExplanationSearchInLayers(ExplanationSearch):
    """A search in some layers of a model."""

    model_id: _Name
    layers: list[_Name] = Field(
        min_length=1,
        max_length=1_000,
        validation_alias=AliasChoices("layers", "sources"),
        description="`{layer}-{set}` of each.",
    )


class ExplanationSearchInModel(ExplanationSearch):
    """A search in a model."""

    model_id: _Name


class ExplanationSearchInRelease(ExplanationSearch):
    """A search in a release."""

    release_name: _Name


class NewExplanation(FeatureNamed):
    """A wording that a person proposes."""

    explanation: _Text
    explanation_model: _Name | None = Field(default=None, description="What has worded it.")


class NewExplanationRequest(Shape):
    """A proposal."""

    feature: NewExplanation


class NewList(Shape):
    """A list to be made."""

    name: _Name
    description: _Text | None = ""
    test_text: _Text | None = Field(default=None, description="Not kept.")


class ListedFeature(FeatureNamed):
    """A feature that a list is to have."""

    description: _Text | None = ""


class NewListWithFeatures(NewList):
    """A list to be made with its features."""

    features: list[ListedFeature] = Field(default_factory=list, max_length=MOST_AT_ONCE)


class ListNamed(Shape):
    """A list."""

    list_id: Index


class FeaturesForList(ListNamed):
    """Features for a list."""

    features_to_add: list[ListedFeature] = Field(min_length=1, max_length=100)


class FeatureInListNamed(ListNamed, FeatureNamed):
    """A feature of a list."""


class FeatureInListEdit(FeatureInListNamed):
    """Another description for a feature of a list."""

    description: _Text


class ListEdit(ListNamed, NewList):
    """Another name and description for a list."""


class NeuronpediaUser(Shape):
    """An account."""

    name: str


class NeuronpediaScore(Shape):
    """A score of a label."""

    id: Nothing = None
    value: float
    explanation_id: str
    explanation_score_type_name: str
    explanation_score_model_name: str
    json_details: str = Field(description="Interval, null and counts, as JSON in a text.")
    initiated_by_user_id: Nothing = None
    created_at: datetime


class NeuronpediaExplanation(Shape):
    """A label in force."""

    id: str
    model_id: str
    layer: str
    index: str
    description: str
    author_id: Nothing = None
    author: NeuronpediaUser | None
    triggered_by_user_id: Nothing = None
    triggered_by_user: NeuronpediaUser | None
    notes: Nothing = None
    score_v1: Nothing = Field(default=None, alias="scoreV1")
    score_v2: Nothing = Field(default=None, alias="scoreV2")
    type_name: str
    explanation_model_name: str | None
    scores: list[NeuronpediaScore]
    umap_x: Nothing = None
    umap_y: Nothing = None
    umap_cluster: Nothing = None
    umap_log_feature_sparsity: Nothing = None
    created_at: datetime
    updated_at: datetime


class NeuronpediaActivation(Shape):
    """An example."""

    id: str
    model_id: str
    layer: str
    index: str
    tokens: list[str]
    values: list[float]
    max_value: float
    max_value_token_index: int
    min_value: float
    bin_min: float
    bin_max: float
    bin_contains: float
    qualifying_token_index: int
    data_source: str | None
    data_index: str
    dfa_values: NoList = []
    dfa_target_index: Nothing = None
    dfa_max_value: Nothing = None
    loss_values: NoList = []
    logit_contributions: Nothing = None
    creator_id: Nothing = None
    created_at: Nothing = None


class ShortNeuron(Shape):
    """A feature among others."""

    model_id: str
    layer: str
    index: str
    source_set_name: str
    max_act_approx: float | None
    frac_nonzero: float | None
    has_vector: bool = False
    explanations: list[NeuronpediaExplanation]
    activations: list[NeuronpediaActivation]


class Neuron(ShortNeuron):
    """A feature."""

    creator_id: Nothing = None
    created_at: Nothing = None
    vector: NoList = []
    vector_label: Nothing = None
    vector_default_steer_strength: Nothing = None
    hook_name: str
    topk_cos_sim_indices: list[int]
    topk_cos_sim_values: list[float]
    neuron_alignment_indices: NoList = []
    neuron_alignment_values: NoList = []
    neuron_alignment_l1: NoList = []
    correlated_neurons_indices: NoList = []
    correlated_neurons_pearson: NoList = []
    correlated_neurons_l1: NoList = []
    correlated_features_indices: NoList = []
    correlated_features_pearson: NoList = []
    correlated_features_l1: NoList = []
    neg_str: list[str]
    neg_values: list[float]
    pos_str: list[str]
    pos_values: list[float]
    freq_hist_data_bar_heights: list[float]
    freq_hist_data_bar_values: list[float]
    logits_hist_data_bar_heights: NoList = []
    logits_hist_data_bar_values: NoList = []
    decoder_weights_dist: NoList = []
    umap_cluster: Nothing = None
    umap_log_feature_sparsity: Nothing = None
    umap_x: Nothing = None
    umap_y: Nothing = None


class NeuronpediaComment(Shape):
    """A contribution to a feature's discussion."""

    id: str
    model_id: str
    layer: str
    index: str
    text: str
    user_id: Nothing = None
    user: NeuronpediaUser
    created_at: datetime


class NeuronpediaList(Shape):
    """A list without its features."""

    id: str
    name: str
    description: str
    default_test_text: Nothing = None
    user_id: Nothing = None
    user: NeuronpediaUser
    created_at: datetime
    updated_at: datetime
    url: str


class NeuronInListRow(Shape):
    """That a list has a feature."""

    model_id: str
    layer: str
    index: str
    list_id: str
    description: str
    added_at: datetime
    user_id: Nothing = None


class ListOfFeature(NeuronInListRow):
    """A list that has the feature."""

    list: NeuronpediaList


class NeuronInList(NeuronInListRow):
    """A feature that the list has."""

    neuron: ShortNeuron


class FullList(NeuronpediaList):
    """A list with its features."""

    neurons: list[NeuronInList]
    activations: NoList = []
    comments: NoList = []


class NeuronPage(Neuron):
    """Everything that is known of a feature."""

    comments: list[NeuronpediaComment]
    lists: list[ListOfFeature]
    source: dict[str, Any] = Field(description="The layer's SAE, as in dumps.")
    source_set: dict[str, Any]
    model: dict[str, Any]


class ExplanationFound(Shape):
    """A label that answers a search."""

    model_id: str
    layer: str
    index: str
    description: str
    explanation_model_name: str | None
    type_name: str
    cosine_similarity: float | None = Field(description="Null: found by its words.")
    neuron: ShortNeuron


class ExplanationsFound(Shape):
    """What answers a search, best first."""

    request: dict[str, Any] = Field(description="What was asked.")
    results: list[ExplanationFound]
    results_count: int
    has_more: bool
    next_offset: int | None


class NeuronpediaDone(Shape):
    """What was done, in a sentence."""

    message: str


class NeuronpediaDoneAt(NeuronpediaDone):
    """What was done, and where it is seen."""

    url: str


class NeuronpediaRefusal(NeuronpediaDone):
    """Why nothing was done."""


def messages(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the refusals of a route for its documentation."""
    return {status: {"model": NeuronpediaRefusal} for status in statuses}
