"""Fetch releases and models from the Hugging Face hub, a mirror, the cache or a folder."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scopebook.errors import HubError, InvalidInputError, NotFoundError
from scopebook.hub.cards import Card, read_card
from scopebook.hub.files import Progress, fetch
from scopebook.hub.listing import Hub, Listing, cached_file, look_up
from scopebook.hub.refusals import ELSEWHERE
from scopebook.hub.saelens import SaeLensRelease, saelens_in_folder, saelens_on_hub
from scopebook.release_names import (
    ReleaseName,
    is_qwen_scope_name,
    layer_file,
    parse_release_name,
    published_release,
    shown,
)
from scopebook.saelens import WEIGHTS_FILE, SaeLensConfig

_LAYER_FILE = re.compile(r"layer([0-9]{1,4})\.sae\.pt")
_ABOUT = re.compile(r"(?i)(README\.md|LICEN[CS]E[^/]*|NOTICE[^/]*)")
# Weights only as safetensors: a `.bin` is a pickle, and other formats are the same weights again.
_MODEL_FILE = re.compile(
    r"(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab"
    r"|chat_template|preprocessor_config)\.json|merges\.txt|tokenizer\.model|chat_template\.jinja"
    r"|model[^/]*\.safetensors(\.index\.json)?"
)
_WEIGHTS = re.compile(r"model[^/]*\.safetensors")


@dataclass(frozen=True)
class LayerFile:
    """One layer's checkpoint on this machine; the hash is the one that the hub states.

    `config` is what a SAELens file says of itself; None means Qwen-Scope's format.
    """

    layer: int
    path: Path
    size_bytes: int
    sha256: str | None
    config: SaeLensConfig | None = None


@dataclass(frozen=True)
class DownloadedRelease:
    """A release's files on this machine; a folder has no revision."""

    name: ReleaseName
    source: str
    revision: str | None
    layers: list[LayerFile]
    card: Card


@dataclass(frozen=True)
class DownloadedModel:
    """A model's folder on this machine: config, tokenizer and safetensors."""

    source: str
    revision: str | None
    path: Path
    card: Card


def download_release(
    release: str,
    layers: Sequence[int] | None = None,
    *,
    revision: str | None = None,
    progress: Progress | None = None,
    hub: Hub | None = None,
) -> DownloadedRelease:
    """Bring layers of a release (all, if none are named) to this machine, and its card.

    Either format is found: Qwen-Scope's by the name, or the files in a folder; else SAELens's. A
    folder is used where it lies. Files that are here already are not fetched again, a connection
    that drops is taken up where it broke, and what does not fit on the disk is refused before the
    first byte.
    """
    folder = local_folder(release)
    if folder is not None:
        if not is_qwen_scope(folder):
            return _saelens_folder(folder, saelens_in_folder(folder, layers))
        name = parse_release_name(release)
        return DownloadedRelease(
            name, str(folder), None, layers_in(folder, layers), read_card(folder)
        )
    hub = hub or Hub()
    if not is_qwen_scope_name(release):
        return _download_saelens(release, layers, revision, hub, progress)
    name = parse_release_name(release)
    listing = look_up(release_repo_id(release), revision=revision, hub=hub)
    chosen = chosen_layers(listing, layers)
    about = [file for file in listing.sizes if _ABOUT.fullmatch(file)]
    paths = fetch(listing, [*about, *map(layer_file, chosen)], hub, progress)
    files = [
        LayerFile(
            layer,
            paths[layer_file(layer)],
            paths[layer_file(layer)].stat().st_size,
            listing.sha256.get(layer_file(layer)),
        )
        for layer in chosen
    ]
    card = read_card(files[0].path.parent)
    return DownloadedRelease(name, listing.repo_id, listing.revision, files, card)


def is_qwen_scope(folder: Path) -> bool:
    """Return whether a folder is read as a Qwen-Scope release: by its files, else by its name."""
    if any(_LAYER_FILE.fullmatch(path.name) for path in folder.iterdir()):
        return True
    holds_saelens = next(folder.glob(f"**/{WEIGHTS_FILE}"), None) is not None
    return is_qwen_scope_name(folder.name) and not holds_saelens


def _saelens_folder(folder: Path, found: SaeLensRelease) -> DownloadedRelease:
    files = [
        LayerFile(sae.config.layer, path, path.stat().st_size, None, sae.config)
        for sae in found.saes
        for path in [folder / sae.weights]
    ]
    return DownloadedRelease(found.name, found.source, None, files, read_card(folder))


def _download_saelens(
    release: str,
    layers: Sequence[int] | None,
    revision: str | None,
    hub: Hub,
    progress: Progress | None,
) -> DownloadedRelease:
    release_repo_id(release)
    found = saelens_on_hub(release, layers, revision=revision, hub=hub)
    listing = found.listing
    assert listing is not None  # what was found on the hub has one
    about = [file for file in listing.sizes if _ABOUT.fullmatch(file)]
    paths = fetch(listing, [*about, *(sae.weights for sae in found.saes)], hub, progress)
    files = [
        LayerFile(
            sae.config.layer,
            paths[sae.weights],
            listing.sizes[sae.weights],
            listing.sha256.get(sae.weights),
            sae.config,
        )
        for sae in found.saes
    ]
    card = read_card(cached_file(listing, "", hub))
    return DownloadedRelease(found.name, found.source, listing.revision, files, card)


def download_model(
    model: str,
    *,
    revision: str | None = None,
    progress: Progress | None = None,
    hub: Hub | None = None,
) -> DownloadedModel:
    """Bring a model's config, tokenizer and safetensors here; a folder is used where it lies."""
    folder = local_folder(model)
    if folder is not None:
        _check_is_model(str(folder), [path.name for path in folder.iterdir()])
        _check_shards(folder)
        return DownloadedModel(str(folder), None, folder, read_card(folder))
    hub = hub or Hub()
    listing = look_up(model.strip(), revision=revision, hub=hub)
    if not listing.reachable:
        _check_is_cached(listing, ["config.json", "tokenizer.json"])
    _check_is_model(listing.repo_id, listing.sizes)
    wanted = [f for f in listing.sizes if _MODEL_FILE.fullmatch(f) or _ABOUT.fullmatch(f)]
    paths = fetch(listing, wanted, hub, progress)
    snapshot = paths["config.json"].parent
    _check_shards(snapshot)
    return DownloadedModel(listing.repo_id, listing.revision, snapshot, read_card(snapshot))


def local_folder(source: str) -> Path | None:
    """Return the folder that is meant, or None if a repository on the hub is."""
    try:
        path = Path(source.strip()).expanduser()
        if path.is_dir():
            return path.resolve()
    except (OSError, RuntimeError):  # too long a name, no such user: no folder here
        return None
    if source.strip().startswith(("/", "./", "../", "~")):
        raise NotFoundError(
            f"the folder {shown(source)} does not exist: give a folder that does, or a repository "
            "id such as Qwen/SAE-Res-Qwen3.5-2B-Base-W32K-L0_50."
        )
    return None


def release_repo_id(release: str) -> str:
    """Return the repository of a release; a published one may be named without its owner."""
    release = release.strip()
    if "/" in release:
        return release
    known = published_release(release)
    if known is None:
        raise InvalidInputError(
            f"{shown(release)} is neither a folder here nor a published release: "
            "write the owner before it (owner/name) or the path of a folder."
        )
    return known.repo_id


def chosen_layers(listing: Listing, layers: Sequence[int] | None) -> list[int]:
    """Return the layers to take, all of a repository if none are named."""
    if not listing.reachable:
        known = published_release(listing.repo_id)
        wanted = layers or (range(known.layer_count) if known else [])
        _check_is_cached(listing, [layer_file(layer) for layer in wanted])
    return _only_held(layers, listing.sizes, listing.repo_id)


def layers_in(folder: Path, layers: Sequence[int] | None) -> list[LayerFile]:
    """Return the layers to take of a release's folder, all of it if none are named."""
    held = [path.name for path in folder.iterdir()]
    return [
        LayerFile(layer, path, path.stat().st_size, sha256=None)
        for layer in _only_held(layers, held, str(folder))
        for path in [folder / layer_file(layer)]
    ]


def _only_held(layers: Sequence[int] | None, files: Iterable[str], where: str) -> list[int]:
    held = sorted(int(match[1]) for file in files if (match := _LAYER_FILE.fullmatch(file)))
    if not held:
        raise NotFoundError(
            f"{where} holds no SAE: expected files such as layer12.sae.pt, as in a Qwen-Scope "
            "release."
        )
    if not layers:
        return held
    missing = sorted(set(layers) - set(held))
    if missing:
        raise NotFoundError(
            f"{where} has no {layer_file(missing[0])}: choose among its layers {spans(held)}."
        )
    return sorted(set(layers))


def spans(layers: Sequence[int]) -> str:
    """Write sorted layers as a person does: 0-3, 7, 9-11."""
    found: list[list[int]] = []
    for layer in layers:
        if found and layer == found[-1][-1] + 1:
            found[-1][1:] = [layer]
        else:
            found.append([layer])
    return ", ".join("-".join(map(str, span)) for span in found)


def _check_is_cached(listing: Listing, files: Iterable[str]) -> None:
    absent = [file for file in files if file not in listing.sizes]
    if absent:
        raise HubError(
            f"{absent[0]} of {listing.repo_id} is not in the local cache and the hub cannot be "
            f"asked: unset HF_HUB_OFFLINE, {ELSEWHERE}."
        )


def _check_is_model(source: str, files: Iterable[str]) -> None:
    held = set(files)
    for wanted, found in {
        "config.json": "config.json" in held,
        "model.safetensors": any(_WEIGHTS.fullmatch(file) for file in held),
        "tokenizer": bool(held & {"tokenizer.json", "vocab.json", "tokenizer.model"}),
    }.items():
        if not found:
            raise InvalidInputError(
                f"{source} has no {wanted}: give a model with config.json, a tokenizer and "
                "weights as safetensors."
            )


def _check_shards(folder: Path) -> None:
    """Refuse a model whose index names weights that are not there."""
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return
    try:
        named = set(json.loads(index.read_bytes())["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInputError(
            f"{index} is not an index of safetensors: fetch it again."
        ) from error
    missing = sorted(file for file in named if not (folder / str(file)).exists())
    if missing:
        raise InvalidInputError(
            f"{folder} lacks {missing[0]} that its index names: fetch the whole model."
        )
