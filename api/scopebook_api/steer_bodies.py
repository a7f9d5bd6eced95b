"""What `POST /api/steer` takes: a body of ours, or one of Neuronpedia's."""

from typing import Annotated, Any

from pydantic import WrapValidator

from scopebook_api.neuronpedia_route import is_theirs
from scopebook_api.neuronpedia_steer_schemas import NeuronpediaSteerRequest
from scopebook_api.steer_schemas import SteerAskRequest


def _read(given: Any, _: Any) -> SteerAskRequest | NeuronpediaSteerRequest:
    # By what it is meant as: a union by itself would name the faults of both.
    asked = NeuronpediaSteerRequest if is_theirs(given) else SteerAskRequest
    return asked.model_validate(given)


EitherSteerRequest = Annotated[SteerAskRequest | NeuronpediaSteerRequest, WrapValidator(_read)]
