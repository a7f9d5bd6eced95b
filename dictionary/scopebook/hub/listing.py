"""Ask the hub, or the cache in its place, what a repository holds."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.file_download import repo_folder_name

from scopebook.errors import InvalidInputError
from scopebook.hub.refusals import hub_refusals
from scopebook.release_names import shown

_COMMIT = re.compile(r"[0-9a-f]{40}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_METADATA_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Hub:
    """Which hub, as whom, and where files are kept.

    What is not given comes from Hugging Face's own environment: HF_ENDPOINT, HF_TOKEN (or the
    stored login), HF_HUB_CACHE, HF_HUB_OFFLINE.
    """

    endpoint: str | None = None
    token: str | None = field(default=None, repr=False)
    cache_dir: Path | None = None
    offline: bool | None = None

    @property
    def is_offline(self) -> bool:
        """Whether only files that are here already may be used."""
        return constants.is_offline_mode() if self.offline is None else self.offline

    @property
    def cache(self) -> Path:
        """The folder with everything that was downloaded before."""
        return Path(self.cache_dir or constants.HF_HUB_CACHE).expanduser()


@dataclass(frozen=True)
class Listing:
    """What a repository holds at one commit; `reachable` is false if only the cache said so."""

    repo_id: str
    branch: str
    revision: str
    sizes: dict[str, int]
    sha256: dict[str, str]
    reachable: bool


def look_up(repo_id: str, *, revision: str | None = None, hub: Hub) -> Listing:
    """Ask the hub what a repository holds; if it cannot be reached, what the cache holds of it."""
    if revision is not None and not _REVISION.fullmatch(revision):
        raise InvalidInputError(
            f"{shown(revision)} is not a revision: expected a branch, a tag or a commit."
        )
    api = HfApi(endpoint=hub.endpoint, token=hub.token)
    with hub_refusals(repo_id, hub.endpoint):
        try:
            if hub.is_offline:
                raise OfflineModeIsEnabled("only the cache may be used")
            info = api.model_info(
                repo_id, revision=revision, files_metadata=True, timeout=_METADATA_TIMEOUT_S
            )
        except (httpx2.TransportError, OfflineModeIsEnabled, HfHubHTTPError) as error:
            if isinstance(error, HfHubHTTPError) and error.response.status_code < 500:
                raise
            cached = _cached_listing(repo_id, revision, hub)
            if cached is None:
                raise
            return cached
        commit = str(info.sha)
        if not _COMMIT.fullmatch(commit):
            raise ValueError(commit)  # it becomes part of a path
        files = info.siblings or []
    return Listing(
        repo_id=repo_id,
        branch=revision or constants.DEFAULT_REVISION,
        revision=commit,
        sizes={file.rfilename: file.size or 0 for file in files},
        sha256={file.rfilename: file.lfs.sha256 for file in files if file.lfs},
        reachable=True,
    )


def cached_file(listing: Listing, file: str, hub: Hub) -> Path:
    """Return where a file lies once it was fetched."""
    return repo_cache(listing.repo_id, hub) / "snapshots" / listing.revision / file


def repo_cache(repo_id: str, hub: Hub) -> Path:
    """Return a repository's folder in the cache."""
    return hub.cache / repo_folder_name(repo_id=repo_id, repo_type="model")


def remember_commit(listing: Listing, hub: Hub) -> None:
    """Note what a branch pointed at, as every Hugging Face tool does, for use without the hub."""
    if listing.reachable and listing.branch != listing.revision:
        ref = repo_cache(listing.repo_id, hub) / "refs" / listing.branch
        ref.parent.mkdir(parents=True, exist_ok=True)
        ref.write_text(listing.revision)


def _cached_listing(repo_id: str, revision: str | None, hub: Hub) -> Listing | None:
    cache = repo_cache(repo_id, hub)
    branch = commit = revision or constants.DEFAULT_REVISION
    if not _COMMIT.fullmatch(commit):
        ref = cache / "refs" / branch
        commit = ref.read_text().strip() if ref.is_file() else ""
    snapshot = cache / "snapshots" / commit
    if not commit or not snapshot.is_dir():
        return None
    files = [path for path in snapshot.rglob("*") if path.is_file()]
    sizes = {path.relative_to(snapshot).as_posix(): path.stat().st_size for path in files}
    return Listing(repo_id, branch, commit, sizes, sha256={}, reachable=False)
