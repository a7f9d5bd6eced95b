"""Find the SAEs of SAELens in a folder or a repository: a cfg.json beside its weights."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from scopebook.errors import CheckpointError, HubError, InvalidInputError, NotFoundError
from scopebook.hub.files import fetch
from scopebook.hub.listing import Hub, Listing, look_up
from scopebook.hub.refusals import ELSEWHERE
from scopebook.release_names import RELEASE_FORM, ReleaseName, release_of_saelens, shown
from scopebook.saelens import (
    CONFIG_FILE,
    LONGEST_CONFIG_BYTES,
    WEIGHTS_FILE,
    SaeLensConfig,
    read_config,
)

#: How many folders below the source an SAE may lie.
_DEEPEST = 3
_MOST_SAES = 2000


@dataclass(frozen=True)
class ChosenSae:
    """One layer's SAE: the folder that holds it, within its source, and what its config says."""

    folder: str
    config: SaeLensConfig

    @property
    def weights(self) -> str:
        """The weights' path within the source."""
        return (PurePosixPath(self.folder) / WEIGHTS_FILE).as_posix()


@dataclass(frozen=True)
class SaeLensRelease:
    """The SAEs chosen from one folder (`listing` is None) or one repository."""

    name: ReleaseName
    source: str
    listing: Listing | None
    saes: list[ChosenSae]


def saelens_in_folder(folder: Path, layers: Sequence[int] | None) -> SaeLensRelease:
    """Return the SAEs of a folder: its own, or those of the folders up to three levels below it.

    Raises CheckpointError for a config that is wrong, NotFoundError for a layer that is not there
    and InvalidInputError for two SAEs of one layer.
    """
    files = [
        path.relative_to(folder).as_posix()
        for depth in range(_DEEPEST + 1)
        for name in (CONFIG_FILE, WEIGHTS_FILE)
        for path in folder.glob("/".join(["*"] * depth + [name]))
        if path.is_file()
    ]
    folders = _sae_folders(files, str(folder))
    saes = _choose(str(folder), folders, lambda file: _read_start(folder / file), layers)
    return SaeLensRelease(_named(folder.name, str(folder), saes), str(folder), None, saes)


def saelens_on_hub(
    source: str, layers: Sequence[int] | None, *, revision: str | None, hub: Hub
) -> SaeLensRelease:
    """Return the SAEs of `owner/name`, or of a folder in it, `owner/name/folder`.

    Only the configs, a few kilobytes each, are fetched.
    """
    parts = source.strip().rstrip("/").split("/")
    repo_id, inside = "/".join(parts[:2]), parts[2:]
    if not all(parts) or {".", ".."} & set(parts):
        raise InvalidInputError(
            f"{shown(source)} is not a repository id: expected owner/name or owner/name/folder."
        )
    listing = look_up(repo_id, revision=revision, hub=hub)
    top = PurePosixPath(*inside)
    files = [
        path.relative_to(top).as_posix()
        for path in map(PurePosixPath, listing.sizes)
        if path.is_relative_to(top)
    ]
    folders = _sae_folders(files, source, reachable=listing.reachable)
    configs = [(top / folder / CONFIG_FILE).as_posix() for folder in folders]
    _check_sizes(listing, configs)
    paths = fetch(listing, configs, hub, None)
    saes = _choose(
        source, folders, lambda file: _read_start(paths[(top / file).as_posix()]), layers
    )
    name = "/".join(parts[1:])
    return SaeLensRelease(
        _named(name, source, saes),
        "/".join(parts),
        listing,
        [ChosenSae((top / sae.folder).as_posix(), sae.config) for sae in saes],
    )


def _sae_folders(files: Iterable[str], where: str, *, reachable: bool = True) -> list[str]:
    """Return the folders that hold an SAE, and refuse a source with none or with half of one."""
    held = {
        path
        for path in map(PurePosixPath, files)
        if path.name in (CONFIG_FILE, WEIGHTS_FILE) and len(path.parts) <= _DEEPEST + 1
    }
    folders = sorted(path.parent.as_posix() for path in held if path.name == WEIGHTS_FILE)
    if not folders:
        if not reachable:
            raise HubError(
                f"{where} is not in the local cache and the hub cannot be asked: unset "
                f"HF_HUB_OFFLINE, {ELSEWHERE}."
            )
        half = f"holds {CONFIG_FILE} but no {WEIGHTS_FILE}" if held else "holds no SAE of SAELens"
        raise InvalidInputError(
            f"{shown(where)} is not the name of a Qwen-Scope release ({RELEASE_FORM}) and {half}: "
            f"give such a release, or a source with {WEIGHTS_FILE} beside {CONFIG_FILE}."
        )
    for folder in folders:
        if PurePosixPath(folder, CONFIG_FILE) not in held:
            raise CheckpointError(
                f"{_within(where, folder, WEIGHTS_FILE)} has no {CONFIG_FILE} beside it: fetch "
                "it too, since the weights alone do not say how to read them."
            )
    if len(folders) > _MOST_SAES:
        raise InvalidInputError(
            f"{where} holds {len(folders)} SAEs: give one of its folders, with one SAE a layer."
        )
    return folders


def _choose(
    where: str,
    folders: Sequence[str],
    read: Callable[[str], bytes],
    layers: Sequence[int] | None,
) -> list[ChosenSae]:
    """Return one SAE for each wanted layer (for all that are there, if none are named).

    A config that is refused counts only where it may be the wanted one.
    """
    saes: dict[int, list[ChosenSae]] = {}
    refused: list[CheckpointError] = []
    for folder in folders:
        file = PurePosixPath(folder, CONFIG_FILE).as_posix()
        try:
            config = read_config(read(file), _within(where, folder, CONFIG_FILE))
        except CheckpointError as error:
            refused.append(error)
            continue
        saes.setdefault(config.layer, []).append(ChosenSae(folder, config))
    wanted = sorted(set(layers)) if layers else sorted(saes)
    missing = [layer for layer in wanted if layer not in saes]
    if refused and (missing or not layers):
        raise refused[0]
    if missing:
        raise NotFoundError(
            f"{where} has no SAE of layer {missing[0]}: choose among its layers "
            f"{', '.join(map(str, sorted(saes)))}."
        )
    return [_only_one(where, layer, saes[layer]) for layer in wanted]


def _only_one(where: str, layer: int, saes: Sequence[ChosenSae]) -> ChosenSae:
    if len(saes) > 1:
        first, second = (shown(sae.folder) for sae in saes[:2])
        raise InvalidInputError(
            f"{where} holds {len(saes)} SAEs of layer {layer}, in {first} and in {second}: give "
            "the path of a folder in it that has one SAE a layer, or other layers."
        )
    return saes[0]


def _named(name: str, where: str, saes: Sequence[ChosenSae]) -> ReleaseName:
    """Return the release's name; its SAEs must have one width and one model."""
    configs = [sae.config for sae in saes]
    same: dict[str, set[object]] = {
        "features": {config.d_sae for config in configs},
        "the model": {config.model_name for config in configs},
        "the model's width": {config.d_in for config in configs},
    }
    for what, values in same.items():
        if len(values) > 1:
            both = " and ".join(sorted(map(str, values))[:2])
            raise InvalidInputError(
                f"{where} holds SAEs that differ in {what} ({both}): choose layers or give a "
                "folder in it where they are the same."
            )
    ks = {config.k for config in configs}
    return release_of_saelens(
        name,
        model_name=configs[0].model_name,
        width=configs[0].d_sae,
        k=ks.pop() if len(ks) == 1 else None,
    )


def _check_sizes(listing: Listing, configs: Iterable[str]) -> None:
    for config in configs:
        if listing.sizes[config] > LONGEST_CONFIG_BYTES:
            raise CheckpointError(
                f"{listing.repo_id}/{config} has {listing.sizes[config]} bytes: expected a file "
                "of a few kilobytes as SAELens writes it."
            )


def _read_start(path: Path) -> bytes:
    """Read a config; of one that is too long, enough to be refused."""
    with path.open("rb") as file:
        return file.read(LONGEST_CONFIG_BYTES + 1)


def _within(where: str, folder: str, file: str) -> str:
    return f"{where}/{PurePosixPath(folder, file)}"
