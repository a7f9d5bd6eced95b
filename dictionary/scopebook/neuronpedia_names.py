"""SAEs and features by the names that they have at Neuronpedia: `{model}/{layer}-{set}/{index}`.

Its models are the last part of ours, in lower case. Our own names are good as well.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.db.tables import Model, Release, Sae
from scopebook.errors import InvalidInputError, NotFoundError
from scopebook.interchange.neuronpedia_layout import model_id, parse_source_id, source_id
from scopebook.release_names import FeatureId, shown


@dataclass(frozen=True, kw_only=True)
class NamedSae:
    """An SAE with what its names are made of."""

    id: int
    model: str
    release: str
    layer: int
    set_name: str

    @property
    def source(self) -> str:
        """Its name within its model."""
        return source_id(self.layer, self.set_name)


class NeuronpediaNames:
    """The SAEs that a session sees, looked up once for all names of a request."""

    def __init__(self, session: Session) -> None:
        rows = session.execute(
            select(
                Sae.id,
                Model.name.label("model"),
                Release.name.label("release"),
                Sae.layer,
                Release.set_name,
            )
            .join(Release, Release.id == Sae.release_id)
            .join(Model, Model.id == Release.model_id)
            .order_by(Model.name, Sae.layer, Release.set_name)
        )
        self._saes = [NamedSae(**row._mapping) for row in rows]

    def of_model(self, model: str) -> list[NamedSae]:
        """Return all SAEs of a model."""
        exact = [sae for sae in self._saes if sae.model == model]
        found = exact or [sae for sae in self._saes if model_id(sae.model) == model.lower()]
        if not found:
            known = _known(model_id(sae.model) for sae in self._saes)
            raise NotFoundError(f"There is no model {shown(model)} here; {known}.")
        return found

    def of_release(self, release: str) -> list[NamedSae]:
        """Return all SAEs of a release; the last part of its name is enough, in any case."""
        wanted = release.lower()
        found = [
            sae
            for sae in self._saes
            if wanted in (sae.release.lower(), sae.release.lower().rsplit("/", 1)[-1])
        ]
        if not found:
            known = _known(sae.release for sae in self._saes)
            raise NotFoundError(f"There is no release {shown(release)} here; {known}.")
        return found

    def sae(self, model: str, source: str) -> NamedSae:
        """Return one layer's SAE.

        Raises:
            InvalidInputError: The source is malformed, or two models have that name and source.
            NotFoundError: There is none.
        """
        parsed = parse_source_id(source)
        if parsed is None:
            raise InvalidInputError(
                f"{shown(source)} is no source: expected LAYER-SET, for example 12-res-w32k-l0_50."
            )
        layer, set_name, suffix = parsed
        of_model = self.of_model(model)
        found = [sae for sae in of_model if (sae.layer, sae.set_name) == (layer, set_name)]
        if suffix is not None or not found:
            raise NotFoundError(
                f"{shown(model)} has no source {shown(source)} here; "
                f"{_known(sae.source for sae in of_model)}."
            )
        if len(found) > 1:
            raise InvalidInputError(
                f"{shown(model)} can be {' or '.join(sae.model for sae in found)}; give the whole "
                "name as modelId."
            )
        return found[0]

    def feature(self, model: str, source: str, index: int) -> FeatureId:
        """Return a feature's id as it is here; whether its SAE is that wide is not looked at."""
        sae = self.sae(model, source)
        return FeatureId(sae.model, sae.layer, sae.set_name, index)


def _known(names: Iterable[str]) -> str:
    found = list(dict.fromkeys(names))
    return f"there is {', '.join(found[:8])}" if found else "add a release with `scopebook add`"
