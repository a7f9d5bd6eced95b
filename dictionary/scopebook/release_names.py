"""Parse the names that carry meaning: releases, layer lists and feature ids."""

import re
from dataclasses import dataclass
from pathlib import PurePath

from scopebook.errors import InvalidInputError

RELEASE_FORM = "SAE-Res-<model>-W<width>K-L0_<k>, for example SAE-Res-Qwen3.5-2B-Base-W32K-L0_50"
FEATURE_FORM = "<model>/<layer>-<set>/<index>, for example Qwen/Qwen3-8B/12-res-w32k-l0_50/6159"
LAYERS_FORM = "numbers and ranges, for example 11,12,20-23, or all"

_RELEASE = re.compile(
    r"SAE-Res-(?P<model>[A-Za-z0-9][A-Za-z0-9._-]*)"
    r"-W(?P<width>[0-9]{1,6})(?P<thousands>K?)-L0_(?P<k>[0-9]{1,6})"
)
_FEATURE = re.compile(
    r"(?P<model>\S(?:.*\S)?)/(?P<layer>[0-9]{1,4})-(?P<set>[A-Za-z0-9][A-Za-z0-9._-]*)"
    r"/(?P<index>[0-9]{1,18})"
)
#: An index of so many digits is beyond every SAE.
_TOO_MANY_DIGITS = 10
_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
_NOT_IN_A_SET = re.compile(r"[^a-z0-9._-]+")
_LONGEST_SET = 64
_LAYER_SPAN = re.compile(r"([0-9]{1,4})(?:-([0-9]{1,4}))?")
# No published model has more than 64; a list for a release of unknown depth must still end.
_MOST_LAYERS = 1000


@dataclass(frozen=True)
class ReleaseName:
    """What is known about every SAE of a release: from its name, or from its SAELens files.

    `base_model` is None where nothing says which model to run; `k` where none is common to all.
    """

    name: str
    base_model: str | None
    width: int
    k: int | None
    set_name: str


@dataclass(frozen=True)
class PublishedRelease:
    """One of the fourteen Qwen-Scope releases: facts that its repository does not state."""

    name: str
    base_model: str
    layer_count: int
    d_model: int
    width: int
    k: int

    @property
    def repo_id(self) -> str:
        """The release's id on the hub."""
        return f"Qwen/{self.name}"


@dataclass(frozen=True)
class FeatureId:
    """One feature of one SAE; `str()` gives the form that people and links use."""

    model: str
    layer: int
    set_name: str
    index: int

    @property
    def sae(self) -> str:
        """The SAE within its model: `12-res-w32k-l0_50`."""
        return f"{self.layer}-{self.set_name}"

    def __str__(self) -> str:
        return f"{self.model}/{self.sae}/{self.index}"


def parse_release_name(release: str) -> ReleaseName:
    """Read a repo id, a folder name or a path whose last part is such a name."""
    name = PurePath(release.strip()).name
    match = _RELEASE.fullmatch(name)
    if match is None:
        raise InvalidInputError(
            f"{shown(release)} is not the name of a Qwen-Scope release: expected {RELEASE_FORM}."
        )
    width = int(match["width"]) * (1024 if match["thousands"] else 1)
    k = int(match["k"])
    if not 0 < k <= width:
        raise InvalidInputError(
            f"{shown(release)} names {k} active features of {width}: expected 1 to {width}."
        )
    published = published_release(name)
    return ReleaseName(
        name=name,
        base_model=published.base_model if published else match["model"],
        width=width,
        k=k,
        set_name=f"res-w{match['width']}{match['thousands']}-l0_{match['k']}".lower(),
    )


def is_qwen_scope_name(release: str) -> bool:
    """Return whether a repo id, folder name or path ends in the name of a Qwen-Scope release."""
    return _RELEASE.fullmatch(PurePath(release.strip()).name) is not None


def release_of_saelens(
    name: str, *, model_name: str | None, width: int, k: int | None
) -> ReleaseName:
    """Return the name of a release that says nothing by itself: a folder or repository.

    The set, which becomes a part of every feature's id, is the name in lower case with a hyphen
    for whatever an id cannot hold.
    """
    set_name = _NOT_IN_A_SET.sub("-", name.lower())[:_LONGEST_SET].strip("-._")
    if not set_name:
        raise InvalidInputError(
            f"the folder name {shown(name)} has no letter or digit that a feature's id can hold: "
            "rename it with some of a-z and 0-9."
        )
    return ReleaseName(name, base_model_named(model_name), width, k, set_name)


def base_model_named(model_name: str | None) -> str | None:
    """Return the hub id that the model name of an SAE's config stands for, if that is sure."""
    if model_name is None or _HUB_ID.fullmatch(model_name):
        return model_name
    for release in published_releases():
        if release.base_model.rsplit("/", 1)[-1].lower() == model_name.lower():
            return release.base_model
    return None


def model_to_run(name: ReleaseName, given: str | None) -> str:
    """Return the model for a release: the one that a person gave, or the one that it names."""
    model = given or name.base_model
    if model is None:
        raise InvalidInputError(no_model_named(name.name))
    return model


def no_model_named(release: str) -> str:
    """Say that nothing tells which model a release is for."""
    return (
        f"{release} does not say which model its SAEs were trained on: give it with --model, as a "
        "hub id or a folder."
    )


def published_release(release: str) -> PublishedRelease | None:
    """Return the known facts of a published release, by repo id or folder name."""
    return _PUBLISHED.get(PurePath(release.strip()).name)


def published_releases() -> list[PublishedRelease]:
    """Return all fourteen, smallest model first."""
    return list(_PUBLISHED.values())


def layer_file(layer: int) -> str:
    """Return the file name of one layer's SAE in a release."""
    return f"layer{layer}.sae.pt"


def parse_layers(layers: str, layer_count: int | None = None) -> list[int]:
    """Read `11,12,20-23` or `all` into sorted layer numbers, each once.

    Without `layer_count` (a release that is not known yet) `all` is refused, since nobody can
    say what it means.
    """
    if layers.strip().lower() == "all" and layer_count is not None:
        return list(range(layer_count))
    limit = _MOST_LAYERS if layer_count is None else layer_count
    chosen: set[int] = set()
    for part in layers.split(","):
        chosen.update(_layer_span(part.strip(), layers, limit))
    return sorted(chosen)


def chosen_layers(layers: str | None) -> list[int] | None:
    """Return the layers a person asked for; None, where nothing or `all` was said, means all."""
    return None if layers is None or layers.strip() == "all" else parse_layers(layers)


def parse_feature_id(feature: str, *, any_index: bool = False) -> FeatureId:
    """Read `{model}/{layer}-{set}/{index}`; the model may itself hold slashes.

    With `any_index` an index that no SAE is wide enough for is read too: it has the form of one.
    """
    match = _FEATURE.fullmatch(feature.strip())
    if match is None or not (any_index or len(match["index"]) < _TOO_MANY_DIGITS):
        raise InvalidInputError(f"{shown(feature)} is not a feature id: expected {FEATURE_FORM}.")
    return FeatureId(match["model"], int(match["layer"]), match["set"], int(match["index"]))


def shown(text: str, longest: int = 80) -> str:
    """Quote what a person typed, cut so that an error stays one sentence."""
    return repr(text if len(text) <= longest else f"{text[:longest]}...")


def _layer_span(part: str, layers: str, limit: int) -> range:
    match = _LAYER_SPAN.fullmatch(part)
    if match is None:
        raise InvalidInputError(f"{shown(layers)} is not a list of layers: expected {LAYERS_FORM}.")
    first = int(match[1])
    last = int(match[2] or match[1])
    if last < first:
        raise InvalidInputError(
            f"the range {shown(part)} in the layers {shown(layers)} runs backwards: "
            f"write {last}-{first}."
        )
    if last >= limit:
        raise InvalidInputError(
            f"layer {last} in {shown(layers)} does not exist: expected 0 to {limit - 1}."
        )
    return range(first, last + 1)


def _published_pair(
    model: str, layer_count: int, d_model: int, *sets: tuple[int, int]
) -> list[PublishedRelease]:
    """Return one model's releases; `sets` are (width in thousands, k)."""
    return [
        PublishedRelease(
            f"SAE-Res-{model}-W{width}K-L0_{k}",
            f"Qwen/{model}",
            layer_count,
            d_model,
            width * 1024,
            k,
        )
        for width, k in sets
    ]


# Shapes as published with the releases; the 27B is the only one trained on an instruct model.
_PUBLISHED = {
    release.name: release
    for release in [
        *_published_pair("Qwen3-1.7B-Base", 28, 2048, (32, 50), (32, 100)),
        *_published_pair("Qwen3.5-2B-Base", 24, 2048, (32, 50), (32, 100)),
        *_published_pair("Qwen3-8B-Base", 36, 4096, (64, 50), (64, 100)),
        *_published_pair("Qwen3.5-9B-Base", 32, 4096, (64, 50), (64, 100)),
        *_published_pair("Qwen3.5-27B", 64, 5120, (80, 50), (80, 100)),
        *_published_pair("Qwen3-30B-A3B-Base", 48, 2048, (32, 50), (128, 100)),
        *_published_pair("Qwen3.5-35B-A3B-Base", 40, 2048, (32, 50), (128, 100)),
    ]
}
