"""The JSON of the routes in Neuronpedia's shapes that run a model."""

from typing import Annotated

from pydantic import AliasChoices, Field

from scopebook_api.neuronpedia_schemas import FeatureNamed, NoList, Nothing, Shape, ShortNeuron

_Name = Annotated[str, Field(max_length=1_000)]
_Text = Annotated[str, Field(max_length=1_000_000)]
#: Texts of one request.
MOST_TEXTS = 20


class SearchAllRequest(Shape):
    """Texts of which the features that fire are wanted."""

    model_id: _Name
    source_set: _Name = Field(description="The set of a release, such as `res-w32k-l0_50`.")
    text: _Text | Annotated[list[_Text], Field(min_length=1, max_length=MOST_TEXTS)]
    selected_layers: list[_Name] = Field(
        default_factory=list, max_length=200, description="`{layer}-{set}` of each; none: all."
    )
    sort_indexes: list[Annotated[int, Field(ge=0)]] = Field(
        default_factory=list,
        max_length=1_000,
        description="Tokens whose activations put the features in order; none: the largest.",
    )
    ignore_bos: bool = Field(default=True, description="Leave the first token out.")
    density_threshold: float = Field(
        default=-1,
        description="Leave out what fires on a larger share of tokens; -1: nothing.",
    )
    num_results: int = Field(default=50, ge=1, le=100, alias="numResults")


class FoundFeature(Shape):
    """A feature that fires in a text."""

    model_id: str
    layer: str
    index: str
    values: list[float] = Field(description="One for each of `tokens`.")
    max_value: float
    max_value_index: int
    neuron: ShortNeuron | None
    dfa_values: NoList = Field(default_factory=list)
    dfa_target_index: Nothing = None
    dfa_max_value: Nothing = None


class SearchAllAnswer(Shape):
    """What fires in a text."""

    tokens: list[str]
    result: list[FoundFeature]
    sort_indexes: list[int]


class SearchAllAnswers(Shape):
    """What fires in several texts, in their order."""

    results: list[SearchAllAnswer]


class TopKRequest(Shape):
    """A text of which each token's strongest features are wanted."""

    model_id: _Name
    source: _Name = Field(validation_alias=AliasChoices("source", "layer"))
    text: _Text
    num_results: int = Field(default=10, ge=1, le=20, alias="numResults")
    ignore_bos: bool = True
    density_threshold: float = 0.01


class TopFeature(Shape):
    """A feature on a token."""

    activation_value: float
    feature_index: int
    feature: ShortNeuron | None


class TopOfToken(Shape):
    """A token and its strongest features."""

    position: int
    token: str
    is_special: bool
    top_features: list[TopFeature]


class TopKAnswer(Shape):
    """The tokens of a text."""

    source: str
    results: list[TopOfToken]


class NewActivationRequest(Shape):
    """A text in which one feature is looked at."""

    feature: FeatureNamed
    custom_text: _Text
    ignore_bos: bool = False


class NewActivation(Shape):
    """One feature in a text."""

    model_id: str
    layer: str
    index: str
    tokens: list[str]
    values: list[float]
    max_value: float
    max_value_index: int
    max_value_token_index: int
    min_value: float
    dfa_values: NoList = Field(default_factory=list)
    dfa_target_index: Nothing = None
    dfa_max_value: Nothing = None
    creator_id: Nothing = None
