"""Say what a release costs in disk and memory before anything is downloaded."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scopebook.errors import HubError, InvalidInputError
from scopebook.hub.download import (
    chosen_layers,
    is_qwen_scope,
    layers_in,
    local_folder,
    release_repo_id,
    spans,
)
from scopebook.hub.listing import Hub, cached_file, look_up
from scopebook.hub.saelens import SaeLensRelease, saelens_in_folder, saelens_on_hub
from scopebook.release_names import (
    PublishedRelease,
    ReleaseName,
    is_qwen_scope_name,
    layer_file,
    parse_release_name,
    published_release,
)
from scopebook.sizes import size_text

_FLOAT32 = 4
_BFLOAT16 = 2
# Measured: a convert holds this much beside the source, whose pages are mapped.
_CONVERT_BYTES = 100 * 2**20
#: The same where scales are folded in, which is done in float64.
_FOLD_BYTES = 300 * 2**20
# Activations, caches and pre-activations of a batch beside the weights.
_RUN_BYTES = 2**30
# Embeddings are not in every model's nominal size.
_NOMINAL_SHARE = 1.15
_PARAMETERS = re.compile(r"-([0-9]+(?:\.[0-9]+)?)([MB])(?![A-Za-z0-9])")


@dataclass(frozen=True)
class PlannedFile:
    """One layer's checkpoint; `here` if it need not be downloaded."""

    name: str
    layer: int
    size_bytes: int
    here: bool


@dataclass(frozen=True)
class DownloadPlan:
    """What adding a release takes; `exact` if the sizes are the hub's and not computed.

    `disk_bytes` is the download and the converted copy of all files; the model comes on top.
    `convert_bytes` is the peak memory of converting one layer, `run_bytes` the memory (of the GPU
    or the machine) for the model in bfloat16, these layers' SAEs in float32 and a batch.
    """

    release: str
    #: None where nothing says which model the SAEs are for.
    base_model: str | None
    revision: str | None
    files: tuple[PlannedFile, ...]
    download_bytes: int
    converted_bytes: int
    disk_bytes: int
    convert_bytes: int
    model_bytes: int
    run_bytes: int
    exact: bool

    def __str__(self) -> str:
        about = "" if self.exact else "about "
        layers = spans([file.layer for file in self.files])
        noun = "layer" if len(self.files) == 1 else "layers"
        model = f" beside {self.base_model}" if self.model_bytes else " without the model"
        return (
            f"{self.release}, {noun} {layers}: {about}{size_text(self.download_bytes)} to "
            f"download, {about}{size_text(self.disk_bytes)} on disk with the converted copy, "
            f"{size_text(self.convert_bytes)} of memory to convert, about "
            f"{size_text(self.run_bytes)} of memory to run{model}."
        )


def plan_download(
    release: str,
    layers: Sequence[int] | None = None,
    *,
    revision: str | None = None,
    ask_hub: bool = True,
    hub: Hub | None = None,
) -> DownloadPlan:
    """Return what the layers of a release (all, if none are named) will take.

    Sizes come from the hub; where it cannot be reached, or is not to be asked, they are computed
    from the shapes of the published releases. Nothing is downloaded or written, but for the
    configs of SAELens, without which nobody can say what a repository holds.
    """
    folder = local_folder(release)
    if folder is not None:
        if not is_qwen_scope(folder):
            return _saelens_plan(saelens_in_folder(folder, layers), hub or Hub())
        name = parse_release_name(release)
        files = [
            PlannedFile(file.path.name, file.layer, file.size_bytes, here=True)
            for file in layers_in(folder, layers)
        ]
        return _plan(str(folder), name.base_model, None, files, exact=True)
    hub = hub or Hub()
    if ask_hub and not is_qwen_scope_name(release):
        release_repo_id(release)
        found = saelens_on_hub(release, layers, revision=revision, hub=hub)
        return _saelens_plan(found, hub)
    return _hub_plan(release, parse_release_name(release), layers, revision, hub, ask_hub=ask_hub)


def _hub_plan(
    release: str,
    name: ReleaseName,
    layers: Sequence[int] | None,
    revision: str | None,
    hub: Hub,
    *,
    ask_hub: bool,
) -> DownloadPlan:
    known = published_release(release)
    try:
        if not ask_hub:
            raise HubError(f"{release} is not among the published releases: ask the hub for it.")
        listing = look_up(release_repo_id(release), revision=revision, hub=hub)
        chosen = chosen_layers(listing, layers)
    except HubError:
        if known is None:
            raise
        files = _computed_files(known, layers)
        return _plan(known.repo_id, name.base_model, None, files, exact=False)
    files = [
        PlannedFile(
            layer_file(layer),
            layer,
            listing.sizes[layer_file(layer)],
            here=cached_file(listing, layer_file(layer), hub).exists(),
        )
        for layer in chosen
    ]
    return _plan(listing.repo_id, name.base_model, listing.revision, files, exact=True)


def _saelens_plan(found: SaeLensRelease, hub: Hub) -> DownloadPlan:
    listing = found.listing
    files = []
    for sae in found.saes:
        if listing is None:
            size_bytes, here = (Path(found.source) / sae.weights).stat().st_size, True
        else:
            size_bytes = listing.sizes[sae.weights]
            here = cached_file(listing, sae.weights, hub).exists()
        files.append(PlannedFile(sae.weights, sae.config.layer, size_bytes, here))
    converted = sum(
        sae_bytes(sae.config.d_sae, sae.config.d_in, sae.config.kind == "threshold")
        for sae in found.saes
    )
    revision = listing.revision if listing else None
    base_model = found.name.base_model
    return _plan(found.source, base_model, revision, files, exact=True, converted=converted)


def sae_bytes(d_sae: int, d_model: int, has_thresholds: bool = False) -> int:
    """Return the size of one SAE in float32: two matrices, two biases, perhaps thresholds."""
    return _FLOAT32 * (2 * d_sae * d_model + d_sae * (1 + has_thresholds) + d_model)


def nominal_model_bytes(base_model: str) -> int:
    """Return about what a model takes in bfloat16, by the size in its name; 0 if it has none."""
    match = _PARAMETERS.search(base_model)
    if match is None:
        return 0
    parameters = float(match[1]) * (10**9 if match[2] == "B" else 10**6)
    return int(parameters * _NOMINAL_SHARE) * _BFLOAT16


def _computed_files(known: PublishedRelease, layers: Sequence[int] | None) -> list[PlannedFile]:
    chosen = sorted(set(layers)) if layers else range(known.layer_count)
    beyond = [layer for layer in chosen if layer not in range(known.layer_count)]
    if beyond:
        raise InvalidInputError(
            f"{known.repo_id} has no layer {beyond[0]}: expected 0 to {known.layer_count - 1}."
        )
    size_bytes = sae_bytes(known.width, known.d_model)
    return [PlannedFile(layer_file(layer), layer, size_bytes, here=False) for layer in chosen]


def _plan(
    release: str,
    base_model: str | None,
    revision: str | None,
    files: Sequence[PlannedFile],
    *,
    exact: bool,
    converted: int | None = None,
) -> DownloadPlan:
    """Qwen-Scope's files are in float32, so that a converted copy is as large as its source."""
    download = sum(file.size_bytes for file in files if not file.here)
    beside = _CONVERT_BYTES if converted is None else _FOLD_BYTES
    if converted is None:
        converted = sum(file.size_bytes for file in files)
    model = nominal_model_bytes(base_model) if base_model else 0
    return DownloadPlan(
        release=release,
        base_model=base_model,
        revision=revision,
        files=tuple(files),
        download_bytes=download,
        converted_bytes=converted,
        disk_bytes=download + converted,
        convert_bytes=max((file.size_bytes for file in files), default=0) + beside,
        model_bytes=model,
        run_bytes=model + converted + _RUN_BYTES,
        exact=exact,
    )
