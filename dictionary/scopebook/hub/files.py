"""Fetch files of one commit into Hugging Face's cache, and take up what broke off."""

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

from scopebook.errors import HubError, UnavailableError
from scopebook.hub.listing import Hub, Listing, cached_file, remember_commit, repo_cache
from scopebook.hub.refusals import hub_refusals
from scopebook.sizes import size_text

# Called with the bytes done and the bytes in all; also from a download's own threads.
Progress = Callable[[int, int], None]

_SHA256 = re.compile(r"[0-9a-f]{64}")
# Smaller files are not worth taking up where they broke off.
_RESUMED_FROM_BYTES = 1_000_000


def fetch(
    listing: Listing, files: Sequence[str], hub: Hub, progress: Progress | None
) -> dict[str, Path]:
    """Return where each file lies, fetching what is not here; `progress` counts all of them."""
    paths = {file: cached_file(listing, file, hub) for file in files}
    missing = [file for file, path in paths.items() if not path.exists()]
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
    with hub_refusals(listing.repo_id, hub.endpoint):
        remember_commit(listing, hub)
    return paths


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


def _fetch_file(listing: Listing, file: str, hub: Hub, report: Callable[[int], None]) -> None:
    """Bring one file into the cache.

    huggingface_hub forgets a half file when its process ends; over plain HTTP (mirrors speak no
    Xet) a large one is therefore fetched beside its place and handed over when it is whole.
    """
    bar = _counting(report)
    if listing.sizes[file] >= _RESUMED_FROM_BYTES:
        url = hf_hub_url(listing.repo_id, file, revision=listing.revision, endpoint=hub.endpoint)
        metadata = get_hf_file_metadata(url, token=hub.token, endpoint=hub.endpoint)
        plain = metadata.xet_file_data is None or constants.HF_HUB_DISABLE_XET
        if plain and _SHA256.fullmatch(metadata.etag or ""):
            blob = repo_cache(listing.repo_id, hub) / "blobs" / str(metadata.etag)
            if not _fetch_resumable(url, metadata.size, blob, hub, bar):
                raise HubError(
                    f"{file} of {listing.repo_id} changed or was damaged while it was fetched: "
                    "try again."
                )
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
    url: str, size_bytes: int | None, blob: Path, hub: Hub, bar: type[Any]
) -> bool:
    """Complete a blob, going on where an earlier process stopped; false if its hash is wrong."""
    half = blob.with_name(f"{blob.name}.half")
    blob.parent.mkdir(parents=True, exist_ok=True)
    with half.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True  # another process is at it; huggingface_hub's own download needs no lock
        if blob.exists():  # also if another ended just now and `file` has become the blob
            half.unlink(missing_ok=True)
            return True
        if size_bytes is not None and file.tell() > size_bytes:
            file.truncate(0)
        http_get(
            url,
            file,
            resume_size=file.seek(0, os.SEEK_END),
            headers=build_hf_headers(token=hub.token),
            expected_size=size_bytes,
            tqdm_class=bar,
        )
        file.flush()
        whole = _file_sha256(half) == blob.name
        if whole:
            half.replace(blob)
        else:
            half.unlink()
        return whole


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
