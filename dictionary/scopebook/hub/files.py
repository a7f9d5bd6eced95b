"""Fetch files of one commit into Hugging Face's cache, and take up what broke off."""

import fcntl
import hashlib
import re
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.file_download import HfFileMetadata, http_get
from huggingface_hub.utils import build_hf_headers

from scopebook.errors import HubError, UnavailableError
from scopebook.hub.listing import Hub, Listing, repo_cache
from scopebook.hub.refusals import hub_refusals

# Called with the bytes done and the bytes in all; also from a download's own threads.
Progress = Callable[[int, int], None]

_SHA256 = re.compile(r"[0-9a-f]{64}")
# Smaller files are not worth taking up where they broke off.
_RESUMED_FROM_BYTES = 1_000_000


def fetch(
    listing: Listing, files: Sequence[str], hub: Hub, progress: Progress | None
) -> dict[str, Path]:
    """Return where each file lies, fetching what is not here; `progress` counts all of them."""
    snapshot = repo_cache(listing.repo_id, hub) / "snapshots" / listing.revision
    missing = [file for file in files if not (snapshot / file).exists()]
    total = sum(listing.sizes[file] for file in files)
    done = total - sum(listing.sizes[file] for file in missing)
    check_free_space(hub.cache, total - done, f"the download of {listing.repo_id}")
    report = progress or (lambda _done, _total: None)
    report(done, total)
    for file in missing:
        with hub_refusals(listing.repo_id, hub.endpoint, file):
            _fetch_file(listing, file, hub, partial(_report_more, report, done, total))
        done += listing.sizes[file]
        report(done, total)
    return {file: snapshot / file for file in files}


def check_free_space(folder: Path, needed_bytes: int, what: str) -> None:
    """Refuse what does not fit on the disk that holds a folder (which need not exist yet)."""
    there = next(path for path in [folder, *folder.absolute().parents] if path.exists())
    free = shutil.disk_usage(there).free
    if free < needed_bytes:
        raise UnavailableError(
            f"{what} needs {size_text(needed_bytes)} but {folder} has {size_text(free)} free: "
            "free space, choose fewer layers, or point HF_HUB_CACHE or SCOPEBOOK_DATA_DIR at a "
            "larger disk."
        )


def size_text(size_bytes: int) -> str:
    """Say a size as disks and download pages do: 537 MB, 12.9 GB."""
    for unit, scale in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if size_bytes >= scale:
            return f"{size_bytes / scale:.{0 if unit == 'MB' else 1}f} {unit}"
    return f"{max(1, round(size_bytes / 1000))} kB" if size_bytes else "nothing"


def _fetch_file(listing: Listing, file: str, hub: Hub, report: Callable[[int], None]) -> None:
    """Bring one file into the cache.

    huggingface_hub forgets a half file when its process ends; over plain HTTP (mirrors speak no
    Xet) a large one is therefore fetched beside its place and handed over when it is whole.
    """
    bar = _counting(report)
    if listing.sizes[file] >= _RESUMED_FROM_BYTES:
        url = hf_hub_url(listing.repo_id, file, revision=listing.revision, endpoint=hub.endpoint)
        metadata = get_hf_file_metadata(url, token=hub.token, endpoint=hub.endpoint)
        if metadata.xet_file_data is None and _SHA256.fullmatch(metadata.etag or ""):
            _fetch_resumable(url, metadata, repo_cache(listing.repo_id, hub) / "blobs", hub, bar)
    hf_hub_download(
        listing.repo_id,
        file,
        revision=listing.revision,
        endpoint=hub.endpoint,
        token=hub.token,
        cache_dir=hub.cache,
        tqdm_class=bar,
    )


def _fetch_resumable(
    url: str, metadata: HfFileMetadata, blobs: Path, hub: Hub, bar: type[Any]
) -> None:
    """Complete `blobs/<sha256>`, going on where an earlier process stopped."""
    blob = blobs / str(metadata.etag)
    half = blobs / f"{metadata.etag}.half"
    if blob.exists():
        return
    blobs.mkdir(parents=True, exist_ok=True)
    with half.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # another process is at it; huggingface_hub's own download needs no lock
        had = file.tell()
        http_get(
            url,
            file,
            resume_size=had,
            headers=build_hf_headers(token=hub.token),
            expected_size=metadata.size,
            tqdm_class=bar,
        )
        file.flush()
        if had and _file_sha256(half) != metadata.etag:
            half.unlink()
            raise HubError(f"{url} changed or was damaged while it was fetched: try again.")
        half.replace(blob)


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _report_more(report: Progress, before: int, total: int, more: int) -> None:
    report(before + more, total)


def _counting(report: Callable[[int], None]) -> type[Any]:
    """Return a class that takes the place of tqdm and reports the bytes of one file."""

    class ByteCount:
        """Knows only what huggingface_hub calls, over HTTP and over Xet."""

        def __init__(self, *, initial: int = 0, total: int | None = None, **_: object) -> None:
            self.n = initial
            self.total = total

        def update(self, n: int = 1) -> None:
            """Count bytes on disk; negative when a server made the client start again."""
            self.n += n
            report(self.n)

        def update_transfer(self, n: int = 1) -> None:
            """Ignore bytes on the wire: over Xet they are compressed."""

        def set_postfix_str(self, *_: object, **__: object) -> None:
            """Show no speed."""

        set_transfer_postfix_str = set_postfix_str

        def close(self) -> None:
            """Hold nothing open."""

        def __enter__(self) -> "ByteCount":
            return self

        def __exit__(self, *_: object) -> None:
            self.close()

    return ByteCount
