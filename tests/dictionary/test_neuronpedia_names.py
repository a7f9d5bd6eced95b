"""Names at Neuronpedia mean one SAE here, or it is said why they do not."""

import pytest
from sqlalchemy.orm import Session

from makers import make_model, make_release
from scopebook.errors import InvalidInputError, NotFoundError
from scopebook.neuronpedia_names import NeuronpediaNames


@pytest.fixture
def names(session: Session) -> NeuronpediaNames:
    """Two models that have one name there, of which one set is in both and one is not."""
    for owner, sets in (("Qwen", ("res-w1k-l0_8", "wide")), ("Other", ("res-w1k-l0_8",))):
        model = make_model(session, f"{owner}/Tiny-Model")
        for set_name in sets:
            name = f"{owner}/SAE-{set_name}"
            make_release(session, name, model=model, set_name=set_name, with_features=False)
    return NeuronpediaNames(session)


def test_a_name_is_the_last_part_in_lower_case_or_the_whole(names: NeuronpediaNames) -> None:
    wide = names.sae("tiny-model", "1-wide")
    whole = names.sae("Other/Tiny-Model", "2-res-w1k-l0_8")

    assert (wide.model, wide.layer, wide.source) == ("Qwen/Tiny-Model", 1, "1-wide")
    assert str(names.feature("TINY-MODEL", "1-wide", 7)) == "Qwen/Tiny-Model/1-wide/7"
    assert (whole.release, whole.layer) == ("Other/SAE-res-w1k-l0_8", 2)
    assert len(names.of_model("tiny-model")) == 6
    assert {sae.release for sae in names.of_release("sae-WIDE")} == {"Qwen/SAE-wide"}


def test_a_name_of_two_models_is_refused_where_both_have_the_source(
    names: NeuronpediaNames,
) -> None:
    with pytest.raises(InvalidInputError, match="Other/Tiny-Model or Qwen/Tiny-Model"):
        names.sae("tiny-model", "1-res-w1k-l0_8")


@pytest.mark.parametrize("source", ["9-wide", "1-wide__old", "1-nope"])
def test_a_source_that_is_not_here_is_refused_with_those_that_are(
    names: NeuronpediaNames, source: str
) -> None:
    with pytest.raises(NotFoundError, match="there is 1-res-w1k-l0_8, 2-res-w1k-l0_8, 1-wide"):
        names.sae("tiny-model", source)


def test_an_empty_dictionary_says_what_to_do(session: Session) -> None:
    with pytest.raises(NotFoundError, match="scopebook add"):
        NeuronpediaNames(session).of_release("SAE-wide")
